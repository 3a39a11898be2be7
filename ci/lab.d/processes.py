"""Child processes that can't outlive this one.

An emulated host is a process that burns a core for minutes, so none may be left behind: each child gets a
session of its own (so that its whole group can be killed) and asks the kernel to be killed when we die, which
covers even a SIGKILL of this program. That request is bound to the *thread* that forked, so all of this runs in the
main thread: preparation with `run`, one step after the other, and then emulated hosts side by side with `spawn`.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something that the person at the terminal can act on; printed without a traceback."""


def die_with_parent():
    """Runs in the child between fork and exec: the kernel kills it when the forking thread dies."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        os._exit(127)


def _die_with_parent_alone():
    os.setsid()
    die_with_parent()


async def spawn(argv, *, stdin=subprocess.DEVNULL, stdout=None, stderr=None, own_session=True, **more):
    """Starts argv. `own_session=False` is for children that share our terminal."""
    preexec = _die_with_parent_alone if own_session else die_with_parent
    try:
        return await asyncio.create_subprocess_exec(
            *[str(a) for a in argv], stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=preexec, **more)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed (ci/setup installs what the lab needs): {error}") from error


def _signal(process, number, own_session):
    with contextlib.suppress(ProcessLookupError):
        if own_session:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


async def stop(process, *, grace=2.0, own_session=True):
    """Ends a child and waits for it: SIGTERM first unless `grace` is 0, SIGKILL to its whole group after `grace` seconds."""
    if process.returncode is None and grace:
        _signal(process, signal.SIGTERM, own_session)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), grace)
    _signal(process, signal.SIGKILL, own_session)
    await process.wait()


def run(argv, *, what=None, cwd=None, env=None, input_bytes=None):
    """Runs a helper program to its end and returns its stdout; its failure is a LabError with its last words."""
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, input=input_bytes, stdin=subprocess.DEVNULL if input_bytes is None else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env,
                              preexec_fn=die_with_parent, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed (ci/setup installs what the lab needs): {error}") from error
    if done.returncode != 0:
        words = (done.stderr + done.stdout).decode(errors="replace").strip()[-2000:]
        raise LabError(f"{what or argv[0]} failed with status {done.returncode}:\n{words}")
    return done.stdout


def say(*words):
    """Progress for the person who watches: on stderr, so that stdout stays for results."""
    print(*words, file=sys.stderr, flush=True)
