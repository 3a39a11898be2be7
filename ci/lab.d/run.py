"""Runs jobs on emulated hosts and brings back what came of them."""

import asyncio
import os
import sys

import hercules
import qemu
from processes import say


def folder_name(isa, variant):
    """Where results of an ISA and variant go, below target/lab."""
    return f"{isa.name}-{variant}" if variant else isa.name


def host_name(isa, variant):
    """As on the command line: aarch64 or aarch64/gicv2."""
    return f"{isa.name}/{variant}" if variant else isa.name


def emulator(isa):
    """The module that emulates a host of the ISA."""
    return hercules if isa.name == "s390x" else qemu


def tail(path, lines=25):
    """The last lines of a log, for a person."""
    if not path.exists():
        return f"({path.name} was never written)"
    text = path.read_bytes().decode(errors="replace").replace("\r", "").rstrip("\n").split("\n")
    return "\n".join(line[:300] for line in text[-lines:])


async def _follow(path, done):
    """Copies a growing file to stdout until `done` is set and all of it is copied."""
    at = 0
    while True:
        finished = done.is_set()
        if path.exists():
            with open(path, "rb") as file:
                file.seek(at)
                new = file.read()
            at += len(new)
            os.write(sys.stdout.fileno(), new) if new else None
        if finished:
            return
        await asyncio.sleep(0.1)


async def commands(job):
    """Runs the job's script and streams its output; returns the script's exit status (124: its time was over)."""
    done = asyncio.Event()
    with job.folder() as lab:
        follower = asyncio.create_task(_follow(job.results / "run/output", done))
        try:
            await asyncio.wait_for(emulator(job.isa).boot(job, lab), job.seconds)
        except asyncio.TimeoutError:
            say(f"lab: the emulated host hung: no end after {job.seconds} s")
        finally:
            done.set()
            await follower
    status = job.results / "run/status"
    if not status.exists():
        say(f"lab: the emulated host ended early; its console ({job.log('host')}) says:\n"
            f"{tail(job.log('host'))}\n{tail(job.log('emulator'))}")
        return 1
    return int(status.read_text().split()[0])


async def shell(job):
    """An interactive shell on the emulated host."""
    with job.folder() as lab:
        return await emulator(job.isa).interact(job, lab)
