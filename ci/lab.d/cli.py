"""The command line of ci/lab."""

import argparse
import asyncio
import pathlib
import shutil
import signal
import sys

import build
import cache
import run
from isas import ISAS
from job import Job
from processes import LabError, say

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

HELP = """\
Boots an emulated host of an ISA (QEMU with SVM for x86_64, QEMU with EL2 for aarch64, Hercules with SIE for s390x) with
real KVM, the just-built triarch and Debian's kernels in it, and runs something there:

  ci/lab ISA --run 'COMMANDS'      shell commands; their output comes to stdout, their status is the exit status
  ci/lab ISA                       an interactive shell on the emulated host
  ci/lab ISA SCENARIO...           these scenarios (ci/lab --list shows them)
  ci/lab ISA all                   all scenarios of the ISA
  ci/lab all [SCENARIO...]         on every ISA and variant

ISA is x86_64, aarch64 (aarch64/gicv2 for a host with a GICv2), or s390x. On the emulated host:

  /lab/triarch                     in the PATH
  /lab/kernels/NAME/vmlinuz        NAME: trixie, bookworm, and trixie-cloud on x86_64, trixie-16k on aarch64
  /lab/kernels/NAME/vmlinux        uncompressed, on x86_64
  /lab/initrd.img                  busybox with a shell on the console
  /lab/scenarios/                  ci/scenarios; `. /lab/scenarios/lib.sh` for vm_start and friends
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
    parser.add_argument("--kernels", metavar="NAMES", help="with --run or a shell: kernels to have there (default: "
                        "trixie for s390x, where each costs seconds; all elsewhere)")
    parser.add_argument("--list", action="store_true", help="list scenarios and where they run")
    parser.add_argument("--triarch", metavar="PATH", help="the binary to test (default: built by ci/build-static)")
    parser.add_argument("--results", metavar="DIR", help="where results go (default: target/lab)")
    parser.add_argument("--timeout", type=int, metavar="SECONDS",
                        help="limit for --run (default 600), or for all of an emulated host's scenarios")
    return parser


def _split(name):
    isa, _, variant = name.partition("/")
    if isa not in ISAS or variant not in ISAS[isa].variants:
        known = [f"{i.name}/{v}" if v else i.name for i in ISAS.values() for v in i.variants]
        raise LabError(f"unknown ISA {name}; the lab has {', '.join(known)}, and all")
    return ISAS[isa], variant


def _adhoc(options, mode):
    isa, variant = _split(options.isa)
    names = tuple(options.kernels.split(",")) if options.kernels else \
        ("trixie",) if isa.name == "s390x" else tuple(isa.kernels)
    for name in names:
        if name not in isa.kernels:
            raise LabError(f"no kernel {name} for {isa.name}; there are {', '.join(isa.kernels)}")
    results = pathlib.Path(options.results or TOP / "target/lab").absolute() / run.folder_name(isa, variant)
    job = Job(isa, variant, mode, build.triarch(isa, options.triarch), results, names, script=options.run or "",
              limit=options.timeout or 600)
    with cache.locked(results.with_name(results.name + ".lock"), str(results)):
        results.mkdir(exist_ok=True)
        shutil.rmtree(results / "run", ignore_errors=True)
        return asyncio.run(_until_killed(run.shell(job) if mode == "shell" else run.commands(job)))


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
    options = parser.parse_args(arguments)
    try:
        if not options.isa:
            parser.error("which ISA? (ci/lab --help)")
        if options.run is not None:
            return _adhoc(options, "run")
        if not options.scenarios:
            return _adhoc(options, "shell")
        raise LabError("scenarios are not there yet")
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("lab: stopped")
        return 130
