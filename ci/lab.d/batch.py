"""Runs scenarios on emulated hosts: many in one boot, several hosts side by side."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import time

import run
from processes import say

#: What tells why an emulated host ended: its console, and its emulator's messages.
HOST_LOGS = ("host", "emulator")


@dataclasses.dataclass
class Result:
    """What came of one scenario on one host."""
    host: str
    scenario: str
    passed: bool
    words: str
    seconds: float = 0.0


def read_result(job, name):
    """The result that the host has left, or None."""
    try:
        status, began, ended = (job.results / name / "status").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    words = {"0": "passed", "124": "timed out"}.get(status, "failed")
    return Result(job.name, name, status == "0", words, float(ended) - float(began))


def explain(job, result):
    """Shows the logs of a failed scenario."""
    folder = job.results / result.scenario
    say(f"\n---- {result.host} {result.scenario} {result.words}; logs in {os.path.relpath(folder)}/")
    for path in [folder / "output", *sorted(folder.glob("*.log"))]:
        say(f"-- the last of {path.name}:\n{run.tail(path)}")
    say("----")


async def _watch(job, names, report):
    """Reports results as the host leaves them."""
    waiting = list(names)
    while waiting:
        for name in list(waiting):
            result = read_result(job, name)
            if result:
                waiting.remove(name)
                report(result)
        await asyncio.sleep(0.2)


async def _boot(job, report):
    """One boot; returns why it ended if not all scenarios were run."""
    names = [name for name, _ in job.scenarios]
    with job.folder() as lab:
        watcher = asyncio.create_task(_watch(job, names, report))
        try:
            await asyncio.wait_for(run.emulator(job.isa).boot(job, lab), job.seconds)
            ended = "host died"
        except asyncio.TimeoutError:
            ended = "host hung"
        # What was written last may not have been seen yet.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(watcher, 1)
        return ended


async def _job(job, slots, report):
    """Runs all scenarios of a job, in a fresh host again if one takes its host down."""
    async with slots:
        for name, _ in job.scenarios:
            shutil.rmtree(job.results / name, ignore_errors=True)
        while job.scenarios:
            ended = await _boot(job, report)
            left = [entry for entry in job.scenarios if not read_result(job, entry[0])]
            if left:
                name = left[0][0]
                (job.results / name).mkdir(exist_ok=True)
                for log in HOST_LOGS:
                    if job.log(log).exists():
                        shutil.copy(job.log(log), job.results / name / f"{log}.log")
                report(Result(job.name, name, False, ended))
            job = dataclasses.replace(job, scenarios=tuple(left[1:]))


async def everything(jobs, unbuilt, slots):
    """Runs the jobs, `slots` hosts at a time; prints the table; returns the exit status.

    `unbuilt` are names of hosts for which there is no triarch to test: a failure each.
    """
    began = time.monotonic()
    jobs = [part for job in jobs for part in job.split(max(1, slots // len(jobs)))]
    results = [Result(host, "(build)", False, "failed") for host in unbuilt]
    by_host = {job.name: job for job in jobs}

    def report(result):
        results.append(result)
        say(f"lab: {result.host:14} {result.scenario:18} {result.words} ({result.seconds:.0f} s)")
        if not result.passed:
            explain(by_host[result.host], result)

    limit = asyncio.Semaphore(slots)
    await asyncio.gather(*[_job(job, limit, report) for job in jobs])
    table(results)
    failed = sum(not result.passed for result in results)
    print(f"{time.monotonic() - began:.0f} s in all\nlab: {len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


def table(results):
    """All results, for people."""
    hosts = list(dict.fromkeys(result.host for result in results))
    print(f"\n{'scenario':20}{'host':16}{'result':12}{'seconds':>8}")
    for result in sorted(results, key=lambda r: hosts.index(r.host)):
        mark = result.words if result.passed else result.words.upper()
        print(f"{result.scenario:20}{result.host:16}{mark:12}{result.seconds:8.1f}")
