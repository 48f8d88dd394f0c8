"""A connection to an upstream: requests, answers, and what is spoken behind a 101."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from zope.interface import implementer

from oaiproxy.relay.alarm import Alarm
from oaiproxy.relay.promptly import write
from oaiproxy.relay.reading import AnswerHead, AnswerReader, Unreadable
from oaiproxy.relay.upload import Sending

#: What was sent on a connection that spoke another protocol has so many seconds to be taken when its client has left.
_PARTING = 5.0

#: What whoever takes a body hears at its end.
WHOLE = Failure(ResponseDone())


@implementer(IHandshakeListener)
class Connection(Protocol):
    """A connection to an upstream: one request after the other, each sent as it is given.

    @ivar requests: how many requests were sent on it.
    @ivar heard: whether a byte has come back of the last of them.
    @ivar busy: whether an answer is under way.
    @ivar closing: whether it was told to close, so that nothing can be sent on it any more.
    @ivar lost: why it ended, or None while it lives.
    """

    transport: Any
    requests = 0
    heard = False
    busy = False
    closing = False
    lost: Failure | None = None
    _secure = False
    _securing: Deferred[None] | None = None
    _answering: Deferred[AnswerHead] | None = None
    _sending: Sending | None = None
    _body: IProtocol | None = None  # who takes the body
    _dropped = False
    _paused = False  # whether nothing more of it is read for now

    def __init__(self, clock: IReactorTime, free: Callable[[Connection], None]) -> None:
        """
        @param clock: calls later.
        @param free: called when the connection can be used again, and when it has ended.
        """
        self._free = free
        self._reader = AnswerReader()
        self._held = b""  # of the body, for who will take it
        self._ended = connectionDone  # why there is no more of it
        self._alarm = Alarm(clock, self._ring)
        self._late: Callable[[], None] = _never

    # its life

    def connectionMade(self) -> None:
        transport = ITCPTransport(self.transport, None)
        if transport is not None:
            # an upstream that vanished without a word is noticed even while it owes us nothing for minutes
            transport.setTcpKeepAlive(True)

    def handshakeCompleted(self) -> None:
        self._secure = True
        if self._securing is not None and not self._securing.called:
            self._securing.callback(None)

    def secured(self) -> Deferred[None]:
        """Fires when the TLS handshake is complete; cancelled, it closes the connection.

        An endpoint has connected when there is TCP: a request that is written then waits for the handshake.
        """
        self._securing = Deferred(lambda _: self.drop())
        if self._secure:
            self._securing.callback(None)
        elif self.lost is not None:
            self._securing.errback(_own(self.lost))
        return self._securing

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._alarm.stop()
        self._reader.close()
        if self._securing is not None and not self._securing.called:
            self._securing.errback(_own(reason))
        if self.busy:
            self._stop_sending()
            self._end(WHOLE if self._is_whole(reason) else reason)
        self._free(self)
        # they refer to this object, and this object to them
        del self._alarm, self._late

    def _is_whole(self, reason: Failure) -> bool:
        """Whether the answer under way is whole, now that the connection has ended."""
        head = self._reader.head
        if self._reader.done or head is None:
            return self._reader.done
        # a reset is no end
        return head.until_close and reason.check(ConnectionDone) is not None

    def drop(self) -> None:
        """Close the connection now, whatever is under way on it."""
        if self.lost is None and self.transport is not None:
            self._alarm.stop()
            self._dropped = self.closing = True
            self.transport.abortConnection()

    def part(self) -> None:
        """Close the connection, on which another protocol is spoken, when what was sent on it is taken."""
        if self.lost is None and not self._dropped:
            self._dropped = self.closing = True
            self._stop_sending()
            self.transport.loseConnection()
            self._late = self.transport.abortConnection
            self._alarm.set(_PARTING)

    def close(self) -> None:
        """Close the connection, on which nothing is under way."""
        self._alarm.stop()
        self.closing = True
        self.transport.loseConnection()

    # limits of time

    def limit(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` in so many seconds, unless the answer has ended by then; not what was to be called before."""
        if self.busy:
            self._late = late
            self._alarm.set(seconds)

    def keep(self, seconds: float) -> None:
        """Close the connection in so many seconds, unless a request is sent on it before."""
        self._late = self.close
        self._alarm.set(seconds)

    def _unlimited(self) -> None:
        self._alarm.lift()
        # it may hold on to the body of a request
        self._late = _never

    def _ring(self) -> None:
        late, self._late = self._late, _never
        late()

    # requests

    def send(
        self, head: bytes, sending: Sending | None = None, *, bodiless: bool = False, switches: bool = False
    ) -> Deferred[AnswerHead]:
        """Send a request.

        @param head: its head, with the empty line at its end, and as much of its body as goes with it.
        @param sending: what follows as the upstream takes it.
        @param bodiless: the answer has no body, whatever its head says: the method is HEAD.
        @param switches: the answer may be a 101; what comes behind it is its body then.
        @return: fires when the head of an answer has come; fails with why the connection was lost, with `Unreadable`,
            or with why the body did not come.  Cancelled, it closes the connection.
        """
        self.requests += 1
        self.heard = False
        self.busy = True
        self._unlimited()
        self._reader.expect(bodiless=bodiless, switches=switches)
        answering: Deferred[AnswerHead] = Deferred(self._cancelled)
        self._answering = answering
        if sending is None:
            write(self.transport, head)
        else:
            # the body goes with it
            self.transport.write(head)
            self.send_on(sending)
        return answering

    def send_on(self, sending: Sending) -> None:
        """Send what follows the head of the request, or what the client says behind a 101."""
        self._sending = sending
        self.transport.registerProducer(sending, True)
        sending.startProducing(self.transport).addCallbacks(self._sent, self._not_sent)

    def fail(self, error: BaseException) -> None:
        """End the request: there is no answer to it, or no more of one."""
        self._stop_sending()
        self._end(Failure(error))
        self.drop()

    def _cancelled(self, answering: Deferred[AnswerHead]) -> None:
        self._answering = None
        self.busy = False
        self._stop_sending()
        self.drop()

    def _sent(self, _: None) -> None:
        if self._sending is not None:
            self._sending = None
            self.transport.unregisterProducer()

    def _not_sent(self, reason: Failure) -> None:
        if self._sending is not None:
            assert reason.value is not None
            self.fail(reason.value)

    def _stop_sending(self) -> None:
        """Send nothing more of the request; nobody can tell what would come next on this connection."""
        sending, self._sending = self._sending, None
        if sending is not None:
            self._reader.stray = True
            self.transport.unregisterProducer()
            sending.stopProducing()

    # answers

    def dataReceived(self, data: bytes) -> None:
        self.heard = True
        if not self.busy:
            # nobody asked for anything
            self.drop()
            return
        reader = self._reader
        piece = reader.feed(data)
        if self._answering is None:
            if piece:
                if self._body is None:
                    self._held += piece
                else:
                    self._body.dataReceived(piece)
            if self._body is not None and (reader.done or reader.broken):
                self._look_at_end()
        elif reader.head is not None:
            self._held = piece
            self._begin(reader.head)
        elif reader.broken:
            self.fail(Unreadable(reader.broken))

    def _begin(self, head: AnswerHead) -> None:
        self._unlimited()
        # where the request is still being sent, the rest of it is of no use
        self._stop_sending()
        answering, self._answering = self._answering, None
        assert answering is not None
        if head.length == 0:
            # there is no body that anybody could take
            self._finish()
            answering.callback(head)
            return
        self._paused = True
        answering.callback(head)
        if self._paused and self._body is None and self.busy and not self._dropped:
            # nobody takes the body yet
            self.transport.pauseProducing()

    def deliver(self, protocol: IProtocol) -> None:
        """Send the body of the answer, which has one, to a protocol; nothing more is read before.

        @param protocol: hears at the end ``ResponseDone``, or why it did not come whole.
        """
        protocol.makeConnection(self.transport)
        held, self._held = self._held, b""
        if not self.busy:
            # it has ended before
            if held:
                protocol.dataReceived(held)
            protocol.connectionLost(self._ended)
            return
        self._body = protocol
        self._paused = False
        if held:
            protocol.dataReceived(held)
        self._look_at_end()
        if self._body is not None and not (self._paused or self._dropped):
            self.transport.resumeProducing()

    def whole(self) -> bytes | None:
        """The body of the answer where all of it has come already, and nobody has taken it; the answer is over then."""
        if self._body is not None or not (self.busy and self._reader.done):
            return None
        held, self._held = self._held, b""
        self._paused = False
        self._finish()
        return held

    def pause(self) -> None:
        """Read nothing more of the body for now."""
        if self.busy and not (self._paused or self._dropped):
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self.busy and self._paused and not self._dropped:
            self._paused = False
            self.transport.resumeProducing()

    def _look_at_end(self) -> None:
        """See whether the body has ended."""
        if self._reader.done:
            self._finish()
        elif self._reader.broken:
            self.fail(Unreadable(self._reader.broken))

    def _finish(self) -> None:
        """The answer is whole."""
        reader = self._reader
        self._unlimited()
        self.busy = False
        if self.lost is None and not self._dropped:
            if reader.stray:
                self.drop()
            elif reader.head is not None and reader.head.persistent:
                if self._paused:
                    self._paused = False
                    self.transport.resumeProducing()
                self._free(self)
            else:
                self.close()
        body, self._body = self._body, None
        if body is not None:
            body.connectionLost(WHOLE)

    def _end(self, reason: Failure) -> None:
        """There is no answer, or no more of one."""
        if not self.busy:
            return
        self.busy = False
        answering, self._answering = self._answering, None
        body, self._body = self._body, None
        if answering is not None:
            answering.errback(_own(reason))
        elif body is not None:
            body.connectionLost(reason)
        else:
            self._ended = reason


def _never() -> None:
    """What is called before anything was limited."""


def _own(reason: Failure) -> Failure:
    """A failure that may be raised: Twisted has one error for all connections that end, and an error that was raised
    holds on to everything on its way."""
    return Failure(copy(reason.value)) if reason.check(ConnectionClosed) else reason
