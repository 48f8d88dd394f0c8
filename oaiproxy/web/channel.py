"""A client's connection: HTTP/1.1 as `oaiproxy.api.heads` and `oaiproxy.api.framing` read it, with limits of time.

Twisted's channel writes the answers.  Its own reading of requests is not used: it takes more forms than are safe behind
and before other servers, keeps a connection that sends its head slowly for ever, and lets nobody see a request before
its whole body has come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.framing import BodyReader, Unframed, body_reader
from oaiproxy.api.heads import RequestHead, head_end, read_head
from oaiproxy.relay.alarm import Alarm
from oaiproxy.relay.promptly import write
from oaiproxy.settings import Limits
from oaiproxy.web.clientbody import ClientBody
from oaiproxy.web.draining import DrainingChannel
from oaiproxy.web.respond import date, phrase_of

if TYPE_CHECKING:
    from oaiproxy.web.site import ProxyRequest

#: So much of the next requests, in bytes, is read while one is answered: who leaves is noticed by reading.
_AHEAD = 1 << 14

#: The rest of a body that nobody takes is read to its end where it is no longer than this, in bytes, so that the
#: connection can serve another request.
_DRAINED = 1 << 16

#: A client that still sends when it has its answer is read from, so that it can read the answer: for so many seconds in
#: all, and as long as something comes within so many (a connection that is closed on unread data is reset, and what the
#: client had not read is lost: RFC 9112 section 9.6).
_LINGER = 30.0
_LINGER_IDLE = 5.0

#: A body has to come at this rate, in bytes a second, over `Limits.body_seconds`.
_LEAST_RATE = 128


class ProxyChannel(DrainingChannel):
    """One connection of a client.

    @ivar limits: what it may ask of us.
    @ivar port: what the log calls the port.
    @ivar reading: whether it reads from the client; else the client is held back.
    """

    limits = Limits()
    port = ""
    _log = Logger()
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""  # came, and was not read
        self._seen = 0  # so much of it is known to hold no end of a head
        self._skipped = False  # whether an empty line was left out before it
        self._reader: BodyReader | None = None
        self._body: ClientBody | None = None
        self._broken = False  # whether the body will not come, so that nothing after it can
        self._continues = False  # whether the client waits for a 100 Continue
        self._answered = False  # whether a body is read to its end after its request was answered
        self._switched = False  # whether what comes is no HTTP any more
        self._running = False
        self.reading = True
        self._closed = False
        self._lingering = False
        self._host: Any = None
        self._peer: Any = None
        self._late: Callable[[], None] = self.timeoutConnection  # called when the alarm rings
        self._moved = 0  # bytes that came of late
        self._held_back = False  # whether it was us who stopped them

    @property
    def busy(self) -> bool:
        """Whether a request is arriving, or is being answered."""
        return bool(self.requests or self._rest) or self._reader is not None

    @property
    def leaving(self) -> bool:
        return self._lingering or self._closed

    # what comes

    def connectionMade(self) -> None:
        # of the limits of time there is one at a time
        self._alarm = Alarm(self.connections.clock, lambda: self._late())
        super().connectionMade()

    def getHost(self) -> Any:
        # every request asks, and the socket would be asked each time
        if self._host is None:
            self._host = super().getHost()
        return self._host

    def getPeer(self) -> Any:
        if self._peer is None:
            self._peer = super().getPeer()
        return self._peer

    def setTimeout(self, period: float | None) -> None:
        """Let nothing come for so long, in seconds, and no longer; None for any time."""
        self._alarm.lift()
        if period is not None:
            self._within(period, self.timeoutConnection)

    def _within(self, seconds: float, late: Callable[[], None]) -> None:
        """Something has to happen within so many seconds, or else `late` is called; no other limit holds any more."""
        self._late = late
        self._alarm.set(seconds)

    def dataReceived(self, data: bytes) -> None:
        self._moved += len(data)
        if self._lingering or self._closed:
            return
        self._rest = self._rest + data if self._rest else data
        self._go_on()

    def _go_on(self) -> None:
        """Read as far as that is possible now."""
        if self._running:
            return
        self._running = True
        try:
            while not (self._lingering or self._closed) and self._step():
                pass
        finally:
            self._running = False
        self._flow()

    def _step(self) -> bool:
        """Read one thing; false where more has to come or to happen first."""
        if self._broken:
            self._rest = b""
            return False
        if self._reader is not None:
            return self._read_body(self._reader)
        if self.requests:
            return False
        return self._read_head()

    def _read_head(self) -> bool:
        if self._rest.startswith(b"\r\n") and not self._skipped:
            # RFC 9112 section 2.2
            self._skipped = True
            self._rest = self._rest[2:]
        data = self._rest
        if not data:
            return False
        try:
            end = head_end(data, self._seen)
            if end < 0:
                if not self._seen:
                    # from the first byte on, and not longer for bytes that trickle in
                    self._within(self.limits.head_seconds, self._head_is_late)
                self._seen = len(data)
                return False
            head = read_head(data[:end])
        except ApiError as e:
            self._refuse(e)
            return False
        self._rest = data[end + 4 :]
        self._seen, self._skipped = 0, False
        self._alarm.lift()
        self._begin(head)
        return True

    def _head_is_late(self) -> None:
        self._refuse(
            BadRequest(
                f"The head of the request did not come within {self.limits.head_seconds:g} s.",
                status=408,
                code="request_timeout",
            )
        )

    def _begin(self, head: RequestHead) -> None:
        """Let a request be handled; its body comes meanwhile."""
        request: ProxyRequest = self.requestFactory(self)  # type: ignore[assignment]
        self.requests.append(request)
        self._handlingRequest = True
        self._used = True
        self.persistent = head.persistent and not self.connections.draining
        length = head.length
        body = ClientBody(length, self._wanted, self._flow)
        if length is not None and 0 < length <= len(self._rest):
            # it is there before anybody asks for it, so that nobody has to wait
            body.feed(self._rest[:length])
            body.end()
            self._rest = self._rest[length:]
        elif length != 0:
            self._reader, self._body = body_reader(length), body
            self._continues = head.expects_continue
            self._moved, self._held_back = 0, False
        request.begin(head, body)

    # bodies

    def _wanted(self) -> None:
        """Somebody wants the body."""
        if self._continues:
            self._continues = False
            if self._reader is not None and not self._rest and self._body is not None and not self._body.received:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self, reader: BodyReader) -> bool:
        data, self._rest = self._rest, b""
        body = self._body
        assert body is not None
        try:
            piece = reader.feed(data) if data else b""
        except ApiError as e:
            self._body_fails(e)
            return False
        if piece:
            self._continues = False
            body.feed(piece)
        if reader.done:
            self._reader = self._body = None
            self._rest = reader.rest
            self._alarm.lift()
            body.end()
            if self._answered:
                self._answered = False
                self._next()
            return True
        if self._alarm.due is None and not (self._lingering or self._closed or self._switched):
            self._within(self.limits.body_seconds, self._look_at_body)
        return False

    def _look_at_body(self) -> None:
        """See whether enough of the body has come since the last time, unless it was us who held it back."""
        seconds = self.limits.body_seconds
        if self._moved < _LEAST_RATE * seconds and self.reading and not self._held_back:
            self._body_fails(
                BadRequest(
                    f"Less than {_LEAST_RATE} bytes a second came of the request's body for {seconds:g} s.",
                    status=408,
                    code="request_timeout",
                )
            )
            return
        self._moved, self._held_back = 0, not self.reading
        self._within(seconds, self._look_at_body)

    def _body_fails(self, error: ApiError) -> None:
        self._broken = True
        self._rest = b""
        self._alarm.lift()
        body, self._body = self._body, None
        if self._answered:
            self._close()
        elif body is not None:
            body.fail(error)

    # answers

    def write(self, data: bytes) -> None:
        write(self.transport, data)

    def begin_answer(self) -> bool:
        """The head of an answer is about to be written.

        @return: whether it has to say that the connection is closed after it.
        """
        self._continues = False
        if self.connections.draining or (self._reader is not None and not self._can_drain()):
            # what follows on this connection is no request, or is not waited for
            self.persistent = False
        return not self.persistent

    def switch(self) -> ClientBody:
        """The answer that was begun is a 101: what comes from now on is no HTTP, and is over with the connection.

        @return: what comes.
        """
        self._switched = True
        self.persistent = False
        self._reader, self._body = Unframed(), ClientBody(None, lambda: None, self._flow)
        body = self._body
        self._go_on()
        return body

    def _can_drain(self) -> bool:
        body = self._body
        if self._broken or body is None or body.length is None:
            return False
        return body.length - body.received <= _DRAINED and not self._expects_nothing(body)

    def _expects_nothing(self, body: ClientBody) -> bool:
        """Whether the client may never send the body: it asked whether it should, and was told something else."""
        request: ProxyRequest = self.requests[0]
        return not body.received and not self._rest and b"expect" in request.head.named

    def requestDone(self, request: ProxyRequest) -> None:
        """The answer is written."""
        del self.requests[0]
        self._handlingRequest = False
        if self._reader is None:
            self._next()
        elif self.persistent:
            self._answered = True
            if self._body is not None:
                self._body.discard()
            self._go_on()
        elif self._switched and ISSLTransport(self.transport, None) is not None:
            # the client hears of the end by it alone
            self._closed = True
            self.loseConnection()
        else:
            self._linger()

    def _next(self) -> None:
        if not self.persistent or (self.connections.draining and not self._rest):
            self._close()
            return
        self.setTimeout(self.timeOut)
        self._go_on()

    def _refuse(self, error: ApiError) -> None:
        """Answer what is no request."""
        body = error.body()
        head = (
            b"HTTP/1.1 %d %b" % (error.status, phrase_of(error.status)),
            b"Date: " + date(),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
            b"Connection: close",
        )
        self._log.info("{port} refused: {status} {error}", port=self.port, status=error.status, error=error.message)
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self._linger()

    # the end

    def close(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._rest or self._reader is not None:
            self._linger()
        else:
            self._closed = True
            self._alarm.lift()
            self.loseConnection()

    def _linger(self) -> None:
        """Close, but not before the client has had time to read its answer."""
        self._lingering = True
        self._rest = b""
        if self._body is not None:
            self._body.discard()
        self.transport.unregisterProducer()
        if ISSLTransport(self.transport, None) is None:
            self.transport.loseWriteConnection()
        self._moved = 0
        self._within(_LINGER_IDLE, lambda: self._look_at_lingering(_LINGER - _LINGER_IDLE))
        self._flow()

    def _look_at_lingering(self, left: float) -> None:
        if left <= 0 or not self._moved:
            self._closed = True
            self.transport.abortConnection()
            return
        self._moved = 0
        self._within(_LINGER_IDLE, lambda: self._look_at_lingering(left - _LINGER_IDLE))

    def timeoutConnection(self) -> None:
        """Nothing came for too long."""
        self._closed = True
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        self._alarm.stop()
        self._reader = self._body = None
        self._rest = b""
        super().connectionLost(reason)
        # they refer back: without them it is gone at once, and not when cycles are looked for
        del self._alarm, self._late
        self.requests.clear()

    # flow control

    def pauseProducing(self) -> None:
        self._waitingForTransport = True
        if self._requestProducer is not None:
            self._requestProducer.pauseProducing()
        self._flow()

    def resumeProducing(self) -> None:
        self._waitingForTransport = False
        if self._requestProducer is not None:
            self._requestProducer.resumeProducing()
        self._flow()

    def _flow(self) -> None:
        """Read from the client, or not, as things are now."""
        wanted = self._wants_more()
        if wanted == self.reading or self._closed:
            return
        self.reading = wanted
        producer: IPushProducer = self._networkProducer
        if wanted:
            self.unwatch()
            producer.resumeProducing()
        else:
            self._held_back = True
            producer.pauseProducing()
            self.watch()

    def _wants_more(self) -> bool:
        if self._lingering or self._broken:
            return True
        if self._body is not None:
            return not self._body.paused
        if self.requests:
            return len(self._rest) <= _AHEAD
        return not self._waitingForTransport
