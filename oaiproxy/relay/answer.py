"""The head of an upstream's answer, and the way to its body."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from treq.content import collect as treq_collect
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from oaiproxy.relay.connections import WHOLE, Connection
from oaiproxy.relay.reading import AnswerHead
from oaiproxy.relay.upload import StreamedBody

#: Header fields as they cross the proxy: names and values, in order.
HeaderPairs = Sequence[tuple[bytes, bytes]]

#: Of the body of an answer that nobody gets no more is taken than this, in bytes, and for no longer than this, in
#: seconds; where there is more its connection is given up.
_LEFTOVER_BYTES = 1 << 16
_LEFTOVER_SECONDS = 5.0


class UpstreamAnswer:
    """The head of an upstream's answer, and the way to its body.

    @ivar upstream: how people know the upstream: its host, with its port.
    @ivar status: the HTTP status.
    @ivar phrase: the reason phrase.
    @ivar headers: the header fields, without those of the connection.
    @ivar length: the body's length in bytes where the head says it, else None.
    @ivar until_close: nothing but the end of the connection ends the body.
    """

    def __init__(self, upstream: str, head: AnswerHead, connection: Connection) -> None:
        self._connection = connection
        self._request = connection.requests
        self.upstream = upstream
        self.status = head.status
        self.phrase = head.phrase
        self.headers: HeaderPairs = head.fields
        self.until_close = head.until_close
        self.length = head.length

    def header(self, name: bytes) -> bytes:
        """The value of a header field (`name` in lower case), or nothing."""
        for field, value in self.headers:
            if field.lower() == name:
                return value
        return b""

    def deliver(self, protocol: IProtocol) -> None:
        """Send the body to `protocol`; nothing is read from the upstream before.

        @param protocol: hears at the end ``ResponseDone``, or why the body did not come whole.
        """
        if self.length == 0:
            protocol.connectionLost(WHOLE)
        else:
            self._connection.deliver(protocol)

    def whole(self) -> bytes | None:
        """The body where all of it has come with the head, else None; where it is there, it is not sent to anybody."""
        if self.length == 0:
            return b""
        return self._connection.whole() if self._is_served else None

    def collect(self, receive: Callable[[bytes], None]) -> Deferred[None]:
        """Send the body to `receive`, piece by piece, as `treq.collect` does it.

        @return: fires when it has come whole; fails with why it did not.
        """
        return treq_collect(self, receive)  # type: ignore[arg-type]

    # what treq asks of a response

    deliverBody = deliver

    def send(self, body: StreamedBody, seconds: Callable[[], float]) -> None:
        """Send what the client says behind a 101.

        @param body: what it says, as it comes.
        @param seconds: tells the time.
        """
        if self._is_served:
            self._connection.send_on(body.upload(seconds))

    def abort(self) -> None:
        """Close the connection now, unless the body has ended; behind a 101 when what was sent is taken."""
        if self._is_served:
            if self.status == 101:
                self._connection.part()
            else:
                self._connection.drop()

    def pause(self) -> None:
        """Read nothing more of the body for now."""
        if self._is_served:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self._is_served:
            self._connection.resume()

    def limit(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` in so many seconds, unless the body has ended, or something else is called before."""
        if self._is_served:
            self._connection.limit(seconds, late)

    @property
    def _is_served(self) -> bool:
        """Whether the connection is this answer's still."""
        return self._connection.requests == self._request and self._connection.busy


async def discard(
    answer: UpstreamAnswer, told: Callable[[bytes], None] | None, clock: IReactorTime, seconds: float
) -> None:
    """Let some time pass after an answer that nobody gets, and let go of its connection: kept where its body ends soon.

    Cancelled, it closes the connection.

    @param answer: the answer; its body is still to come.
    @param told: gets the pieces of the body.
    @param clock: calls later.
    @param seconds: how long to wait.
    """
    leftover = _Leftover(answer, told)
    try:
        answer.deliver(leftover)
        first = min(seconds, _LEFTOVER_SECONDS)
        await deferLater(clock, first)
    finally:
        leftover.stop()
    if seconds > first:
        waiting: Deferred[None] = deferLater(clock, seconds - first)
        await waiting


class _Leftover(Protocol):
    """Takes the body of an answer that nobody gets."""

    def __init__(self, answer: UpstreamAnswer, told: Callable[[bytes], None] | None) -> None:
        self._answer = answer
        self._told = told
        self._taken = 0
        self._ended = False

    def dataReceived(self, data: bytes) -> None:
        self._taken += len(data)
        if self._ended:
            return
        if self._told is not None:
            self._told(data)
        if self._taken > _LEFTOVER_BYTES:
            self.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = True

    def stop(self) -> None:
        """Take no more of it."""
        if not self._ended:
            self._ended = True
            self._answer.abort()
