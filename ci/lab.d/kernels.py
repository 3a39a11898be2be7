"""Debian's kernels: unpacked, with the uncompressed image where a boot protocol wants it, and modules in load order."""

import lzma
import os
import pathlib
import shutil
import struct

import cache
import debian
from processes import LabError, run, say

#: Bump when what `_extract` leaves in the cache changes.
LAYOUT = "1"

MAGICS = {
    b"\xfd7zXZ\x00": lzma.decompress,
    b"\x28\xb5\x2f\xfd": lambda packed: run(["zstd", "-dcq"], input_bytes=packed),
}


def uncompressed_linux_x86(image):
    """The ELF vmlinux within a bzImage (the boot protocol's payload_offset and payload_length)."""
    if image[0x202:0x206] != b"HdrS":
        raise LabError("not a bzImage: no HdrS at 0x202")
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    packed = image[start:start + length]
    for magic, unpacked in MAGICS.items():
        if packed.startswith(magic):
            # Kbuild appends the unpacked size in 4 bytes, which is no part of the compressed stream.
            return unpacked(packed[:-4])
    raise LabError(f"a bzImage with an unknown compression: {packed[:6].hex()}")


class Kernel:
    """One unpacked kernel package in the cache."""

    def __init__(self, isa, name):
        release, metapackage = isa.kernels[name]
        archive = debian.Archive(isa.debian)
        package = archive.kernel_package(metapackage, release)
        deb = archive.download(package, release)
        self.isa, self.name = isa, name
        self.folder = cache.root() / "kernels" / f"{deb.stem}-{LAYOUT}"
        with cache.making(self.folder) as work:
            if work:
                say(f"lab: unpacking {deb.name}")
                self._extract(deb, work)

    def _extract(self, deb, work):
        tree = work / "tree"
        debian.unpack(deb, tree)
        (image,) = (tree / "boot").glob("vmlinuz-*")
        image.rename(work / "vmlinuz")
        (config,) = (tree / "boot").glob("config-*")
        config.rename(work / "config")
        if self.isa.name == "x86_64":
            (work / "vmlinux").write_bytes(uncompressed_linux_x86((work / "vmlinuz").read_bytes()))
        (modules,) = [*tree.glob("usr/lib/modules/*"), *tree.glob("lib/modules/*")]
        modules.rename(work / "modules")
        shutil.rmtree(tree)

    def images(self):
        """The bootable files: vmlinuz, and vmlinux where there is one."""
        return [path for path in (self.folder / "vmlinuz", self.folder / "vmlinux") if path.exists()]

    def modules(self, wanted):
        """The wanted modules and all that they depend on, as (name, bytes) in load order, ready for insmod."""
        folder = cache.root() / "modules" / f"{self.folder.name}-{cache.digest('+'.join(wanted))}"
        with cache.making(folder) as work:
            if work:
                order = self._closure(wanted)
                for name, body in order.items():
                    (work / f"{name}.full").write_bytes(body)
                    # Symbols that nobody looks up cost an emulated host seconds.
                    run([f"{self.isa.tools}strip", "--strip-debug", "-o", work / f"{name}.ko", work / f"{name}.full"])
                    (work / f"{name}.full").unlink()
                (work / "order").write_text("".join(f"{name}\n" for name in order))
        return [(name, (folder / f"{name}.ko").read_bytes()) for name in (folder / "order").read_text().split()]

    def _closure(self, wanted):
        """name -> decompressed module, each after those it depends on."""
        files = {path.name.split(".ko")[0].replace("-", "_"): path
                 for path in self.folder.glob("modules/kernel/**/*.ko*")}
        builtin = (self.folder / "modules/modules.builtin").read_text()
        builtin = {pathlib.Path(line).name[:-3].replace("-", "_") for line in builtin.split()}
        order = {}

        def visit(name):
            name = name.replace("-", "_")
            if name in order or name in builtin:
                return
            if name not in files:
                raise LabError(f"kernel {self.name} of {self.isa.name} has no module {name}")
            body = decompressed(files[name])
            for needed in depends(body):
                visit(needed)
            order[name] = body

        for name in wanted:
            visit(name)
        return order


def decompressed(path):
    """A module's bytes."""
    body = path.read_bytes()
    for magic, unpacked in MAGICS.items():
        if body.startswith(magic):
            return unpacked(body)
    return body


def depends(module):
    """The names after `depends=` in a module's information section."""
    for field in module.split(b"\0"):
        if field.startswith(b"depends="):
            return [name for name in field[8:].decode().split(",") if name]
    return []


def view(isa, names):
    """A folder with NAME/vmlinuz (and NAME/vmlinux where there is one) for each of the kernels."""
    kernels = [Kernel(isa, name) for name in names]
    key = cache.digest(*[f"{kernel.name}={kernel.folder.name}" for kernel in kernels])
    folder = cache.root() / "views" / f"{isa.name}-{key}"
    with cache.making(folder) as work:
        if work:
            for kernel in kernels:
                (work / kernel.name).mkdir()
                for image in kernel.images():
                    os.link(image, work / kernel.name / image.name)
    return folder
