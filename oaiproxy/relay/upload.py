"""Request bodies on their way upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer

from oaiproxy.api.errors import ApiError

#: A body is handed to its connection in pieces of this size, in bytes, as the upstream takes them.
PIECE = 1 << 16


def _unheard() -> None:
    """What is called at an end that nobody waits for."""


class BytesBody:
    """A body that is in memory, and can be sent as often as it takes.

    @ivar data: the bytes; none once it was told to forget them.
    @ivar length: how many.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)

    def forget(self) -> None:
        """It is not sent again: let go of the bytes."""
        self.data = b""


class BodySource(Protocol):
    """Where a body comes from that is passed on as it comes.

    @ivar length: in bytes, or None where nobody knows before its end.
    """

    @property
    def length(self) -> int | None: ...

    def take(
        self, receive: Callable[[bytes], None], ended: Callable[[], None], failed: Callable[[ApiError], None]
    ) -> None:
        """Let it flow; only once.

        @param receive: gets the pieces.
        @param ended: called after the last.
        @param failed: called where the rest does not come, with what the client is told.
        """

    def pause(self) -> None:
        """Hand over nothing more for now."""

    def resume(self) -> None:
        """Go on."""

    def discard(self) -> None:
        """Nobody takes the rest."""


class StreamedBody:
    """A body that is passed on as it comes, and so can be sent once only.

    @ivar length: in bytes, or None where nobody knows before its end.
    @ivar chunked: whether it is sent in chunks (RFC 9112 section 7.1), which tell its end.
    @ivar begun: whether it was begun to be sent.
    """

    def __init__(self, source: BodySource, *, framed: bool = True) -> None:
        """
        @param source: where it comes from.
        @param framed: whether its end is to be told; else it goes on as long as the connection.
        """
        self.length = source.length
        self.chunked = framed and self.length is None
        self.begun = False
        self._source = source

    def forget(self) -> None:
        """It is not sent again, which it could not be anyway."""

    def upload(self, seconds: Callable[[], float]) -> StreamedUpload:
        """The one sending of it.

        @param seconds: tells the time.
        """
        return StreamedUpload(self, self._source, seconds)


#: What may be sent.
RequestBody: TypeAlias = BytesBody | StreamedBody


class Sending(Protocol):
    """A body that is being sent; a push producer.

    @ivar last: when the connection last took something that there was, by the clock.
    @ivar ended: whether it has taken all.
    @ivar on_end: called then.
    """

    ended: bool
    on_end: Callable[[], None]

    @property
    def last(self) -> float: ...

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Begin.

        @param consumer: gets the body, framed as its head says.
        @return: fires when it has all of it; fails with an `ApiError` where the rest does not come.
        """

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


@implementer(IPushProducer)
class StreamedUpload:
    """The sending of a body that comes while it is sent: who sends it is held back to the pace of who takes it.

    @ivar ended: whether the connection has taken all.
    @ivar on_end: called then.
    """

    def __init__(self, body: StreamedBody, source: BodySource, seconds: Callable[[], float]) -> None:
        """
        @param body: what is sent.
        @param source: where it comes from.
        @param seconds: tells the time.
        """
        self.ended = False
        self.on_end: Callable[[], None] = _unheard
        self._chunked = body.chunked
        self._body = body
        self._source = source
        self._seconds = seconds
        self._last = seconds()
        self._paused = False
        self._stopped = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] = Deferred()

    @property
    def last(self) -> float:
        """When the connection last took something that there was; while it would take more that is now."""
        return self._last if self._paused or self.ended else self._seconds()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self._body.begun = True
        self._source.take(self._receive, self._end, self._fail)
        return self._done

    def pauseProducing(self) -> None:
        if not self._paused:
            self._last, self._paused = self._seconds(), True
            self._source.pause()

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume()

    def stopProducing(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.on_end = _unheard
            self._source.discard()

    def _receive(self, data: bytes) -> None:
        if not self._stopped:
            assert self._consumer is not None
            self._consumer.write(data if not self._chunked else b"%x\r\n%b\r\n" % (len(data), data))

    def _end(self) -> None:
        if not self._stopped:
            if self._chunked:
                assert self._consumer is not None
                self._consumer.write(b"0\r\n\r\n")
            self._last, self._stopped, self.ended = self._seconds(), True, True
            self._done.callback(None)
            # whoever waits for the end knows this object: nothing is left that the garbage collector has to find
            heard, self.on_end = self.on_end, _unheard
            heard()

    def _fail(self, error: ApiError) -> None:
        if not self._stopped:
            self._stopped = True
            self.on_end = _unheard
            self._done.errback(error)


@implementer(IPushProducer)
class Upload:
    """One sending of a body, at the pace at which the upstream takes it.

    @ivar length: the body's, in bytes.
    @ivar last: when the connection last took something, by the clock.
    @ivar ended: whether it has taken all.
    @ivar on_end: called then.
    """

    def __init__(self, body: BytesBody, seconds: Callable[[], float]) -> None:
        """
        @param body: what is sent.
        @param seconds: tells the time.
        """
        self.length = body.length
        self.last = seconds()
        self.ended = False
        self.on_end: Callable[[], None] = _unheard
        self._data = body.data
        self._seconds = seconds
        self._at = 0
        self._paused = False
        self._stopped = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self._go_on()
        return self._done

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        self._stopped = True
        self._let_go()

    def _let_go(self) -> None:
        """Hold on to nothing: whoever waits for the end knows this object, and the body may be large."""
        self.on_end, self._data = _unheard, b""

    def _go_on(self) -> None:
        """Hand over pieces until the connection has enough for now, which it says while it gets them."""
        assert self._consumer is not None
        self.last = self._seconds()
        while not (self._paused or self._stopped or self.ended):
            # all of it is no copy
            piece = self._data[self._at : self._at + PIECE]
            self._at += len(piece)
            self.ended = self._at >= self.length
            self._consumer.write(piece)
        if self.ended and not self._stopped:
            self._stopped = True
            self._done.callback(None)
            heard = self.on_end
            self._let_go()
            heard()
