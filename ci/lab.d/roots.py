"""A whole Debian system on a disk image, made without root and without running anything of its ISA.

Packages are unpacked as dpkg does it. What their scripts would have configured, and a first login needs, is written here:
accounts, PAM's common parts, dpkg's list of what is there (unpacked).
"""

import os
import pathlib
import re
import shutil

import cache
import debian
from processes import run, say

#: Debian's essential packages, an init with devices and login, and fio
PACKAGES = ("base-files", "base-passwd", "bash", "bsdutils", "coreutils", "dash", "debianutils", "diffutils", "dpkg",
            "e2fsprogs", "findutils", "fio", "grep", "gzip", "hostname", "init-system-helpers", "kmod", "libc-bin",
            "libpam-modules", "libpam-runtime", "login", "mawk", "mount", "ncurses-base", "ncurses-bin", "passwd",
            "perl-base", "procps", "sed", "systemd", "systemd-sysv", "sysvinit-utils", "tar", "udev", "util-linux")
#: What builds programs
TOOLS = ("git", "libc6-dev", "make", "tcc")
#: What fio, git and adduser have for scripts that nobody calls: a third of the image
WITHOUT = re.compile(r"(lib)?python3.*|media-types|tzdata|adduser|perl|perl-modules-.*|libperl.*")
#: Folders of which nothing runs
BULK = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/i18n", "usr/lib/udev/hwdb.d",
        "usr/share/gcc", "usr/share/doc-base", "usr/share/lintian", "usr/share/bug", "usr/lib/systemd/catalog")
#: Units that take an emulated guest's time and show nothing of a VMM
MASKED = ("systemd-logind.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
          "ldconfig.service", "modprobe@.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
          "dev-hugepages.mount", "systemd-binfmt.service", "kmod-static-nodes.service", "systemd-pstore.service",
          "getty-static.service", "systemd-tmpfiles-clean.timer", "systemd-hostnamed.socket", "systemd-vconsole-setup.service")
#: Instead of all devices that are there at the start, whose rules take half of a boot: those that units wait for
FEW_DEVICES = """\
[Service]
ExecStart=
ExecStart=udevadm trigger --action=add --subsystem-match=block
ExecStart=udevadm trigger --action=add --subsystem-match=tty --sysname-match=tty[A-Za-z]*
"""
#: A busy emulator takes longer to start udev than the 90 s that systemd waits for a console's device.
PATIENCE = "[Manager]\nDefaultTimeoutStartSec=600\nDefaultDeviceTimeoutSec=600\n"

#: Room for what a guest writes
FREE_BYTES = 24 << 20

_PAM = {
    "common-auth": "auth required pam_unix.so nullok",
    "common-account": "account required pam_unix.so",
    "common-password": "password required pam_unix.so nullok yescrypt",
    "common-session": "session required pam_unix.so",
    "common-session-noninteractive": "session required pam_unix.so",
}


def _settings(tree):
    """What the packages' scripts, an administrator and a first boot would have written."""
    shared = tree / "usr/share/base-passwd"
    accounts = (shared / "passwd.master").read_text().replace(":*:", ":x:")
    names = [line.split(":")[0] for line in accounts.splitlines()]
    files = {
        "etc/passwd": accounts,
        "etc/group": (shared / "group.master").read_text().replace(":*:", ":x:"),
        # Root logs in without a password.
        "etc/shadow": "".join(f"{name}:{'' if name == 'root' else '*'}:20000:0:99999:7:::\n" for name in names),
        "etc/nsswitch.conf": "".join(f"{what}: files\n" for what in ("passwd", "group", "shadow")),
        "etc/profile": (tree / "usr/share/base-files/profile").read_text(),
        "etc/hostname": "guest\n",
        "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
        # Lines at the console are to be told from each other.
        "etc/inputrc": "set enable-bracketed-paste off\n",
        "etc/systemd/system/systemd-udev-trigger.service.d/few.conf": FEW_DEVICES,
        "etc/systemd/system.conf.d/patience.conf": PATIENCE,
        # A known one: without it, systemd asks questions at the console.
        "etc/machine-id": "74726961726368206c61622067756573\n",
    }
    files |= {f"etc/pam.d/{name}": f"{line}\n" for name, line in _PAM.items()}
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "etc/shadow").chmod(0o600)
    # base-files makes these by its script.
    for folder in ("mnt", "media", "srv", "opt"):
        (tree / folder).mkdir(exist_ok=True)
    units = tree / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")


def _status(debs):
    """dpkg's list: each package's control fields, and that it is unpacked."""
    paragraphs = []
    for deb in debs:
        name, rest = run(["dpkg-deb", "-f", deb]).decode().split("\n", 1)
        paragraphs.append(f"{name}\nStatus: install ok unpacked\n{rest.rstrip()}\n")
    return "\n".join(paragraphs)


def _unpack(debs, tree):
    # First what has the links from /bin to /usr/bin, through which others unpack.
    for deb in sorted(debs, key=lambda path: not path.name.startswith("base-files_")):
        debian.unpack(deb, tree)
    for folder in BULK:
        shutil.rmtree(tree / folder, ignore_errors=True)
    (tree / "var/lib/dpkg").mkdir(parents=True, exist_ok=True)
    (tree / "var/lib/dpkg/status").write_text(_status(debs))


def _image(tree, path):
    """An ext4 file system with a tree's files, which are root's."""
    used = sum((file.lstat().st_size + 4095) // 4096 * 4096 + 512 for file in tree.rglob("*"))
    mebibytes = (used + used // 20 + FREE_BYTES) >> 20
    with open(path, "wb") as file:
        file.truncate(mebibytes << 20)
    # Root of a namespace of one's own finds what one has unpacked to be root's.
    become = [] if os.getuid() == 0 else ["unshare", "--map-root-user"]
    run([*become, "/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4", "-m", "0", "-i", "16384", "-E", "lazy_itable_init=0",
         "-L", "debian", "-d", tree, path], what="mke2fs")


def image(isa, name="root", packages=PACKAGES):
    """The path of a raw image of Debian trixie with these packages; made once for each set of them, and named for its downloads."""
    debs = [deb for deb in debian.Archive(isa.debian).download_set(name, packages, "trixie")
            if not WITHOUT.fullmatch(deb.name.split("_")[0])]
    key = cache.digest(pathlib.Path(__file__), *[deb.name for deb in debs])
    folder = cache.root() / "images" / f"debian-{name}-{isa.name}-{key}"
    with cache.making(folder) as work:
        if work:
            say(f"lab: making a Debian system for {isa.name} of {len(debs)} packages")
            tree = work / "tree"
            _unpack(debs, tree)
            _settings(tree)
            _image(tree, work / "image")
            shutil.rmtree(tree)
    return folder / "image"


def tools_image(isa):
    """The same with what builds programs."""
    return image(isa, "tools", PACKAGES + TOOLS)
