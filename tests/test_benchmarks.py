"""The benchmarks' tools work; nothing is timed."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from benchmarks.__main__ import main
from benchmarks.contenders import BY_NAME, Contender, chosen, running
from benchmarks.cost import measure
from benchmarks.delays import answers, held
from benchmarks.driver import Plan
from benchmarks.figures import Figure, Figures
from benchmarks.goals import GOALS, Goal
from benchmarks.processes import cpu, memory
from benchmarks.report import Size, page
from benchmarks.session import session
from benchmarks.sizes import bodies, streams
from benchmarks.stores import Size as StoresSize
from benchmarks.stores import everything
from benchmarks.table import table
from oaiproxy.store import redis, sqlite
from tests.redisserver import MISSING
from tests.soak.load import Plan as ReadPlan


class MeasuringTests(SynchronousTestCase):
    """A few requests with real processes."""

    def test_both_ports_answer_a_few_requests_and_streams(self) -> None:
        ours = [BY_NAME["passthrough"], BY_NAME["bridge"]]
        with session(()) as measuring:
            for each in ours:
                with running(each, measuring.upstream, measuring.folder) as ready:
                    plain, asked = measuring.spent(ready, Plan(ready.port, connections=2, seconds=30, most=6))
                    self.assertGreater(plain, 0)
                    self.assertEqual(asked.requests, 6)
                    for together in (False, True):
                        plan = Plan(ready.port, seconds=30, most=4, stream=True, chunks=20, together=together)
                        found = measuring.ask(plan)
                        self.assertEqual(found.requests, 4)
                        # beside the text there is what begins and ends a stream
                        self.assertGreaterEqual(found.events, 4 * 20)
                    read = measuring.read(ReadPlan(ready.port, "streams", 3, chunks=5, every=0.001))
                    self.assertEqual((read.whole, read.chunks), (3, 15))
                    self.assertGreater(memory(ready.pids)[0], 1000)
                    self.assertGreater(cpu(ready.pids), 0)

    def test_a_round_finds_each_figure_and_no_chunk_is_lost(self) -> None:
        with session((BY_NAME["passthrough"],)) as measuring:
            measure(measuring, 0.1)
            answers(measuring, 0.1)
            held(measuring, 5, 0.1)
            figures = measuring.figures
        self.assertEqual(figures.values("passthrough", "held lost"), [0.0])
        for what in ("request", "stream", "chunk", "answer added", "first added", "held p99", "chunk paced"):
            self.assertEqual(len(figures.values("passthrough", what)), 1, what)

    def test_the_growth_of_streams_and_bodies_is_found(self) -> None:
        contender = BY_NAME["bridge"]
        with session(()) as measuring:
            streams(measuring, contender, (500,), 1000)
            bodies(measuring, contender, (100_000, 200_000))
            figures = measuring.figures
        self.assertEqual(len(figures.values("bridge", "chunk of 500")), 1)
        self.assertGreater(figures.values("bridge", "body of 200000")[0], 0)


class SayingTests(SynchronousTestCase):
    """What becomes of figures."""

    def test_a_ratio_is_made_round_by_round(self) -> None:
        figures = Figures()
        for ours, theirs in ((10.0, 5.0), (30.0, 10.0), (8.0, 8.0)):
            figures.add("passthrough", "request", ours)
            figures.add("aiohttp", "request", theirs)
        ratio = figures.ratio(("passthrough", "request"), ("aiohttp", "request"))
        self.assertEqual(ratio, Figure(2.0, 1.0, 3.0))

    def test_a_figure_is_held_against_its_goal(self) -> None:
        at_most = Goal("CPU", lambda figures: figures.figure("a", "x"), 1.5)
        at_least = Goal("CPU", lambda figures: figures.figure("a", "x"), 8, True)
        figures = Figures()
        self.assertEqual(at_most.row(figures), ("CPU", "not measured", "at most 1.5", ""))
        figures.add("a", "x", 1.5)
        self.assertEqual(at_most.row(figures), ("CPU", "1.50", "at most 1.5", "met"))
        self.assertEqual(at_least.row(figures), ("CPU", "1.50", "at least 8", "**not met**"))

    def test_the_page_has_every_goal_where_nothing_was_measured(self) -> None:
        contenders: list[Contender] = [BY_NAME["passthrough"], BY_NAME["aiohttp"]]
        text = page(Figures(), contenders, ["left out: nginx, proxy_pass (nginx is not installed)"], Size())
        for goal in GOALS:
            self.assertIn(f"| {goal.what}", text)
        self.assertIn("Left out: nginx, proxy_pass (nginx is not installed).", text)

    def test_the_columns_of_a_table_line_up(self) -> None:
        self.assertEqual(
            table("T", ("", "b"), [("one", "1"), ("eleven", "1,000")]),
            "### T\n\n|        |     b |\n| ------ | ----: |\n| one    |     1 |\n| eleven | 1,000 |",
        )

    def test_a_contender_that_is_not_there_is_left_out_and_an_unknown_one_is_an_error(self) -> None:
        contenders, out = chosen(["passthrough", "nginx", "litellm"])
        self.assertEqual(len(contenders) + len(out), 3)
        self.assertIn(BY_NAME["passthrough"], contenders)
        with redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
            main(["cost", "nobody"])
        self.assertIn("there is no nobody, only passthrough", said.getvalue())


class StoresTests(TestCase):
    """The homes of a state store."""

    timeout = 60

    async def test_each_home_that_is_there_is_measured(self) -> None:
        # a machine that is busy with other tests may give a store nothing for longer
        for home in (redis, sqlite):
            self.patch(home, "DEADLINE", 30.0)
        text = await everything(reactor, StoresSize(one_by_one=10, many=64, rounds=2))
        for home in ("memory", "SQLite", "SQLite of workers", *([] if MISSING else ["Redis"])):
            for what in ("put", "get", "get 10", "add to 2"):
                self.assertIn(f"| {home}: {what} ", text)
        self.assertIn("| memory ", text)
        self.assertEqual("Left out: Redis" in text, bool(MISSING))
