"""The head of an upstream's answer, and the way to its body."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from oaiproxy.relay.connections import Connection

#: Header fields as they cross the proxy: names and values, in order.
HeaderPairs = Sequence[tuple[bytes, bytes]]

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

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

    def __init__(
        self,
        upstream: str,
        response: IResponse,
        headers: HeaderPairs,
        connection: Connection,
        *,
        until_close: bool = False,
    ) -> None:
        self._response = response
        self._connection = connection
        self.upstream = upstream
        self.status: int = response.code
        # RFC 9112 section 4; a line end in it would let the upstream write a second answer
        self.phrase: bytes = _CONTROL.sub(b" ", response.phrase)
        self.headers = headers
        self.until_close = until_close
        self.length: int | None = None if response.length is UNKNOWN_LENGTH else response.length

    def header(self, name: bytes) -> bytes:
        """The value of a header field (`name` in lower case), or nothing."""
        return next((value for field, value in self.headers if field.lower() == name), b"")

    def deliver(self, protocol: IProtocol) -> None:
        """Send the body to `protocol`; nothing is read from the upstream before."""
        self._response.deliverBody(protocol)

    def abort(self) -> None:
        """Close the connection now; only before the body has ended."""
        self._connection.drop()

    @property
    def was_reset(self) -> bool:
        """Whether the connection ended otherwise than by an orderly close."""
        lost = self._connection.lost
        return lost is not None and lost.check(ConnectionLost) is not None


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
