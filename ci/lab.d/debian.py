"""Debian packages of any architecture and release, without touching this system's own package state.

apt works on a private root in the cache: it finds versions, downloads, and checks every file against the release's
signature. Packages are unpacked by dpkg-deb and never installed.
"""

import json
import os
import pathlib
import re
import shutil
import time

import cache
from processes import LabError, run, say

RELEASES = ("trixie", "bookworm")
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: The releases are stable ones: what changes in a day is a security update at most.
METADATA_LIFE_SECONDS = 24 * 3600


def mirror():
    """The address of Debian's archive: what this machine's own apt uses, or TRIARCH_DEBIAN_MIRROR."""
    chosen = os.environ.get("TRIARCH_DEBIAN_MIRROR")
    if chosen:
        return chosen
    targets = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)/$(LABEL)", "Created-By: Packages"])
    lines = targets.decode().split("\n")
    signed = [line.split()[0] for line in lines if line.endswith(" Debian/Debian")]
    # Before the first `apt-get update` apt knows the addresses but no origins.
    guessed = [line.split()[0] for line in lines if re.search(r"/debian/? ", line + " ")]
    for address in signed + guessed:
        return address
    raise LabError("apt's configuration names no Debian archive; set TRIARCH_DEBIAN_MIRROR to a mirror's address")


