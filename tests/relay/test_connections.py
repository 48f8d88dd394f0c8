"""One connection to an upstream, its transport in memory."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oaiproxy.api.errors import UpstreamIncomplete
from oaiproxy.relay.answer import UpstreamAnswer
from oaiproxy.relay.body import UpstreamBody
from oaiproxy.relay.connections import Connection
from oaiproxy.relay.pool import ConnectionPool, ConnectStep
from oaiproxy.relay.reading import AnswerHead

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport(StringTransport):
    """As sockets have it: it does not mind to be told twice."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.freed: list[Connection] = []
        self.transport = Transport()
        self.connection = Connection(self.clock, self.freed.append)
        self.connection.makeConnection(self.transport)

    def answer(self, data: bytes) -> UpstreamAnswer:
        answering: Deferred[AnswerHead] = self.connection.send(ASK)
        self.connection.dataReceived(data)
        return UpstreamAnswer("a", self.successResultOf(answering), self.connection)

    def test_a_whole_answer_frees_it(self) -> None:
        answer = self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.assertEqual(self.freed, [])
        self.assertEqual((answer.whole(), self.freed), (b"{}", [self.connection]))
        self.assertIsNone(answer.whole())

    def test_nothing_is_read_before_somebody_takes_the_body(self) -> None:
        answer = self.answer(CHUNKED + b"1\r\na\r\n")
        self.assertEqual(self.transport.producerState, "paused")
        got: list[bytes] = []
        answer.collect(got.append)
        self.assertEqual((got, self.transport.producerState), ([b"a"], "producing"))

    def test_an_answer_whose_first_piece_is_refused_is_let_go(self) -> None:
        def refuse(data: bytes) -> None:
            raise ValueError

        body = UpstreamBody(self.answer(CHUNKED + b"1\r\na\r\n"), refuse, self.clock, 60)
        body.start()
        self.failureResultOf(body.done, ValueError)
        self.assertTrue(self.transport.aborted)
        body.pauseProducing()
        body.resumeProducing()
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_that_is_cut_before_somebody_takes_it_is_cut_for_who_does(self) -> None:
        answer = self.answer(CHUNKED + b"1\r\na\r\n")
        self.connection.connectionLost(Failure(ConnectionLost()))
        got: list[bytes] = []
        body = UpstreamBody(answer, got.append, self.clock, 60)
        body.start()
        self.failureResultOf(body.done, UpstreamIncomplete)
        self.assertEqual((got, self.clock.getDelayedCalls()), ([b"a"], []))

    def test_what_comes_unasked_ends_it(self) -> None:
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(self.transport.aborted)

    def test_a_connection_that_is_lost_is_not_what_the_next_one_raises(self) -> None:
        # Twisted has one error for all of them, which would hold on to everything on the way of the first
        lost = Failure(ConnectionDone())
        answering = self.connection.send(ASK)
        self.connection.connectionLost(lost)
        self.assertIsNot(self.failureResultOf(answering, ConnectionDone).value, lost.value)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connects at once, in memory."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        protocol = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        assert protocol is not None
        protocol.makeConnection(Transport())
        return succeed(protocol)


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pool = ConnectionPool(self.clock, Endpoint(), tls=False)

    def kept(self) -> Connection:
        """A connection that has served a request."""
        connection = self.successResultOf(self.pool.connect(ConnectStep()))
        connection.send(ASK)
        connection.dataReceived(b"HTTP/1.1 204 No Content\r\n\r\n")
        return connection

    def test_a_connection_is_kept(self) -> None:
        connection = self.kept()
        self.assertIs(self.pool.idle(), connection)
        self.assertIsNone(self.pool.idle())

    def test_one_that_is_about_to_close_is_not_used_again(self) -> None:
        # what is sent on it may arrive although its answer cannot: the request would be sent a second time
        endings: dict[str, Callable[[Connection], None]] = {
            "its time is over": lambda connection: self.clock.advance(30),
            "something came unasked": lambda connection: connection.dataReceived(b"x"),
        }
        for how, end in endings.items():
            connection = self.kept()
            end(connection)
            self.assertTrue(connection.transport.disconnecting, how)
            self.assertIsNone(self.pool.idle(), how)
            connection.connectionLost(Failure(ConnectionDone()))

    def test_closed_it_keeps_no_others(self) -> None:
        self.kept()
        closing = self.pool.close()
        self.assertNoResult(closing)
        self.kept()
        self.assertIsNone(self.pool.idle())
