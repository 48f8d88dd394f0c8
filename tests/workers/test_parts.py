"""What the supervisor and the workers are made of, without processes."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.maker import makeService
from oaiproxy.options import Options
from oaiproxy.service import ProxyService
from oaiproxy.settings import Concurrency, ServiceSettings, Settings, port_at
from oaiproxy.stopping import EXIT_ENDED, EXIT_FAILED
from oaiproxy.tools import ToolBox
from oaiproxy.transforms import Pipeline
from oaiproxy.workers import messages
from oaiproxy.workers.restarts import ATTEMPTS, FIRST_DELAY, LONGEST_DELAY, STEADY, Restarts
from oaiproxy.workers.shared import LONGEST_WAIT, SHORTEST_WAIT, SharedPort
from oaiproxy.workers.shares import Shares, new_memory
from oaiproxy.workers.sockets import OpenSocket, adopted_key, places, tcp_key
from oaiproxy.workers.supervisor import GRACE, Supervisor, processors, share_of


class RestartsTests(SynchronousTestCase):
    def test_one_that_was_well_is_replaced_at_once(self) -> None:
        self.assertEqual(Restarts(2).ended(0, STEADY), 0)

    def test_who_dies_again_and_again_waits_for_longer_each_time(self) -> None:
        restarts = Restarts(2)
        delays = [restarts.ended(0, 1.0) for _ in range(40)]
        self.assertEqual(delays[:3], [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY])
        self.assertEqual(delays[-1], LONGEST_DELAY)
        self.assertEqual(restarts.ended(1, 1.0), FIRST_DELAY)
        restarts.ended(0, STEADY)
        self.assertEqual(restarts.ended(0, 1.0), FIRST_DELAY)

    def test_it_is_hopeless_when_no_place_gets_one_that_starts(self) -> None:
        restarts = Restarts(2)
        for _ in range(ATTEMPTS):
            restarts.ended(0, None)
        self.assertFalse(restarts.hopeless)
        for _ in range(ATTEMPTS):
            self.assertFalse(restarts.hopeless)
            restarts.ended(1, None)
        self.assertTrue(restarts.hopeless)
        restarts.ended(1, 0.0)
        self.assertFalse(restarts.hopeless)


class SharesTests(SynchronousTestCase):
    def shares(self, *numbers: int | None) -> Shares:
        fd = new_memory(len(numbers))
        # another process has it mapped too
        shares, seen = Shares(fd, len(numbers)), Shares(fd, len(numbers))
        os.close(fd)
        for place, number in enumerate(numbers):
            if number is not None:
                shares.write(place, number)
        return seen

    def test_who_has_more_than_another_has_enough(self) -> None:
        cases: list[tuple[tuple[int | None, ...], bool]] = [
            ((0, 0), False),
            ((1, 0), False),
            ((2, 0), True),
            ((0, 9), False),
            ((8, 7), False),
            ((108, 100), False),
            ((113, 100), True),
            ((5, 9, 3), True),
            ((5, 9, 4), False),
            ((9, None), False),
            ((9, None, 3), True),
            ((9,), False),
        ]
        for numbers, enough in cases:
            self.assertEqual(self.shares(*numbers).has_enough(0), enough, numbers)

    def test_who_takes_nothing_is_not_counted(self) -> None:
        shares = self.shares(5, 0)
        shares.clear(1)
        self.assertFalse(shares.has_enough(0))


class _Readers(Clock):
    """A reactor that keeps what reads, and the connections."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.taken = 0

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        self.taken += 1


class SharedPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        fd = new_memory(2)
        self.shares = Shares(fd, 2)
        os.close(fd)
        self.shares.write(0, 0)
        self.shares.write(1, 0)
        self.reactor = _Readers()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.where = self.socket.getsockname()
        self.others = self.socket.dup()
        self.others.setblocking(False)
        self.addCleanup(self.others.close)
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        self.port = SharedPort(self.reactor, self.socket, factory, self.shares, 0)
        self.port.startListening()
        self.addCleanup(self.port.stopListening)

    def connect(self) -> None:
        client = socket.create_connection(self.where)
        self.addCleanup(client.close)

    def test_it_takes_one_connection_at_a_time(self) -> None:
        self.connect()
        self.connect()
        self.port.doRead()
        self.assertEqual(self.reactor.taken, 1)
        self.port.doRead()
        self.port.doRead()
        self.assertEqual(self.reactor.taken, 2)

    def test_where_another_has_less_it_looks_away_and_takes_what_is_left(self) -> None:
        self.shares.write(0, 2)
        self.connect()
        self.port.doRead()
        self.assertEqual((self.reactor.taken, self.reactor.readers), (0, set()))
        self.reactor.advance(LONGEST_WAIT)
        self.assertEqual((self.reactor.taken, self.reactor.readers), (1, {self.port}))

    def test_who_waits_in_vain_waits_for_less_and_else_for_more(self) -> None:
        self.shares.write(0, 2)

        def waits() -> float:
            self.connect()
            self.port.doRead()
            [call] = self.reactor.getDelayedCalls()
            return call.getTime() - self.reactor.seconds()

        found = []
        for _ in range(10):
            found.append(waits())
            self.reactor.advance(LONGEST_WAIT)
        for wait, expected in zip(found, (LONGEST_WAIT, LONGEST_WAIT / 2, LONGEST_WAIT / 4), strict=False):
            self.assertAlmostEqual(wait, expected)
        self.assertAlmostEqual(found[-1], SHORTEST_WAIT)
        found.append(waits())
        self.others.accept()[0].close()
        self.reactor.advance(LONGEST_WAIT)
        self.assertAlmostEqual(waits(), 2 * SHORTEST_WAIT)

    def test_it_may_stop_while_it_looks_away(self) -> None:
        self.shares.write(0, 2)
        self.connect()
        self.port.doRead()
        self.successResultOf(self.port.stopListening())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.readers, set())


class PlacesTests(SynchronousTestCase):
    def test_a_socket_of_systemd_s_is_where_it_was_and_the_others_behind(self) -> None:
        opened = [OpenSocket(tcp_key(0, "::1"), 20), OpenSocket(adopted_key(4), 21), OpenSocket(adopted_key(3), 22)]
        sockets, free = places(opened)
        self.assertEqual([found.fd for found in sockets], [5, 4, 3])
        self.assertEqual(free, 6)

    def test_without_any_they_follow_the_standard_streams(self) -> None:
        sockets, free = places([OpenSocket(tcp_key(1, ""), 20), OpenSocket(tcp_key(2, ""), 21)])
        self.assertEqual(([found.fd for found in sockets], free), ([3, 4], 5))


class MessagesTests(SynchronousTestCase):
    def test_what_is_told_comes_out(self) -> None:
        for message in (messages.Logged(1.5, "info", "a.b", None, "x\ny"), messages.Ready(), messages.Closed()):
            line = messages.encode(message)
            self.assertEqual(line.count(b"\n"), 1)
            self.assertEqual(messages.decode(line.rstrip()), message)

    def test_what_is_no_message_is_none(self) -> None:
        for line in (b"", b"hello", b"[]", b'["other"]', b"{}", b"\xff"):
            self.assertIsNone(messages.decode(line))

    def test_any_cut_gives_the_same_lines(self) -> None:
        for at in range(10):
            lines = messages.Lines()
            found = [*lines.feed(b"ab\ncd\n\nef"[:at]), *lines.feed(b"ab\ncd\n\nef"[at:])]
            self.assertEqual([*found, *lines.end()], [b"ab", b"cd", b"", b"ef"])

    def test_settings_are_handed_over_whole(self) -> None:
        options = Options({"OAIPROXY_AUTH": "replace", "OPENAI_API_KEY": "sk-x", "PROXY_API_KEYS": "a,b"})
        options.parseOptions(["--model-map=a=b", "--llm-params=model=m,temperature=0.5", "--think=move", "--bridge=0"])
        told = messages.HandOver(options.settings, (), 5, 2, 1, None, "")
        data = messages.hand_over(messages.Imports(["here"], "reactor", False), told)
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.write(write, data)
        os.close(write)
        self.assertEqual(messages.read_imports(read), messages.Imports(["here"], "reactor", False))
        found = messages.read_hand_over(read)
        self.assertEqual(found, told)
        self.assertEqual(found.settings.ports[0].settings.access.upstream_key, Secret("sk-x"))
        self.assertRaises(EOFError, messages.read_hand_over, read)


