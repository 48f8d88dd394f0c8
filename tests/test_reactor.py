"""The reactor of the service: it does all that Twisted's does, by Twisted's own tests, and who gets it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.test import test_core, test_fdset, test_tcp, test_threads, test_time
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.process import PATIENCE, ROOT, twistd

_OURS = "oaiproxy.reactor.Reactor"

#: Of a service that gets as far as to begin.
_OPTIONS = ("--passthrough", "0", "--bridge", "0", "--upstream", "http://127.0.0.1:1/v1")

#: What Twisted tests its reactors with.
_BUILDERS = (
    test_core.SystemEventTestsBuilder,
    test_fdset.ReactorFDSetTestsBuilder,
    test_tcp.AbortConnectionTests,
    test_tcp.TCP4ClientTestsBuilder,
    test_tcp.TCPConnectionTestsBuilder,
    test_tcp.TCPPortTestsBuilder,
    test_tcp.TCPTransportTestsBuilder,
    test_threads.ThreadTestsBuilder,
    test_time.TimeTestsBuilder,
)

#: What of it is not for this one.
_NOT_FOR_OURS = {
    "test_lostFileDescriptor": "epoll(7) says nothing of descriptors that were closed; Twisted skips it too",
    "test_logPrefix": "this is the log context that the reactor does without",
}


def _with_ours() -> Iterator[tuple[str, type[TestCase]]]:
    for builder in _BUILDERS:
        own: dict[str, Any] = {name: _skipped(why) for name, why in _NOT_FOR_OURS.items() if hasattr(builder, name)}
        ours: Any = type(builder.__name__, (builder,), {"_reactors": [_OURS], **own})
        yield from ours.makeTestCaseClasses().items()


def _skipped(why: str) -> Callable[[object], None]:
    def skipped(case: object) -> None:
        raise SkipTest(why)

    return skipped


globals().update(_with_ours())


class EventTests(SynchronousTestCase):
    """What the reactor does where a connection has a fault that Twisted's own guards do not catch."""

    def setUp(self) -> None:
        from oaiproxy.reactor import Reactor

        self.seen: list[int] = []

        class Faulty(Reactor):
            def __init__(self) -> None:
                """Nothing of a real one: its events are those of the test."""
                self._selectables = {3: self, 4: self}
                self._poller = self

            def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
                return [(3, 1), (9, 1), (4, 1)]

            def logPrefix(self) -> str:
                return "a faulty one"

        self.reactor = Faulty()

    def test_a_fault_is_logged_and_costs_no_other_connection_its_event(self) -> None:
        def fails(selectable: object, fd: int, event: int) -> None:
            self.seen.append(fd)
            raise ValueError("at fault")

        self.reactor._doReadOrWrite = fails
        self.reactor.doPoll(0)
        self.assertEqual(self.seen, [3, 4])
        logged = self.flushLoggedErrors(ValueError)
        self.assertEqual(len(logged), 2)

    def test_an_interrupt_ends_it(self) -> None:
        def interrupted(selectable: object, fd: int, event: int) -> None:
            raise KeyboardInterrupt

        self.reactor._doReadOrWrite = interrupted
        self.assertRaises(KeyboardInterrupt, self.reactor.doPoll, 0)

    def test_a_connection_that_an_earlier_event_ended_gets_none(self) -> None:
        def ends_the_other(selectable: object, fd: int, event: int) -> None:
            self.seen.append(fd)
            del self.reactor._selectables[7 - fd]

        self.reactor._doReadOrWrite = ends_the_other
        self.reactor.doPoll(None)
        self.assertEqual(self.seen, [3])


class ChoiceTests(SynchronousTestCase):
    """In processes of their own: a process has one reactor, and this one has its own already."""

    def reactor(self, before: str = "") -> str:
        ends = "from twisted.internet import reactor; print(type(reactor).__module__)"
        code = f"{before}\nfrom oaiproxy.maker import choose_reactor; choose_reactor()\n{ends}"
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    def test_where_none_is_chosen_it_is_ours(self) -> None:
        self.assertEqual(self.reactor(), "oaiproxy.reactor")

    def test_one_that_was_chosen_stays(self) -> None:
        chosen = self.reactor("from twisted.internet import pollreactor; pollreactor.install()")
        self.assertEqual(chosen, "twisted.internet.pollreactor")

    def test_a_system_without_epoll_keeps_twisteds_choice(self) -> None:
        without = "import select; del select.epoll"
        self.assertIn(self.reactor(without), ("twisted.internet.pollreactor", "twisted.internet.selectreactor"))

    def test_a_twisted_that_is_made_otherwise_keeps_its_own(self) -> None:
        otherwise = "import oaiproxy.reactor; oaiproxy.reactor._LEANS_ON += ('_of_another_version',)"
        self.assertEqual(self.reactor(otherwise), "twisted.internet.epollreactor")

    def test_with_twistd_it_is_ours(self) -> None:
        self.assertEqual(self.served_by(twistd(*_OPTIONS)), "oaiproxy.reactor")

    def test_with_the_command_of_our_own_it_is_ours(self) -> None:
        start = "from oaiproxy.__main__ import main; main()"
        self.assertEqual(self.served_by([sys.executable, "-c", start, *_OPTIONS]), "oaiproxy.reactor")

    def served_by(self, command: list[str]) -> str:
        """The reactor where the service would begin: whatever is imported on the way may choose one."""
        looks = (
            "import oaiproxy.service, sys\n"
            "def found(*args):\n"
            "    print(type(sys.modules['twisted.internet.reactor']).__module__, file=sys.__stdout__, flush=True)\n"
            "    import os; os._exit(0)\n"
            "oaiproxy.service.ProxyService._open = found\n"
        )
        command[2] = looks + command[2]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE).stdout
        return said.strip().splitlines()[-1]
