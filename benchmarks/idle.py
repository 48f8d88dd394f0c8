"""What an open stream takes on which nothing comes."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from benchmarks.contenders import Contender, running
from benchmarks.processes import memory
from benchmarks.session import Session
from tests.soak.load import Plan as ReadPlan

#: Streams are begun at this rate, a second.
_RATE = 400

#: What a process has open beside two sockets for each stream.
_OTHERS = 100


def as_many_as(streams: int, files: int) -> int:
    """So many streams, or as many as files may be open."""
    return min(streams, (files - 2 * _OTHERS) // 2)


def _files(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += len(os.listdir(f"/proc/{pid}/fd"))
    return total


def idle(measuring: Session, contender: Contender, streams: int) -> None:
    """KiB of memory for a stream, where so many are open at the same time; of a process that did nothing else."""
    with running(contender, measuring.upstream, measuring.folder) as fresh:
        measuring.read(ReadPlan(fresh.port, "rate", 4, 0.5, chunks=2, every=0.01))
        pids = fresh.pids
        before, files = memory(pids)[0], _files(pids)
        plan = ReadPlan(fresh.port, "streams", streams, chunks=1, every=3600.0, ramp=streams / _RATE)
        with measuring.reading(plan) as load:
            until = time.monotonic() + 4 * plan.ramp + 20
            # the connections from before are used again
            while (now := _files(pids)) < files + 2 * streams - 32:
                assert load.poll() is None, "the load ended"
                assert time.monotonic() < until, f"only {(now - files) // 2} of {streams} streams were opened"
                time.sleep(0.5)
            time.sleep(1.0)
            after = memory(pids)[0]
    measuring.figures.add(contender.name, "idle", (after - before) / streams)
    measuring.figures.add(contender.name, "idle streams", streams)
