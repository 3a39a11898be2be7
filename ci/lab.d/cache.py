"""The cache outside the clone: packages, and what is derived from them, by content.

Several runs may use it at once: an entry is made under a lock in a temporary place and renamed into it when complete, so
whoever sees an entry sees all of it, and a run that was killed leaves only rubbish that the next one removes.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil

from processes import say


def root():
    """The cache's folder: TRIARCH_CACHE, or the desktop's place for caches."""
    chosen = os.environ.get("TRIARCH_CACHE")
    if not chosen:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        chosen = os.path.join(base, "triarch")
    path = pathlib.Path(chosen).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(*parts):
    """A key for content: parts are bytes, strings or paths (whose content counts)."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            part = part.read_bytes()
        elif isinstance(part, str):
            part = part.encode()
        whole.update(b"%d:" % len(part))
        whole.update(part)
    return whole.hexdigest()[:20]


@contextlib.contextmanager
def locked(path, what):
    """Holds an exclusive lock on `path` (a file made for it); says so when it has to wait. The kernel drops it if we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"lab: waiting for another run that is busy with {what}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _entry_lock(entry):
    return root() / "locks" / (entry.parent.name + "-" + entry.name)


@contextlib.contextmanager
def making(entry):
    """Locks `entry` and yields a fresh temporary folder to build it in, or None if the entry exists already.

    On a normal end the temporary folder becomes the entry.
    """
    if entry.exists():
        yield None
        return
    with locked(_entry_lock(entry), entry.name):
        if entry.exists():
            yield None
            return
        work = entry.with_name(entry.name + ".part")
        if work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        yield work
        work.rename(entry)
