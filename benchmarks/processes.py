"""Processes that are kept on processors, and what they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from benchmarks.driver import Found, Plan
from tests.process import ROOT, clean_environ

#: Every process has this long to get ready.  LiteLLM reads for half a minute.
PATIENCE = 180.0

#: What processes are started with where that is allowed.
_PRIORITY = -10


def processors() -> tuple[set[int], set[int]]:
    """Those of what is measured, and those of the load and the upstream: the first one, and all others.

    Where there is only one they share it, and only processor time says something.
    """
    mine = sorted(os.sched_getaffinity(0))
    return {mine[0]}, set(mine[1:]) or {mine[0]}


def descendants(pid: int) -> list[int]:
    """A process and those that it started, and so on."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(stat[1]), []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def cpu(pids: Sequence[int]) -> float:
    """The processor time of processes so far, user and system, in seconds.

    The kernel's clock of a process (clock_getcpuclockid(3)) has nanoseconds where ``/proc/PID/stat`` has hundredths.
    """
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)
    return total


def memory(pids: Sequence[int]) -> tuple[float, float]:
    """The resident memory of processes and the highest so far, in kB."""
    now = most = 0.0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            now += int(fields["VmRSS"].split()[0])
            most += int(fields["VmHWM"].split()[0])
    return now, most


def forget_most(pids: Sequence[int]) -> None:
    """Let the highest resident memory begin anew (proc(5), ``clear_refs``)."""
    for pid in pids:
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def start(
    command: Sequence[str],
    where: set[int],
    *,
    output: IO[str] | int | None = None,
    stdin: int = subprocess.DEVNULL,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path = ROOT,
) -> subprocess.Popen[str]:
    """Start a process on processors.

    @param command: the command line.
    @param where: the processors that it may use.
    @param output: where its output goes; its errors go there as well if this is a file.
    @param stdin: where its input comes from.
    @param environ: variables for it.
    """
    mine, priority = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    # a child has its parent's processors and priority from its first instruction on
    os.sched_setaffinity(0, where)
    with suppress(PermissionError):
        # other work on the machine is to disturb as little as it can; only root may ask for that
        os.setpriority(os.PRIO_PROCESS, 0, min(priority, _PRIORITY))
    try:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=output if output != subprocess.PIPE else None,
            text=True,
            cwd=cwd,
            env=clean_environ(environ or {}),
            start_new_session=True,
        )
        with suppress(OSError):
            # where sessions are scheduled as groups (sched(7), autogroup) their groups' priorities are what counts
            Path(f"/proc/{process.pid}/autogroup").write_text(str(_PRIORITY))
        return process
    finally:
        os.sched_setaffinity(0, mine)
        os.setpriority(os.PRIO_PROCESS, 0, priority)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process, and wait until it has."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


class Driver:
    """The process that asks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, plan: Plan) -> Found:
        """Do what a plan says.

        @raise AssertionError: an answer was not what it must be.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the driver ended"
        found = Found(**json.loads(line))
        assert not found.wrong, found.wrong
        return found


@contextmanager
def driver(where: set[int] | None = None) -> Iterator[Driver]:
    """Who asks, beside what is measured.

    @param where: the processors that it may use, if not the others.
    """
    command = [sys.executable, "-m", "benchmarks.driver"]
    process = start(command, where or processors()[1], output=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        yield Driver(process)
    finally:
        stop(process)


@contextmanager
def stepping() -> Iterator[tuple[int, Driver]]:
    """The port of an upstream, and who asks, that go in lockstep (`benchmarks.stepping`)."""
    command = [sys.executable, "-m", "benchmarks.stepping"]
    process = start(command, processors()[1], output=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), Driver(process)
    finally:
        stop(process)


@contextmanager
def upstream(where: set[int] | None = None) -> Iterator[int]:
    """The upstream, beside what is measured; its port.

    @param where: the processors that it may use, if not the others.
    """
    command = [sys.executable, "-m", "benchmarks.upstream"]
    process = start(command, where or processors()[1], output=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        stop(process)
