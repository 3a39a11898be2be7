"""The command line of ci/lab."""

import argparse
import asyncio
import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import sys

import batch
import build
import cache
import images
import kernels
import run
import scenarios
from isas import ISAS
from job import Job
from processes import LabError, say

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

HELP = """\
Boots an emulated host of an ISA (QEMU with SVM for x86_64, QEMU with EL2 for aarch64, Hercules with SIE for s390x) with
real KVM, the just-built triarch and Debian's kernels in it, and runs something there:

  ci/lab ISA --run 'COMMANDS'      shell commands; their output comes to stdout, their status is the exit status
  ci/lab ISA                       an interactive shell on the emulated host
  ci/lab ISA --start 'COMMAND'     a command instead of that shell, such as a guest on this terminal
  ci/lab ISA SCENARIO...           these scenarios (ci/lab --list shows them)
  ci/lab ISA all                   all scenarios of the ISA
  ci/lab all [SCENARIO...]         on every ISA and variant

ISA is x86_64, aarch64 (aarch64/gicv2 for a host with a GICv2), or s390x. On the emulated host:

  /lab/triarch                     in the PATH
  /lab/kernels/NAME/vmlinuz        NAME: trixie, bookworm, and trixie-cloud on x86_64, trixie-16k on aarch64
  /lab/kernels/NAME/vmlinux        uncompressed, on x86_64
  /lab/initrd.img                  busybox with a shell on the console
  /lab/scenarios/                  ci/scenarios; `. /lab/scenarios/lib.sh` for vm_start and friends
  /lab/FILE                        what --put brings in
  $APPEND                          the command line that makes a guest of this ISA start fast
  $OUT                             files put here come back as target/lab/ISA/run/

For example:
  ci/lab x86_64 --run 'triarch run --kernel /lab/kernels/trixie/vmlinuz --initrd /lab/initrd.img --append "$APPEND"'
"""


def _parser():
    parser = argparse.ArgumentParser(prog="ci/lab", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("isa", nargs="?", metavar="ISA", help="x86_64, aarch64, aarch64/gicv2, s390x, or all")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="scenarios by name, or all")
    parser.add_argument("--run", metavar="COMMANDS", help="run shell commands on the emulated host")
    parser.add_argument("--start", metavar="COMMANDS", help="have this terminal as the console of shell commands there")
    parser.add_argument("--files", action="store_true", help="print paths of a kernel and an initrd for guests, and a "
                        "command line for them, as shell assignments")
    parser.add_argument("--kernels", metavar="NAMES", help="with --run or a shell: kernels to have there (default: "
                        "trixie for s390x, where each costs seconds; all elsewhere)")
    parser.add_argument("--put", metavar="FILE", type=pathlib.Path, action="append", default=[],
                        help="with --run or a shell: a file to have in /lab there (may be repeated)")
    parser.add_argument("--list", action="store_true", help="list scenarios and where they run")
    parser.add_argument("--triarch", metavar="PATH", help="the binary to test (default: built by ci/build-static)")
    parser.add_argument("--results", metavar="DIR", help="where results go (default: target/lab)")
    parser.add_argument("--keep", action="store_true", help="keep the files that a host was booted with, in .lab and "
                        ".hercules beside its results")
    parser.add_argument("--jobs", type=int, metavar="N", help="emulated hosts at a time (default: one a core)")
    parser.add_argument("--timeout", type=int, metavar="SECONDS",
                        help="limit for --run (default 600), or for all of an emulated host's scenarios")
    return parser


def _split(name):
    isa, _, variant = name.partition("/")
    if isa not in ISAS or variant not in ISAS[isa].variants:
        known = [f"{i.name}/{v}" if v else i.name for i in ISAS.values() for v in i.variants]
        raise LabError(f"unknown ISA {name}; the lab has {', '.join(known)}, and all")
    return ISAS[isa], variant


def _check_kernels(isa, names):
    for name in names:
        if name not in isa.kernels:
            raise LabError(f"no kernel {name} for {isa.name}; there are {', '.join(isa.kernels)}")
    return tuple(names)


def _results(options, isa, variant):
    folder = pathlib.Path(options.results or TOP / "target/lab").absolute() / run.folder_name(isa, variant)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _owning(folders):
    """Keeps two runs from writing into the same results."""
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(cache.locked(folder.with_name(folder.name + ".lock"), str(folder)))
        yield


