"""One session of measuring: the upstream, who asks, and the contenders, all running at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.contenders import Contender, Running, running
from benchmarks.driver import Found, Plan
from benchmarks.figures import Figures
from benchmarks.processes import Driver, cpu, driver, processors, start, stop, upstream
from tests.soak.load import Found as Read
from tests.soak.load import Plan as ReadPlan


class Session:
    """What measures.

    @ivar upstream: the upstream's port.
    @ivar folder: where contenders write.
    @ivar ready: the contenders.
    @ivar figures: what was found.
    """

    def __init__(self, upstream: int, driver: Driver, folder: Path, ready: Sequence[Running]) -> None:
        self.upstream = upstream
        self.folder = folder
        self.ready = ready
        self.figures = Figures()
        self._driver = driver

    def ask(self, plan: Plan) -> Found:
        """Ask as a plan says; see `benchmarks.driver`."""
        return self._driver.ask(plan)

    def spent(self, each: Running, plan: Plan) -> tuple[float, Found]:
        """Ask a contender: its processor time for one request, in microseconds, and what was found."""
        pids = each.pids
        before = cpu(pids)
        found = self.ask(plan)
        return 1e6 * (cpu(pids) - before) / max(1, found.requests), found

    def read(self, plan: ReadPlan, *, strict: bool = True) -> Read:
        """Ask and look into every piece of the answers; see `tests.soak.load`.

        @param strict: whether an answer that is not what it must be is an error, and not only told.
        @raise AssertionError: an answer was not what it must be.
        """
        with self.reading(plan) as load:
            assert load.stdout is not None
            text = load.stdout.read()
            assert load.wait() == 0, "the load broke off"
        found = Read(**json.loads(text))
        assert not (strict and found.wrong), found.wrong
        return found

    @contextmanager
    def reading(self, plan: ReadPlan) -> Iterator[subprocess.Popen[str]]:
        """The process that reads, for as long as it is wanted."""
        command = [sys.executable, "-m", "benchmarks.reader"]
        load = start(command, processors()[1], output=subprocess.PIPE, stdin=subprocess.PIPE)
        try:
            assert load.stdin is not None
            load.stdin.write(json.dumps(asdict(plan)))
            load.stdin.close()
            yield load
        finally:
            stop(load)


@contextmanager
def session(contenders: Sequence[Contender]) -> Iterator[Session]:
    """A session with contenders that have answered already, and have their connections."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, asking = stack.enter_context(upstream()), stack.enter_context(driver())
        ready = [stack.enter_context(running(each, port, folder)) for each in contenders]
        for each in ready:
            for stream in (False, True):
                asking.ask(Plan(each.port, each.contender.path, seconds=0.5, stream=stream))
        yield Session(port, asking, folder, ready)
