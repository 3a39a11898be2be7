"""Programs of Debian packages with the shared libraries that they need, for guests' initrds and for hosts."""

import re

import cache
import debian
from processes import LabError, run

#: Programs that scenarios can ask for on their host, by name: (package, path in the package)
HOST_PROGRAMS = {"virtiofsd": ("virtiofsd", "usr/libexec/virtiofsd")}


def _library_packages(archive, package):
    """The packages of libraries that a package depends on, directly or not; alternatives are none of theirs."""
    found, waiting = [], [package]
    while waiting:
        depends = archive.depends(waiting.pop(), "trixie")
        new = [name for name in depends if name.startswith(("lib", "zlib")) and name not in found]
        found += new
        waiting += new
    return found


def _needed(isa, path):
    """The shared libraries that a program or library names, and the loader that it asks for."""
    text = run([f"{isa.tools}readelf", "--dynamic", "--program-headers", path]).decode()
    loaders = re.findall(r"program interpreter: .*/([^]/]+)\]", text)
    return loaders + re.findall(r"\(NEEDED\).*\[([^]]+)\]", text)


def with_libraries(isa, package, program):
    """[(path in the guest, bytes)] of a program, given by its path in the package, and of all that it needs to run.

    Libraries lie in /lib, where the loader looks by default, and the loader is there and in /lib64 as well, so that it is
    where programs of any ISA want it.
    """
    archive = debian.Archive(isa.debian)
    debs = [archive.download(name, "trixie") for name in [package, *_library_packages(archive, package)]]
    tree = cache.root() / "programs" / f"{debs[0].stem}-{cache.digest(*[deb.name for deb in debs])}"
    with cache.making(tree) as work:
        if work:
            for deb in debs:
                debian.unpack(deb, work)
    libraries = {path.name: path for path in sorted(tree.rglob("*.so*")) if path.is_file()}
    (path,) = [path for path in (tree / program, tree / "usr" / program) if path.exists()]
    files, waiting = {program: path}, [path]
    while waiting:
        for name in _needed(isa, waiting.pop()):
            if name not in libraries:
                raise LabError(f"{program} of {package} needs {name}, which none of its packages has")
            if f"lib/{name}" not in files:
                files[f"lib/{name}"] = libraries[name]
                waiting.append(libraries[name])
    return [(name, path.read_bytes()) for name, path in files.items()]


def for_host(isa, names):
    """path -> bytes of programs for a host, and of all that they need."""
    return {path: body for name in names for path, body in with_libraries(isa, *HOST_PROGRAMS[name])}