def _adhoc(options, mode):
    """One host for one script, or for a person."""
    isa, variant = _split(options.isa)
    names = options.kernels.split(",") if options.kernels else ["trixie"] if isa.name == "s390x" else list(isa.kernels)
    if mode == "shell" and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LabError("an interactive session needs a terminal; use --run, or name scenarios")
    job = Job(isa, variant, mode, build.triarch(isa, options.triarch), _results(options, isa, variant),
              _check_kernels(isa, names), script=options.run or options.start or "", limit=options.timeout or 600,
              files=tuple(options.put), keep=options.keep)
    job.prepare()
    with _owning([job.results]):
        shutil.rmtree(job.results / "run", ignore_errors=True)
        return asyncio.run(_until_killed(run.shell(job) if mode == "shell" else run.commands(job)))


def _tests(isa, kind):
    """Programs of a kind for /lab/tests, or nothing, which their scenario takes for a failure while others can still pass."""
    try:
        return build.kvm_tests(isa) if kind == "kvm" else [build.client(isa)]
    except LabError as error:
        say(f"lab: {error}")
        return []


def _scenarios(options):
    """Scenarios on one host or on all."""
    if options.triarch and options.isa == "all":
        raise LabError("--triarch is a binary of one ISA; name that ISA")
    if options.isa == "all":
        hosts = [(isa, variant) for isa in ISAS.values() for variant in isa.variants]
        # The slowest first, so that the others fill the time beside it.
        hosts.sort(key=lambda host: (-scenarios.SLOWNESS.get(host[0].name, 1), host[1]))
    else:
        hosts = [_split(options.isa)]
    jobs, built, tests, unbuilt = [], {}, {}, []
    for isa, variant in hosts:
        chosen = scenarios.chosen(options.scenarios, run.host_name(isa, variant), wanted_alone=options.isa != "all")
        if not chosen:
            continue
        try:
            if isa not in built:
                built[isa] = build.triarch(isa, options.triarch)
        except LabError as error:
            # The other ISAs can still tell something.
            say(f"lab: {error}")
            unbuilt.append(run.host_name(isa, variant))
            continue
        kinds = sorted({scenario.tests for scenario in chosen} - {""})
        for kind in kinds:
            if (isa, kind) not in tests:
                tests[isa, kind] = _tests(isa, kind)
        needed = dict.fromkeys(["trixie", *[name for scenario in chosen for name in scenario.kernels]])
        job = Job(isa, variant, "batch", built[isa], _results(options, isa, variant), _check_kernels(isa, needed),
                  scenarios=tuple((scenario.name, scenario.limit(isa)) for scenario in chosen),
                  initrds=tuple(dict.fromkeys(name for scenario in chosen for name in scenario.initrds)),
                  programs=tuple(dict.fromkeys(name for scenario in chosen for name in scenario.programs)),
                  whole_limit=options.timeout, keep=options.keep, tests=tuple(file for kind in kinds for file in tests[isa, kind]))
        job.prepare()
        jobs.append(job)
    if not jobs and not unbuilt:
        raise LabError("none of these scenarios runs there")
    with _owning([job.results for job in jobs]):
        return asyncio.run(_until_killed(batch.everything(jobs, unbuilt, options.jobs or os.cpu_count() or 1)))


def _files(options):
    """What ci/boot needs to boot a guest on this very machine."""
    isa, _ = _split(options.isa)
    values = {"kernel": kernels.view(isa, ["trixie"]) / "trixie/vmlinuz", "initrd": images.guest(isa), "append": isa.append}
    print("".join(f"{key}={shlex.quote(str(value))}\n" for key, value in values.items()), end="")
    return 0


def _list():
    for scenario in scenarios.everything().values():
        print(f"{scenario.name:18}{' '.join(scenario.hosts)}\n{'':18}{scenario.about}")
    return 0


async def _until_killed(work):
    """Makes SIGTERM and SIGHUP end the work as Ctrl-C does: by cancelling it, so that what it started ends too."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    return await task


def main(arguments):
    """Returns the exit status: 0 if all passed, 1 if something failed, 2 for usage."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    try:
        if options.list:
            return _list()
        if not options.isa:
            parser.error("which ISA? (ci/lab --help)")
        if options.files:
            return _files(options)
        if options.run is not None:
            if options.scenarios:
                parser.error("either --run or scenarios")
            return _adhoc(options, "run")
        if options.isa != "all" and not options.scenarios:
            return _adhoc(options, "shell")
        return _scenarios(options)
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("lab: stopped")
        return 130
