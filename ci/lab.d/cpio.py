"""Writes initramfs archives (cpio's "newc" format) with root's ownership, which needs no root here.

Times and inode numbers are fixed, so that the same files give the same bytes and caches can be keyed by content.
"""

import stat


class Archive:
    """Collects files; `bytes()` gives the archive."""

    def __init__(self):
        self._parts = []
        self._inode = 0
        self._folders = set()

    def _add(self, name, mode, body=b"", device=(0, 0)):
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(body), 0, 0, *device, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % f for f in fields)
        for part in (header + path, body):
            self._parts.append(part + b"\0" * (-len(part) % 4))

    def folder(self, name):
        """Adds a folder and its parents, each once."""
        name = name.strip("/")
        if not name or name in self._folders:
            return
        if "/" in name:
            self.folder(name.rpartition("/")[0])
        self._folders.add(name)
        self._add(name, stat.S_IFDIR | 0o755)

    def _parent(self, name):
        if "/" in name:
            self.folder(name.rpartition("/")[0])

    def file(self, name, body, mode=0o644):
        """Adds a regular file."""
        self._parent(name)
        self._add(name, stat.S_IFREG | mode, body)

    def program(self, name, body):
        """Adds an executable file."""
        self.file(name, body, 0o755)

    def link(self, name, target):
        """Adds a symbolic link."""
        self._parent(name)
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor):
        """Adds a device node: /dev/console must exist before /init has mounted anything."""
        self._parent(name)
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def bytes(self):
        """The finished archive."""
        mark = Archive()
        mark._add("TRAILER!!!", 0)
        return b"".join(self._parts + mark._parts)
