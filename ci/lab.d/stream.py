"""The real machine's end of a Hercules host's results: records on a disk file (inside/transport-fba.sh writes them)."""

BLOCK = 512
#: As DISK_BLOCKS in transport-fba.sh.
DISK_BYTES = 131072 * BLOCK


class Reader:
    """Copies records from the disk file into files below a folder, as they come."""

    def __init__(self, disk, folder):
        self._disk = disk
        self._folder = folder
        self._at = 0
        self.ended = False
        with open(disk, "wb") as file:
            file.truncate(DISK_BYTES)

    def poll(self):
        """Takes the records that are complete by now."""
        with open(self._disk, "rb") as disk:
            while not self.ended:
                disk.seek(self._at)
                words = disk.read(BLOCK).rstrip(b"\0").decode(errors="replace").split()
                if words == ["lab-end"]:
                    self.ended = True
                elif len(words) == 5 and words[0] == "lab":
                    offset, length, size = map(int, words[2:])
                    self._store(words[1], offset, disk.read(length), size)
                    self._at += BLOCK * (1 + -(-length // BLOCK))
                else:
                    return

    def _store(self, name, offset, body, size):
        path = (self._folder / name).resolve()
        if self._folder.resolve() not in path.parents:
            raise ValueError(f"the host names a result {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if path.exists() else "wb") as file:
            file.seek(offset)
            file.write(body)
            file.truncate(size)
