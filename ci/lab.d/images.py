"""The initramfs images: of the emulated hosts and of their guests."""

import pathlib

import adversary
import cache
import cpio
import debian
import programs
import roots
from isas import EXT4
from kernels import Kernel

INSIDE = pathlib.Path(__file__).parent / "inside"


def busybox(isa):
    """The bytes of Debian's static busybox."""
    deb = debian.Archive(isa.debian).download("busybox-static", "trixie")
    folder = cache.root() / "busybox" / deb.stem
    with cache.making(folder) as work:
        if work:
            debian.unpack(deb, work)
    (program,) = [path for path in (folder / "usr/bin/busybox", folder / "bin/busybox") if path.exists()]
    return program.read_bytes()


def _base(isa, init):
    archive = cpio.Archive()
    archive.program("bin/busybox", busybox(isa))
    archive.link("bin/sh", "busybox")
    archive.program("init", init.read_bytes())
    # The kernel opens it for /init before /init can mount devtmpfs.
    archive.character_device("dev/console", 5, 1)
    return archive


def _stored(kind, body):
    """Puts an image into the cache under its content's key."""
    folder = cache.root() / "images" / f"{kind}-{cache.digest(body)}"
    with cache.making(folder) as work:
        if work:
            (work / "image").write_bytes(body)
    return folder / "image"


def _guest_base(isa):
    archive = _base(isa, INSIDE / "guest-init")
    archive.program("etc/udhcpc/default.script", (INSIDE / "guest-udhcpc").read_bytes())
    return archive


def guest(isa):
    """The initrd that the scenarios' guests run."""
    return _stored(f"guest-{isa.name}", _guest_base(isa).bytes())


def kexec_guest(isa):
    """The initrd of guests that start another kernel: the guests' own, with kexec, and a kernel and initrd to start.

    The kernel is bookworm's: trixie's for s390x are made without kexec.
    """
    archive = _guest_base(isa)
    _add_programs(archive, isa, "kexec-tools", "sbin/kexec")
    archive.file("boot/vmlinuz", (Kernel(isa, "bookworm").folder / "vmlinuz").read_bytes())
    archive.file("boot/initrd.img", guest(isa).read_bytes())
    return _stored(f"kexec-{isa.name}", archive.bytes())


def passt(isa):
    """passt and what it needs, to be unpacked on the emulated host."""
    archive = cpio.Archive()
    _add_programs(archive, isa, "passt", "bin/passt")
    # It is started as root, and goes on as nobody.
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    archive.file("etc/resolv.conf", b"nameserver 127.0.0.1\n")
    return _stored(f"passt-{isa.name}", archive.bytes())


def disk_guest(isa):
    """The initrd of guests with disks: the guests' own, with drivers, ext4, and what makes and checks file systems."""
    archive = _base(isa, INSIDE / "guest-init")
    _add_modules(archive, Kernel(isa, "trixie").modules(isa.guest_modules + EXT4), {})
    _add_programs(archive, isa, "e2fsprogs", "sbin/mke2fs", "sbin/e2fsck")
    return _stored(f"disk-{isa.name}", archive.bytes())


def button_guest(isa):
    """The initrd of guests that hear of their power button, with drivers."""
    archive = _base(isa, INSIDE / "guest-init")
    _add_modules(archive, Kernel(isa, "trixie").modules(isa.guest_modules + isa.button), {})
    return _stored(f"button-{isa.name}", archive.bytes())


def debian_guest(isa):
    """The initrd of guests whose system is Debian's, on a disk: drivers, and who goes on with that system."""
    archive = _base(isa, INSIDE / "debian-init")
    _add_modules(archive, Kernel(isa, "trixie").modules(isa.guest_modules + EXT4), {})
    return _stored(f"debian-{isa.name}", archive.bytes())


def socat_guest(isa):
    """The guests' own initrd with socat, which speaks to Unix sockets and to virtio's."""
    archive = _base(isa, INSIDE / "guest-init")
    _add_programs(archive, isa, "socat", "bin/socat")
    return _stored(f"socat-{isa.name}", archive.bytes())


def adversaries(isa):
    """Kernels that keep no rules, by transport and seed."""
    archive = cpio.Archive()
    for transport in ("ccw",) if isa.name == "s390x" else ("mmio", "pci"):
        for seed in (1, 2):
            archive.file(f"{transport}-{seed}", adversary.kernel(isa.name, transport, seed))
    return _stored(f"adversary-{isa.name}", archive.bytes())


#: Files that scenarios can ask for, by their names in /lab: initrds for guests, programs for the host, and disk images
GUESTS = {"initrd-kexec.img": kexec_guest, "initrd-disk.img": disk_guest, "initrd-socat.img": socat_guest,
          "initrd-button.img": button_guest, "initrd-debian.img": debian_guest, "debian.raw": roots.image,
          "debian-tools.raw": roots.tools_image, "passt.cpio": passt,
          "adversary.cpio": adversaries}


def _add_programs(archive, isa, package, *paths):
    """Adds programs of a package, with the libraries that they need."""
    files = {}
    for path in paths:
        files.update(programs.with_libraries(isa, package, path))
    for name, body in files.items():
        archive.program(name, body)
    archive.link("lib64", "lib")


def _add_modules(archive, modules, parameters):
    lines = [f"{name} {parameters.get(name, '')}\n" for name, _ in modules]
    archive.file("modules/order", "".join(lines).encode())
    for name, body in modules:
        archive.file(f"modules/{name}.ko", body)


def guest_modules(isa):
    """What follows the guests' initrd where a scenario's guest needs drivers: modules of trixie's kernel."""
    archive = cpio.Archive()
    _add_modules(archive, Kernel(isa, "trixie").modules(isa.guest_modules), {})
    return _stored(f"guest-modules-{isa.name}", archive.bytes())


def host(isa, transport):
    """The initrd of the emulated host, with the modules that reach KVM and the real machine's files."""
    archive = _base(isa, INSIDE / "host-init")
    archive.file("transport.sh", (INSIDE / f"transport-{transport}.sh").read_bytes())
    _add_modules(archive, Kernel(isa, "trixie").modules(isa.modules), isa.parameters)
    return _stored(f"host-{isa.name}", archive.bytes())