class _Transport:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.written = b""
        self.signals: list[str] = []

    def writeToChild(self, fd: int, data: bytes) -> None:
        assert fd == 0
        self.written += data

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def loseConnection(self) -> None:
        pass


class _Started:
    """A process that was started."""

    def __init__(self, protocol: ProcessProtocol, arguments: list[str], descriptors: Mapping[int, Any], pid: int):
        self.protocol = protocol
        self.arguments = arguments
        self.descriptors = descriptors
        self.transport = _Transport(pid)
        protocol.transport = self.transport  # type: ignore[assignment]

    def tells(self, *told: messages.Message) -> None:
        for message in told:
            self.protocol.childDataReceived(1, messages.encode(message))

    def ends(self, status: int | None = 0, signal: int | None = None) -> None:
        reason = Failure(ProcessDone(0) if status == 0 else ProcessTerminated(status, signal))
        self.protocol.processExited(reason)
        self.protocol.processEnded(reason)


class _Processes(MemoryReactorClock):
    """A reactor that starts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[_Started] = []
        self._when_running: list[Callable[[], object]] = []

    def callWhenRunning(self, callable: Callable[..., object], *args: object, **kw: object) -> None:
        self._when_running.append(partial(callable, *args, **kw))

    def runs(self) -> None:
        for call in self._when_running:
            call()

    def spawnProcess(self, processProtocol: Any, executable: Any, args: Any = (), env: Any = None, **more: Any) -> Any:
        assert env is None, "the environment goes on as it is"
        self.started.append(_Started(processProtocol, list(args), more["childFDs"], 100 + len(self.started)))


class _Stopping:
    """Stands for the end of the process."""

    def __init__(self) -> None:
        self.status = 0
        self.said: str | None = None
        self.ended = False

    def listen(self, hurry: Any) -> None:
        self.hurry = hurry

    def ready(self, status: str) -> None:
        self.said = status

    def end(self) -> None:
        self.ended = True


class SupervisorTests(SynchronousTestCase):
    """What it does with its workers as time passes."""

    def setUp(self) -> None:
        self.reactor = _Processes()
        self.stopping = _Stopping()
        settings = ServiceSettings(drain=30.0)
        self.supervisor = Supervisor(
            self.reactor,
            settings,
            2,
            Pipeline(()),
            (),
            ToolBox(),
            self.stopping,  # type: ignore[arg-type]
        )
        self.supervisor.privilegedStartService()
        self.supervisor.startService()
        self.reactor.runs()

    @property
    def started(self) -> list[_Started]:
        return self.reactor.started

    def over(self, done: Deferred[object]) -> None:
        # the drain of the ports, on which there is nothing, takes a turn
        self.reactor.advance(0)
        self.successResultOf(done)

    def test_it_starts_as_many_as_it_is_told(self) -> None:
        self.assertEqual(
            [started.arguments[-1] for started in self.started], ["oaiproxy worker 1", "oaiproxy worker 2"]
        )

    def test_the_manager_of_services_hears_when_all_of_them_are_there(self) -> None:
        self.started[0].tells(messages.Ready())
        self.assertIsNone(self.stopping.said)
        self.started[1].tells(messages.Ready())
        self.assertEqual(self.stopping.said, "")

    def test_who_dies_is_replaced_after_its_delay(self) -> None:
        self.started[0].tells(messages.Ready())
        self.started[0].ends(None, signal.SIGKILL)
        self.assertEqual(len(self.started), 2)
        self.reactor.advance(FIRST_DELAY)
        self.assertEqual(self.started[2].arguments[-1], "oaiproxy worker 3")

    def test_who_was_well_for_a_while_is_replaced_at_once(self) -> None:
        self.started[0].tells(messages.Ready())
        self.reactor.advance(STEADY)
        self.started[0].ends(0)
        self.reactor.advance(0)
        self.assertEqual(len(self.started), 3)

    def test_it_gives_up_only_where_none_has_ever_started(self) -> None:
        self.started[0].tells(messages.Ready())
        for _ in range(10):
            self.started[-1].ends(1)
            self.reactor.advance(LONGEST_DELAY)
        self.assertFalse(self.stopping.ended)
        self.assertEqual(len(self.started), 12)

    def test_where_none_starts_it_ends_with_status_1(self) -> None:
        for _ in range(ATTEMPTS):
            for started in self.started[-2:]:
                started.ends(1)
            self.reactor.advance(LONGEST_DELAY)
        self.assertTrue(self.stopping.ended)
        self.assertEqual(self.stopping.status, EXIT_FAILED)

    def test_at_its_end_none_is_started_any_more(self) -> None:
        self.started[0].ends(1)
        done = self.supervisor.stopService()
        self.assertTrue(self.started[1].transport.written.endswith(b"end\n"))
        self.started[1].tells(messages.Closed())
        self.assertNoResult(done)
        self.started[1].ends(0)
        self.over(done)
        self.reactor.advance(LONGEST_DELAY)
        self.assertEqual(len(self.started), 2)
        self.assertEqual(self.stopping.status, 0)

    def test_the_second_signal_reaches_all(self) -> None:
        done = self.supervisor.stopService()
        self.stopping.hurry()
        for started in self.started:
            self.assertTrue(started.transport.written.endswith(b"end\nhurry\n"))
            started.ends(0)
        self.over(done)

    def test_a_worker_that_ended_exchanges_makes_the_status(self) -> None:
        for started in self.started:
            started.tells(messages.Ready())
        done = self.supervisor.stopService()
        self.started[0].ends(EXIT_ENDED)
        self.started[1].ends(0)
        self.over(done)
        self.assertEqual(self.stopping.status, EXIT_ENDED)

    def test_one_that_does_not_end_is_killed(self) -> None:
        for started in self.started:
            started.tells(messages.Ready())
        done = self.supervisor.stopService()
        self.started[0].ends(0)
        self.reactor.advance(30.0 + GRACE)
        self.assertEqual([started.transport.signals for started in self.started], [[], ["KILL"]])
        self.assertNoResult(done)
        self.started[1].ends(None, signal.SIGKILL)
        self.over(done)
        self.assertEqual(self.stopping.status, EXIT_ENDED)

    def test_output_that_somebody_else_holds_open_is_not_waited_for(self) -> None:
        closed: list[None] = []
        self.started[0].transport.loseConnection = lambda: closed.append(None)  # type: ignore[method-assign]
        self.started[0].protocol.processExited(Failure(ProcessDone(0)))
        self.reactor.advance(10)
        self.assertEqual(closed, [None])

    def test_there_is_a_processor(self) -> None:
        self.assertGreaterEqual(processors(), 1)


class ShareTests(SynchronousTestCase):
    def test_each_has_its_share_of_a_port_s_limit_and_the_client_s_whole(self) -> None:
        def limits(whole: Concurrency, count: int) -> Concurrency:
            port = port_at(PortKind.BRIDGE, "0", settings=Settings(concurrency=whole))
            [found] = share_of(ServiceSettings(ports=(port,)), count).ports
            return found.settings.concurrency

        self.assertEqual(limits(Concurrency(5, 3), 2), Concurrency(3, 3))
        self.assertEqual(limits(Concurrency(4, 3), 2), Concurrency(2, 3))
        self.assertEqual(limits(Concurrency(1, 0), 4), Concurrency(1, 0))
        self.assertEqual(limits(Concurrency(0, 0), 4), Concurrency(0, 0))


class OptionTests(SynchronousTestCase):
    def workers(self, text: str) -> int:
        options = Options({})
        options.parseOptions([f"--workers={text}"])
        return options.settings.workers

    def test_a_number_or_as_many_as_there_are_processors(self) -> None:
        self.assertEqual([self.workers(text) for text in ("1", "4", "0", "auto")], [1, 4, 0, 0])

    def test_one_is_a_single_process_and_nothing_beside_it(self) -> None:
        for text, kind in (("1", ProxyService), ("2", Supervisor)):
            options = Options({})
            options.parseOptions([f"--workers={text}", "--bridge=0", "--upstream=demo"])
            self.assertIs(type(makeService(options)), kind)

    def test_what_is_neither_is_refused(self) -> None:
        for text in ("-1", "2.5", "many", "100000", ""):
            self.assertRaises(SystemExit, self.workers, text)


class PickledTests(SynchronousTestCase):
    def test_a_secret_stays_one(self) -> None:
        found = pickle.loads(pickle.dumps(Secret("sk-x")))
        self.assertEqual(repr(found), "Secret(***)")
        self.assertEqual(found, Secret("sk-x"))