class Archive:
    """Debian's archive for one architecture."""

    def __init__(self, architecture):
        self.architecture = architecture
        self.folder = cache.root() / "apt" / architecture
        self.packages = cache.root() / "packages"
        self._fresh = False

    def _options(self):
        chosen = {
            "Dir": self.folder,
            "Dir::State::status": self.folder / "status",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return [f"-o{key}={value}" for key, value in chosen.items()]

    def _refresh(self):
        """Brings the metadata up to date, at most once a day; an unreachable mirror is no error if there is metadata."""
        if self._fresh:
            return
        if not KEYRING.exists():
            raise LabError(f"{KEYRING} is missing: install the package debian-archive-keyring")
        for part in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial",
                     "var/cache/apt/archives/partial", "var/lib/dpkg"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        self.packages.mkdir(exist_ok=True)
        sources = self.folder / "etc/apt/sources.list"
        stamp = self.folder / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < METADATA_LIFE_SECONDS:
            self._fresh = True
            return
        address = mirror()
        sources.write_text("".join(f"deb [target=Packages signed-by={KEYRING}] {address} {release} main\n"
                                   for release in RELEASES))
        say(f"lab: reading Debian's package lists for {self.architecture}")
        try:
            run(["apt-get", *self._options(), "-oAPT::Update::Error-Mode=any", "update"], what="apt-get update")
        except LabError as error:
            if not stamp.exists():
                raise LabError(f"{error}\nlab: {address} can't be read; try again later, or set TRIARCH_DEBIAN_MIRROR to "
                               "another mirror of Debian") from error
            say(f"lab: keeping the package lists of {time.ctime(stamp.stat().st_mtime)}, as: {error}")
        else:
            stamp.touch()
        self._fresh = True

    def _record(self, package, release):
        """The control fields of a package in a release; kept with the metadata, as apt takes seconds to find them."""
        with cache.locked(self.folder.with_suffix(".lock"), "package lists"):
            self._refresh()
            kept = self.folder / f"record-{package}-{release}.json"
            if kept.exists() and kept.stat().st_mtime >= (self.folder / "updated").stat().st_mtime:
                return json.loads(kept.read_text())
            text = run(["apt-cache", *self._options(), "show", f"{package}/{release}"]).decode()
            fields = dict(line.split(": ", 1) for line in text.split("\n\n")[0].split("\n")
                          if ": " in line and not line.startswith(" "))
            if fields.get("Package") != package:
                raise LabError(f"Debian {release} has no package {package} for {self.architecture}")
            kept.write_text(json.dumps(fields))
        return fields

    def kernel_package(self, metapackage, release):
        """The name of the kernel package that a metapackage such as linux-image-amd64 stands for today."""
        depends = self._record(metapackage, release).get("Depends", "")
        found = re.search(r"\b(linux-image-[0-9][^ ,]*)", depends)
        if not found:
            raise LabError(f"{metapackage} of {release} depends on no kernel: {depends!r}")
        return found.group(1)

    def depends(self, package, release):
        """The packages that a package depends on, but for choices between several."""
        words = self._record(package, release)
        groups = f"{words.get('Pre-Depends', '')},{words.get('Depends', '')}".split(",")
        return [group.split()[0].split(":")[0] for group in groups if group.strip() and "|" not in group]

    def download(self, package, release):
        """The path of a package's .deb, downloaded if need be; apt checks it either way."""
        record = self._record(package, release)
        # apt-get download's own naming of files.
        name = f"{package}_{record['Version'].replace(':', '%3a')}_{record['Architecture']}.deb"
        path = self.packages / name
        if path.exists():
            return path
        with cache.locked(self.folder.with_suffix(".lock"), "package downloads"):
            if path.exists():
                return path
            say(f"lab: downloading {name} ({int(record['Size']) // 1_000_000} MB)")
            work = self.packages / f"part-{self.architecture}"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            run(["apt-get", *self._options(), "download", f"{package}/{release}"], cwd=work, what="apt-get download")
            if not (work / name).exists():
                raise LabError(f"apt-get downloaded {[p.name for p in work.iterdir()]}, not {name}")
            (work / name).rename(path)
            work.rmdir()
        return path

    def download_all(self, package, release):
        """The paths of the .debs of a package and of all that it depends on."""
        folder = self.packages / f"all-{self.architecture}-{package}"
        with cache.locked(self.folder.with_suffix(".lock"), "package downloads"):
            self._refresh()
            (folder / "partial").mkdir(parents=True, exist_ok=True)
            say(f"lab: downloading {package} of {self.architecture} and what it depends on")
            run(["apt-get", *self._options(), f"-oDir::Cache::archives={folder}", "--yes", "--no-install-recommends",
                 "--download-only", "install", f"{package}/{release}"], what="apt-get install --download-only")
        return sorted(folder.glob("*.deb"))

    def download_set(self, name, packages, release):
        """The paths of the .debs of packages and of all that they depend on, as of the package lists; `name` names their folder."""
        folder = self.packages / f"set-{self.architecture}-{name}"
        wanted = ["--yes", "--no-install-recommends", f"--target-release={release}", "install", *packages]
        with cache.locked(self.folder.with_suffix(".lock"), "package downloads"):
            self._refresh()
            kept = folder / "names.json"
            if kept.exists() and kept.stat().st_mtime >= (self.folder / "updated").stat().st_mtime:
                known, names = json.loads(kept.read_text())
                if known == list(packages):
                    return [folder / file for file in names]
            (folder / "partial").mkdir(parents=True, exist_ok=True)
            # Where nothing is yet, it tells all.
            (folder / "empty/partial").mkdir(parents=True, exist_ok=True)
            told = run(["apt-get", *self._options(), f"-oDir::Cache::archives={folder}/empty", "--print-uris", *wanted])
            names = sorted(re.findall(r"^'[^']+' (\S+\.deb) ", told.decode(), re.MULTILINE))
            say(f"lab: downloading {len(names)} packages of {self.architecture}")
            run(["apt-get", *self._options(), f"-oDir::Cache::archives={folder}", "--download-only", *wanted],
                what="apt-get install --download-only")
            missing = [file for file in names if not (folder / file).exists()]
            if missing:
                raise LabError(f"apt-get did not download {', '.join(missing)}")
            kept.write_text(json.dumps([list(packages), names]))
        return [folder / file for file in names]


def unpack(package, folder):
    """Unpacks a .deb into a folder."""
    run(["dpkg-deb", "-x", package, folder])
