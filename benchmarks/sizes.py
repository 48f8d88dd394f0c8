"""How the cost grows with what there is to do."""

from __future__ import annotations

from benchmarks.contenders import Contender, running
from benchmarks.driver import Plan
from benchmarks.processes import cpu, forget_most, memory, stepping
from benchmarks.session import Session

#: Pieces of text in a stream.
STREAMS = (10, 100, 1000, 10_000, 100_000)

#: Bytes of a request's body; the last is what a body may have by default.
BODIES = (1_000, 64_000, 1_000_000, 8_000_000, 64_000_000)


def streams(measuring: Session, contender: Contender, sizes: tuple[int, ...] = STREAMS, pieces: int = 20_000) -> None:
    """Microseconds a piece, for longer and longer streams in lockstep; what a stream costs that has but one is taken
    off.

    @param pieces: how many of them for each size, about.
    """
    with stepping() as (upstream, driver), running(contender, upstream, measuring.folder) as fresh:
        pids = fresh.pids

        def spent(chunks: int) -> float:
            most = max(1, min(pieces // 10, pieces // chunks))
            plan = Plan(fresh.port, contender.path, connections=1, seconds=120.0, most=most, stream=True, chunks=chunks)
            before = cpu(pids)
            found = driver.ask(plan)
            return 1e6 * (cpu(pids) - before) / found.requests

        spent(100)
        one = spent(1)
        for chunks in sizes:
            measuring.figures.add(contender.name, f"chunk of {chunks}", (spent(chunks) - one) / (chunks - 1))


def bodies(measuring: Session, contender: Contender, sizes: tuple[int, ...] = BODIES) -> None:
    """Microseconds for requests with larger and larger bodies, and how many bodies the memory for the largest holds."""
    with running(contender, measuring.upstream, measuring.folder) as fresh:
        pids = fresh.pids
        for size in sizes:
            most = max(3, min(2000, 20_000_000 // size))

            def plan(most: int, size: int = size) -> Plan:
                return Plan(fresh.port, contender.path, connections=1, seconds=60.0, most=most, body=size)

            if size == sizes[0]:
                measuring.ask(plan(100))
            before = memory(pids)[0]
            forget_most(pids)
            spent, _ = measuring.spent(fresh, plan(most))
            measuring.figures.add(contender.name, f"body of {size}", spent)
            measuring.figures.add(contender.name, f"memory of {size}", 1024 * (memory(pids)[1] - before) / size)
