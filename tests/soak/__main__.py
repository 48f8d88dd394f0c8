"""The soak test: ``python -m tests.soak [PHASE ...]``, which ``tox -e soak`` runs.

Three phases, each at both ports, each for as long as its variable says:

  - ``rate``: exchanges, streamed and not, one after the other on kept connections, at the highest rate;
  - ``slow``: many streams at the same time, with seconds between two pieces of text;
  - ``faults``: streams at which the upstream and the clients do wrong at random.

Every piece of text has a number, and each answer an end, and all are checked.  What is found is printed; the exit
status is 1 where a piece was lost, doubled or out of order, where a broken answer looked whole, or where the proxy
logged an error of its own or kept files open.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from tests.soak.load import Found, Plan
from tests.soak.rig import Rig, Use, most_files, rig

#: The proxy's port kinds.
PORTS = ("passthrough", "bridge")

_PREFIX = "OAIPROXY_TEST_SOAK_"


def _number(name: str, otherwise: float) -> float:
    return float(os.environ.get(_PREFIX + name) or otherwise)


@dataclass
class Size:
    """How much of everything; each from the variable OAIPROXY_TEST_SOAK_ and its name.

    @ivar rate_seconds: how long requests are made at the highest rate.
    @ivar rate_connections: on how many connections.
    @ivar slow_streams: how many streams at the same time.
    @ivar slow_seconds: how long each of them goes on.
    @ivar slow_every: seconds between two pieces of text of a stream.
    @ivar slow_loads: how many processes ask for them.
    @ivar fault_streams: how many streams at the same time in the phase with faults.
    @ivar fault_seconds: how long new ones are begun.
    @ivar fault_every: seconds between two pieces of text of one of them.
    @ivar settle: how long the proxy may take to close what it keeps open for reuse.
    """

    rate_seconds: float = field(default_factory=lambda: _number("RATE_SECONDS", 3600))
    rate_connections: float = field(default_factory=lambda: _number("RATE_CONNECTIONS", 32))
    slow_streams: float = field(default_factory=lambda: _number("SLOW_STREAMS", 10_000))
    slow_seconds: float = field(default_factory=lambda: _number("SLOW_SECONDS", 600))
    slow_every: float = field(default_factory=lambda: _number("SLOW_EVERY", 5))
    slow_loads: float = field(default_factory=lambda: _number("SLOW_LOADS", 1))
    fault_streams: float = field(default_factory=lambda: _number("FAULT_STREAMS", 1000))
    fault_seconds: float = field(default_factory=lambda: _number("FAULT_SECONDS", 600))
    fault_every: float = field(default_factory=lambda: _number("FAULT_EVERY", 0.1))
    settle: float = field(default_factory=lambda: _number("SETTLE", 45))


@dataclass
class Report:
    """What a phase found at a port.

    @ivar found: what its load generators found.
    @ivar before: what the proxy took before.
    @ivar peak: what it took in the middle.
    @ivar after: what it took when all was over.
    @ivar streams: how many streams there were at the same time.
    """

    phase: str
    port: str
    found: list[Found]
    before: Use
    peak: Use
    after: Use
    streams: int

    @property
    def wrong(self) -> list[str]:
        """What must never be."""
        found = [what for each in self.found for what in each.wrong]
        if self.after.files > self.before.files:
            found.append(f"{self.after.files - self.before.files} files more are open than before")
        return found

    def __str__(self) -> str:
        found = self.found
        seconds = max(each.seconds for each in found)
        exchanges, chunks = sum(each.exchanges for each in found), sum(each.chunks for each in found)
        cpu = self.after.cpu - self.before.cpu
        grown = self.peak.kilobytes - self.before.kilobytes
        lines = [
            f"{self.phase}, {self.port}: {exchanges:,} exchanges in {seconds:.1f} s ({exchanges / seconds:,.0f}/s), "
            f"{sum(each.whole for each in found):,} whole, {chunks:,} pieces ({chunks / seconds:,.0f}/s)",
            f"  proxy: {cpu:.1f} s of processor time ({cpu / seconds:.0%}); "
            f"memory {self.before.kilobytes:,} kB before, {self.peak.kilobytes:,} kB at the most, "
            f"{self.after.kilobytes:,} kB after"
            + (f" ({grown / self.streams:.1f} kB a stream)" if self.streams else "")
            + f"; files {self.before.files}, {self.peak.files}, {self.after.files}",
        ]
        for each in found:
            times = (("delay", each.delay), ("took", each.took))
            lines += [f"  {name}: {_times(values)}" for name, values in times if values]
            lines += [f"  {count:6,} {how}" for how, count in each.ended.items()]
        return "\n".join([*lines, *(f"  WRONG: {what}" for what in self.wrong[:5])])


def _times(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in values.items())


def _watch(running: Rig, plans: Sequence[Plan], phase: str, port: str, settle: float, streams: int = 0) -> Report:
    before = running.use()
    loads = [running.start(plan) for plan in plans]
    peak = before
    while any(load.poll() is None for load in loads):
        now = running.use()
        if now.kilobytes > peak.kilobytes:
            peak = now
        # counting thousands of files is work as well
        time.sleep(2.0 if streams > 500 else 0.25)
    found = [running.result(load) for load in loads]
    return Report(phase, port, found, before, peak, running.settled(before.files, settle), streams)


def rate(running: Rig, port: str, size: Size) -> list[Report]:
    """Exchanges at the highest rate, streamed and not."""
    reports = []
    for stream in (False, True):
        plan = Plan(
            running.ports[port], "rate", int(size.rate_connections), size.rate_seconds / 2, chunks=20, stream=stream
        )
        name = "rate, streams of 20 pieces" if stream else "rate, answers of 1 kB"
        reports.append(_watch(running, [plan], name, port, size.settle))
    return reports


def slow(running: Rig, port: str, size: Size) -> list[Report]:
    """Many streams at the same time."""
    streams, loads = int(size.slow_streams), int(size.slow_loads)
    chunks = max(2, int(size.slow_seconds / size.slow_every))
    # making a connection is far more work than a piece of text
    ramp = max(size.slow_every, streams / 150)
    plans = [
        Plan(running.ports[port], "streams", streams // loads, chunks=chunks, every=size.slow_every, ramp=ramp)
        for _ in range(loads)
    ]
    return [_watch(running, plans, f"{streams:,} slow streams", port, size.settle, streams)]


def faults(running: Rig, port: str, size: Size) -> list[Report]:
    """Streams with faults on both sides."""
    streams = int(size.fault_streams)
    seconds, every, ramp = size.fault_seconds, size.fault_every, streams / 500
    plan = Plan(running.ports[port], "faults", streams, seconds, chunks=20, every=every, ramp=ramp)
    return [_watch(running, [plan], f"{streams:,} streams with faults", port, size.settle, streams)]


PHASES: dict[str, Callable[[Rig, str, Size], list[Report]]] = {"rate": rate, "slow": slow, "faults": faults}


def soak(phases: Sequence[str], size: Size, ports: Sequence[str] = PORTS) -> tuple[list[Report], list[str]]:
    """Run phases, a proxy for each and each port; the reports, and what was wrong."""
    reports: list[Report] = []
    wrong: list[str] = []
    for phase in phases:
        for port in ports:
            with rig() as running:
                found = PHASES[phase](running, port, size)
                for report in found:
                    print(report, flush=True)
                    wrong += report.wrong
                for word in ("Traceback", "Unhandled error", "failed inside the proxy"):
                    if running.log_has(word):
                        wrong.append(f"{phase}, {port}: the proxy's log has {word!r}")
            reports += found
    return reports, wrong


def main(arguments: Sequence[str]) -> int:
    """Run the phases that are named; all where none is.

    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("phases", nargs="*", metavar="PHASE", help=", ".join(PHASES))
    parser.add_argument("--port", choices=PORTS, action="append", help="only this port")
    options = parser.parse_args(arguments)
    if unknown := set(options.phases) - set(PHASES):
        parser.error(f"there is no phase {', '.join(sorted(unknown))}")
    size = Size()
    files = most_files()
    if 2 * size.slow_streams + 100 > files:
        size.slow_streams = (files - 100) // 2
        print(f"this process may open {files:,} files: {size.slow_streams:,} slow streams, and no more")
    print(", ".join(f"{each.name} {getattr(size, each.name):g}" for each in fields(size)))
    _, wrong = soak(options.phases or list(PHASES), size, options.port or PORTS)
    for what in dict.fromkeys(wrong):
        print(f"WRONG: {what}")
    if not wrong:
        print("nothing was lost, doubled or out of order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
