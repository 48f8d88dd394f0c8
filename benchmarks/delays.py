"""What is added to the time of answers: each through a contender, beside the same client asking the upstream itself."""

from __future__ import annotations

from benchmarks.contenders import Running
from benchmarks.driver import Plan
from benchmarks.processes import cpu
from benchmarks.session import Session
from tests.soak.load import Found
from tests.soak.load import Plan as ReadPlan

#: Streams whose pieces are 20 ms apart: few enough for the slowest contender.
PACED = ReadPlan(0, "streams", concurrent=10, chunks=100, every=0.02, ramp=0.2)

#: The contenders that could hold a thousand streams.
QUICK = ("passthrough", "bridge", "nginx", "aiohttp")


def answers(measuring: Session, seconds: float) -> None:
    """One round: milliseconds added to a whole answer and to the first byte of a stream, one client at a time."""

    def asked(port: int, path: str, long: float) -> tuple[float, float]:
        whole = measuring.ask(Plan(port, path, connections=1, seconds=long))
        stream = measuring.ask(Plan(port, path, connections=1, seconds=long, stream=True, chunks=1))
        return whole.took[0], stream.first

    direct = asked(measuring.upstream, "/v1/chat/completions", seconds)
    figures = measuring.figures
    for each in measuring.ready:
        whole, first = asked(each.port, each.contender.path, seconds)
        figures.add(each.contender.name, "answer added", 1000 * (whole - direct[0]))
        figures.add(each.contender.name, "first added", 1000 * (first - direct[1]))


def paced(measuring: Session) -> None:
    """One round: milliseconds added to each piece of a few streams whose pieces come 20 ms apart."""
    figures = measuring.figures
    direct = measuring.read(_at(PACED, measuring.upstream))
    for each in measuring.ready:
        found, _ = _read(measuring, each, PACED)
        own = each.contender.name
        figures.add(own, "paced p50", 1000 * (found.delay["p50"] - direct.delay["p50"]))
        figures.add(own, "paced p99", 1000 * (found.delay["p99"] - direct.delay["p99"]))


def held(measuring: Session, streams: int, seconds: float) -> None:
    """One round: many streams with 20 pieces a second each, for so many seconds all of them at the same time.

    Milliseconds added to a piece, pieces lost, the share of a core, and microseconds a piece.
    """
    figures = measuring.figures
    ramp = max(0.2, streams / 250)
    plan = ReadPlan(0, "streams", concurrent=streams, chunks=int((ramp + seconds) * 20), every=0.05, ramp=ramp)
    direct = measuring.read(_at(plan, measuring.upstream))
    for each in measuring.ready:
        if each.contender.name not in QUICK:
            continue
        found, spent = _read(measuring, each, plan)
        own = each.contender.name
        figures.add(own, "held p50", 1000 * (found.delay["p50"] - direct.delay["p50"]))
        figures.add(own, "held p99", 1000 * (found.delay["p99"] - direct.delay["p99"]))
        figures.add(own, "held direct p99", 1000 * direct.delay["p99"])
        # one that comes twice makes up for none that is missing
        figures.add(own, "held lost", max(streams * plan.chunks - found.chunks, len(found.wrong)))
        figures.add(own, "held share", 100 * spent / found.seconds)
        if requests := figures.values(own, "request"):
            figures.add(own, "chunk paced", (1e6 * spent / streams - requests[-1]) / plan.chunks)


def _read(measuring: Session, each: Running, plan: ReadPlan) -> tuple[Found, float]:
    pids = each.pids
    before = cpu(pids)
    # what is lost is a figure
    found = measuring.read(_at(plan, each.port), strict=False)
    return found, cpu(pids) - before


def _at(plan: ReadPlan, port: int) -> ReadPlan:
    return ReadPlan(**{**vars(plan), "port": port})
