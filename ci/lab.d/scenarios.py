"""The scenarios that there are, from the comments at their heads."""

import dataclasses
import pathlib
import re

import images
import programs
from isas import ISAS
from processes import LabError

FOLDER = pathlib.Path(__file__).parent.parent / "scenarios"

#: How much longer than in QEMU things take in Hercules, whose guests are interpreted instruction by instruction.
SLOWNESS = {"s390x": 2}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One file of ci/scenarios."""
    name: str
    about: str
    #: ISA or ISA/VARIANT names
    hosts: tuple
    #: beyond trixie's, which is always there
    kernels: tuple
    seconds: int
    #: initrds for its guests beside the usual one, by their names in /lab
    initrds: tuple
    #: which of programs.HOST_PROGRAMS it finds in /lab/host, to be taken by lib.sh's host_programs
    programs: tuple
    #: which programs it finds in /lab/tests: "kvm" for the tests that need a host's KVM (arch/tests/kvm_ISA.rs), "client" for
    #: the one that talks to a console behind a socket (examples/console_client.rs), or none
    tests: str

    def limit(self, isa):
        """When to give it up on this ISA."""
        return self.seconds * SLOWNESS.get(isa.name, 1)


def _read(path):
    head = re.match(r"(#.*\n)*", path.read_text()).group().splitlines()
    fields = dict(re.match(r"# (\w+): (.*)", line).groups() for line in head if re.match(r"# \w+: ", line))
    about = " ".join(line[2:] for line in head if not re.match(r"# \w+: ", line))
    unknown = set(fields) - {"on", "kernels", "seconds", "tests", "initrds", "programs"}
    if unknown or "on" not in fields or "seconds" not in fields or not about:
        raise LabError(f"{path}: its head must say what it is about, `on:` and `seconds:` "
                       "(and may say `kernels:`, `initrds:`, `programs:`, `tests:`)")
    known = {f"{i.name}/{v}" if v else i.name for i in ISAS.values() for v in i.variants}
    hosts = tuple(fields["on"].split())
    if not set(hosts) <= known:
        raise LabError(f"{path}: unknown hosts {set(hosts) - known}")
    if fields.get("tests", "kvm") not in ("kvm", "client"):
        raise LabError(f"{path}: `tests:` may be `kvm` or `client`")
    initrds = tuple(fields.get("initrds", "").split())
    if not set(initrds) <= set(images.GUESTS):
        raise LabError(f"{path}: unknown initrds; there are {', '.join(images.GUESTS)}")
    wanted = tuple(fields.get("programs", "").split())
    if not set(wanted) <= set(programs.HOST_PROGRAMS):
        raise LabError(f"{path}: unknown programs; there are {', '.join(programs.HOST_PROGRAMS)}")
    return Scenario(path.stem, about, hosts, tuple(fields.get("kernels", "").split()), int(fields["seconds"]), initrds,
                    wanted, fields.get("tests", ""))


def everything():
    """name -> Scenario, in an order that meets simple failures first."""
    found = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.sh")) if path.stem != "lib"}
    first = [name for name in ("check", "boot") if name in found]
    return {name: found[name] for name in first + [name for name in found if name not in first]}


def chosen(names, host, wanted_alone):
    """The scenarios to run on a host; `wanted_alone`: it is an error if one of them isn't meant for this host."""
    known = everything()
    if not names or names == ["all"]:
        return [scenario for scenario in known.values() if host in scenario.hosts]
    result = []
    for name in names:
        if name not in known:
            raise LabError(f"unknown scenario {name} (ci/lab --list)")
        if host in known[name].hosts:
            result.append(known[name])
        elif wanted_alone:
            raise LabError(f"scenario {name} does not run on {host}, only on {', '.join(known[name].hosts)}")
    return result
