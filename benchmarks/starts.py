"""How soon there is an answer, and what a second worker brings."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.contenders import BY_NAME, Contender, Running, Started, running
from benchmarks.driver import Plan
from benchmarks.processes import cpu, driver, upstream
from benchmarks.session import Session
from tests.process import run, twistd


def starts(measuring: Session, contender: Contender) -> None:
    """Seconds from the start of the process to its first answer, and how many of them are processor time."""
    with running(contender, measuring.upstream, measuring.folder) as fresh:
        measuring.figures.add(contender.name, "start", fresh.started)
        measuring.figures.add(contender.name, "start cpu", cpu(fresh.pids))


def has_workers() -> bool:
    """Whether the service has the option ``--workers``."""
    return "--workers" in run(*twistd("--help")).stdout


def _with_workers(command: Callable[[int, int, Path], Started], count: int) -> Callable[[int, int, Path], Started]:
    def more(port: int, upstream: int, folder: Path) -> Started:
        begun = command(port, upstream, folder)
        return Started([*begun.command, "--workers", str(count)], begun.environ)

    return more


def workers(measuring: Session, times: int, seconds: float) -> None:
    """Streams a second with one worker and with two, on two processors, and the second as so many times the first.

    The bridge translates streams that upstream writes at once: of all there is to do this has the most for the proxy
    and the least for the upstream and the client, which on a machine with two processors have to share them.
    """
    mine = sorted(os.sched_getaffinity(0))
    two, rest = set(mine[:2]), set(mine[2:]) or set(mine[:2])
    bridge = BY_NAME["bridge"]
    with ExitStack() as stack:
        port, asking = stack.enter_context(upstream(rest)), stack.enter_context(driver(rest))
        ready: dict[int, Running] = {}
        for count in (1, 2):
            name = f"{count} workers"
            contender = replace(bridge, name=name, command=_with_workers(bridge.command, count))
            ready[count] = stack.enter_context(running(contender, port, measuring.folder, two))
        for turn in range(times + 1):
            for count, each in ready.items():
                plan = Plan(each.port, bridge.path, connections=64, seconds=seconds, stream=True, together=True)
                pids = each.pids
                before = cpu(pids)
                found = asking.ask(plan)
                # the first is to make connections
                if turn:
                    measuring.figures.add(f"{count} workers", "rate", found.requests / found.seconds)
                    measuring.figures.add(f"{count} workers", "cpu", 1e6 * (cpu(pids) - before) / found.requests)
