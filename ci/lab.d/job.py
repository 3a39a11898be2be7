"""What one boot of an emulated host is to do, and the files it does it with."""

import contextlib
import dataclasses
import pathlib
import shlex
import shutil

import images
import kernels
import programs
from isas import Isa

SCENARIOS = pathlib.Path(__file__).parent.parent / "scenarios"

#: What a boot may take on a loaded machine with two cores (measured: 3 to 6 s in QEMU, 12 to 31 s in Hercules).
BOOT_SECONDS = {"x86_64": 90, "aarch64": 90, "s390x": 180}

WELCOME = """
This is the emulated {isa} host. Things to try (Ctrl-A X ends a guest, `exit` ends this host):
  triarch check
  triarch run --kernel /lab/kernels/trixie/vmlinuz --initrd /lab/initrd.img --append "$APPEND"
  ls /lab /lab/kernels       what there is
  cp FILE /out/              brings a file out of here

"""


@dataclasses.dataclass
class Job:
    """One boot of an emulated host."""
    isa: Isa
    variant: str
    mode: str
    triarch: pathlib.Path
    #: where results go; /out on the host
    results: pathlib.Path
    kernels: tuple
    #: names and seconds, for mode "batch"
    scenarios: tuple = ()
    #: shell commands for mode "run", or for mode "shell" instead of a shell
    script: str = ""
    #: more files for /lab
    files: tuple = ()
    #: initrds for guests beside the usual one, by their names in /lab
    initrds: tuple = ()
    #: names of programs.HOST_PROGRAMS for /lab/host
    programs: tuple = ()
    #: test binaries for /lab/tests
    tests: tuple = ()
    #: limit for the script, in seconds
    limit: int = 600
    #: limit for the whole boot, in seconds; None means what the parts sum up to
    whole_limit: int | None = None
    #: which of the hosts this is that share the scenarios of an ISA and variant
    part: int = 1
    #: keep the files that the host was booted with
    keep: bool = False
    variables: dict = dataclasses.field(default_factory=dict)

    @property
    def name(self):
        """As on the command line: aarch64 or aarch64/gicv2."""
        return f"{self.isa.name}/{self.variant}" if self.variant else self.isa.name

    @property
    def _part_suffix(self):
        return "" if self.part == 1 else f"-{self.part}"

    def log(self, name):
        """Where the host's own logs go: its console is "host", its emulator's messages are "emulator"."""
        return self.results / f"{name}{self._part_suffix}.log"

    def split(self, parts):
        """Jobs for several hosts that share the scenarios, in turns, as the long ones tend to stand together."""
        return [dataclasses.replace(self, part=part + 1, scenarios=self.scenarios[part::parts])
                for part in range(min(parts, len(self.scenarios)))]

    @property
    def seconds(self):
        """When to give the whole host up."""
        if self.whole_limit:
            return self.whole_limit
        work = self.limit if self.mode == "run" else sum(limit + 10 for _, limit in self.scenarios)
        return BOOT_SECONDS[self.isa.name] + work

    def kernel_view(self):
        """The folder that becomes /lab/kernels."""
        return kernels.view(self.isa, self.kernels)

    def prepare(self):
        """Fetches and makes what `folder` and the emulator are going to find in the cache."""
        self.kernel_view()
        images.guest(self.isa)
        for name in self.initrds:
            images.GUESTS[name](self.isa)
        images.guest_modules(self.isa)
        programs.for_host(self.isa, self.programs)
        images.host(self.isa, "fba" if self.isa.name == "s390x" else "9p")

    @contextlib.contextmanager
    def own_folder(self, name):
        """An empty folder that is removed at the end, or by the next run if this one is killed."""
        folder = self.results / f".{name}{self._part_suffix}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            if not self.keep:
                shutil.rmtree(folder)

    @contextlib.contextmanager
    def folder(self):
        """The folder that becomes /lab, for as long as the host runs."""
        with self.own_folder("lab") as lab:
            shutil.copy(self.triarch, lab / "triarch")
            (lab / "triarch").chmod(0o755)
            shutil.copy(images.guest(self.isa), lab / "initrd.img")
            for name in self.initrds:
                shutil.copy(images.GUESTS[name](self.isa), lab / name)
            shutil.copy(images.guest_modules(self.isa), lab / "modules.img")
            shutil.copy(images.INSIDE / "host.sh", lab / "host.sh")
            for file in self.files:
                shutil.copy(file, lab / file.name)
            for path, body in programs.for_host(self.isa, self.programs).items():
                (lab / "host" / path).parent.mkdir(parents=True, exist_ok=True)
                (lab / "host" / path).write_bytes(body)
                (lab / "host" / path).chmod(0o755)
            (lab / "tests").mkdir()
            for file in self.tests:
                shutil.copy(file, lab / "tests" / file.name)
            if SCENARIOS.exists():
                shutil.copytree(SCENARIOS, lab / "scenarios")
            (lab / "kernels").mkdir()
            (lab / "run.sh").write_text(self.script + "\n")
            (lab / "welcome").write_text(WELCOME.format(isa=self.isa.name))
            (lab / "job.sh").write_text(self._variables())
            yield lab

    def _variables(self):
        terminal = shutil.get_terminal_size()
        chosen = {
            "ISA": self.isa.name,
            "VARIANT": self.variant,
            "APPEND": self.isa.append,
            "MODE": self.mode,
            "START": self.script if self.mode == "shell" else "",
            "STREAM_SECONDS": 0.2 if self.mode == "shell" else 1,
            "LIMIT": self.limit,
            "ROWS": terminal.lines,
            "COLUMNS": terminal.columns,
            "SCENARIOS": " ".join(f"{name}:{limit}" for name, limit in self.scenarios),
            **self.variables,
        }
        return "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in chosen.items())
