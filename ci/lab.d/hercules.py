"""The emulated s390x host: Hercules, whose SIE is the only one on offer (QEMU's TCG has none)."""

import asyncio
import contextlib
import os
import struct
import subprocess
import sys

import cpio
import images
import keyboard
import stream
from kernels import Kernel
from processes import spawn, stop

#: What the host and its guests work in. The files that it is given are there twice while it unpacks them.
WORK_STORAGE_MIB = 1024
INITRD_ADDRESS = 0x0200_0000
#: Fields of the kernel's parameter area; the loader's list format has 32-bit addresses, so the low words of u64 fields.
INITRD_START_FIELD = 0x1040C
INITRD_SIZE_FIELD = 0x10414
COMMAND_LINE_FIELD = 0x10480

# Its own choice has the CPU's thread at niceness 15: on a busy machine, a host that never gets anywhere.
CONFIGURATION = """\
CPUMODEL 2964
MAINSIZE {storage}
XPNDSIZE 0
CNSLPORT 3270
NUMCPU 1
MAXCPU 1
OSTAILOR QUIET
PANRATE SLOW
HERCPRIO {niceness}
CPUPRIO {niceness}
ARCHMODE ESAME
0120 3370 {disk}
"""

_APPEND = ("console=ttyS0 panic=-1 cryptomgr.notests=1 nokaslr audit=0 lsm=capability loglevel=4 "
           "initcall_blacklist=load_system_certificate_list,jent_mod_init")

#: A line to the console has 123 characters at most, and a key takes four.
KEYS_A_LINE = 30

#: What Hercules prints when its machine has stopped for good.
_STOPPED = (b"disabled wait state", b"SYSCONS interface inactive")


def _payload(job, lab):
    """/lab as an archive to put behind the initrd: unpacking it costs the host nothing, reading a disk takes seconds."""
    archive = cpio.Archive()
    for folder, prefix in ((lab, "lab"), (job.kernel_view(), "lab/kernels")):
        for path in sorted(folder.rglob("*")):
            name = f"{prefix}/{path.relative_to(folder)}"
            if path.is_dir():
                archive.folder(name)
            else:
                archive.file(name, path.read_bytes(), path.stat().st_mode & 0o755)
    return archive.bytes()


def _write_files(job, lab, folder, disk):
    initrd = images.host(job.isa, "fba").read_bytes() + _payload(job, lab)
    (folder / "vmlinuz").write_bytes((Kernel(job.isa, "trixie").folder / "vmlinuz").read_bytes())
    (folder / "initrd").write_bytes(initrd)
    (folder / "append").write_bytes(_APPEND.encode() + b"\0")
    (folder / "initrd-start").write_bytes(struct.pack(">I", INITRD_ADDRESS))
    (folder / "initrd-size").write_bytes(struct.pack(">I", len(initrd)))
    (folder / "linux.ins").write_text(
        f"vmlinuz 0x00000000\nappend 0x{COMMAND_LINE_FIELD:08x}\ninitrd-start 0x{INITRD_START_FIELD:08x}\n"
        f"initrd-size 0x{INITRD_SIZE_FIELD:08x}\ninitrd 0x{INITRD_ADDRESS:08x}\n")
    (folder / "commands").write_text("ipl linux.ins\n")
    storage = WORK_STORAGE_MIB + 2 * (len(initrd) >> 20)
    (folder / "hercules.cnf").write_text(CONFIGURATION.format(storage=storage, disk=disk.name,
                                                                niceness=os.nice(0)))


@contextlib.asynccontextmanager
async def _running(job, lab, *words):
    """Starts the host; yields its process and a function that takes new results and tells if there is more to come."""
    with job.own_folder("hercules") as folder:
        disk = folder / "results"
        _write_files(job, lab, folder, disk)
        reader = stream.Reader(disk, job.results)
        log = job.log("host")
        with open(log, "wb") as output, open(job.log("emulator"), "wb") as errors:
            # Hercules ends when its stdin does, and not when its machine stops.
            process = await spawn(["hercules", "-d", "-f", "hercules.cnf", *words], stdin=subprocess.PIPE, stdout=output,
                                  stderr=errors, cwd=folder, env={"HERCULES_RC": "commands", "PATH": "/usr/bin"})

            def poll():
                stopped = process.returncode is not None or any(word in log.read_bytes() for word in _STOPPED)
                reader.poll()
                return not stopped and not reader.ended

            try:
                yield process, poll
            finally:
                # Its own shutdown takes a second and buries the console's last lines.
                await stop(process, grace=0)
                reader.poll()


async def boot(job, lab):
    """Runs the host until its results are complete or its machine stops; its console goes to host.log."""
    async with _running(job, lab) as (_, poll):
        while poll():
            await asyncio.sleep(0.2)


async def interact(job, lab):
    """Runs the host with this terminal as the keyboard and screen of what the job starts there.

    A command that is started has every key (it is a guest, whose console echoes by itself); a shell gets whole lines.
    """
    # The word has it read commands from stdin; a line that begins with a dot goes to the host's console.
    async with _running(job, lab, "EXTERNALGUI") as (process, poll):
        with keyboard.raw() if job.script else contextlib.nullcontext():
            keys = keyboard.Keys(quits=bool(job.script))
            shown = 0
            output = job.results / "run/output"
            while poll() and not keys.quit:
                typed = keys.take()
                for at in range(0, len(typed), KEYS_A_LINE):
                    codes = " ".join(f"{byte:03o}" for byte in typed[at:at + KEYS_A_LINE])
                    process.stdin.write(f".{codes}\n".encode())
                shown = _show(output, shown)
                await asyncio.sleep(0.05)
        _show(output, shown)


def _show(path, shown):
    """Copies what a file has beyond `shown` bytes to stdout; returns the new count."""
    if path.exists():
        new = path.read_bytes()[shown:]
        sys.stdout.buffer.write(new)
        sys.stdout.flush()
        shown += len(new)
    return shown
