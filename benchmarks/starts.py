"""How soon there is an answer."""

from __future__ import annotations

from benchmarks.contenders import Contender, running
from benchmarks.processes import cpu
from benchmarks.session import Session


def starts(measuring: Session, contender: Contender) -> None:
    """Seconds from the start of the process to its first answer, and how many of them are processor time."""
    with running(contender, measuring.upstream, measuring.folder) as fresh:
        measuring.figures.add(contender.name, "start", fresh.started)
        measuring.figures.add(contender.name, "start cpu", cpu(fresh.pids))
