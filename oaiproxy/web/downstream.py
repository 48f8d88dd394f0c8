"""The client's end of an exchange: what it is told, and how its answer ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer

from oaiproxy.api.errors import ApiError
from oaiproxy.observe.exchange import ExchangeLog
from oaiproxy.web.respond import rendered, write_error, write_head
from oaiproxy.web.site import ProxyRequest

Pairs = Sequence[tuple[bytes, bytes]]

#: A client that does not take the rest of a cut answer is let go after this many seconds.
_CUT_GRACE = 30.0


class Downstream:
    """Writes one answer to a client.

    @ivar extra: header fields that go with it, whatever it will be.
    @ivar gone: whether the client has left; nothing is written to it any more.
    @ivar ending: why the exchange is cancelled, where that is not because the client has left.
    @ivar started: whether the head was sent.
    @ivar last: when something was last sent, by the clock.
    """

    def __init__(self, request: ProxyRequest, clock: Any, traffic: ExchangeLog | None) -> None:
        """
        @param request: the client's request.
        @param clock: tells the time and calls later.
        @param traffic: is told what the client gets.
        """
        self.extra: list[tuple[bytes, bytes]] = []
        self.gone = False
        self.ending: ApiError | None = None
        self.started = False
        self.last = clock.seconds()
        self._request = request
        self._clock = clock
        self._traffic = traffic

    def head(self, status: int, headers: Pairs, body: bytes = b"", phrase: bytes | None = None) -> None:
        """Send the head.

        @param body: what of the body is there already; the head goes out now also where that is nothing.
        """
        self.started = True
        self.last = self._clock.seconds()
        write_head(self._request, status, headers, phrase)
        self._request.write(body)
        if self._traffic is not None:
            self._traffic.downstream_response(status, headers)
            if body:
                self._traffic.downstream_chunk(body)

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.last = self._clock.seconds()
        self._request.write(data)
        if self._traffic is not None:
            self._traffic.downstream_chunk(data)

    def pass_on(self, data: bytes) -> None:
        """Send a piece of what is no body: of what is said behind a 101 there is nothing in the log."""
        self.last = self._clock.seconds()
        self._request.write(data)

    def finish(self) -> None:
        """The answer is whole."""
        if not self.gone:
            self._request.finish()

    def flow_from(self, producer: IPushProducer) -> None:
        """Let a producer know when the client takes nothing, and when it is gone."""
        self._request.registerProducer(producer, True)

    def flow_ends(self) -> None:
        """The producer has produced all it will."""
        if not self.gone:
            self._request.unregisterProducer()

    def fail(self, error: ApiError) -> None:
        """Answer with an error where that is possible still, else cut the answer off."""
        if self.gone:
            return
        if self.started:
            self.cut()
            return
        if self._traffic is not None:
            answer = rendered(self._request, error)
            self._traffic.downstream_response(answer.status, self.extra, answer.body)
        write_error(self._request, error, self.extra)

    def cut(self) -> None:
        """End the answer so that the client sees it is not whole: what did arrive, and no proper end."""
        if self.gone:
            return
        channel = self._request.channel
        reset: Callable[[], None] = channel.transport.abortConnection
        if not self._request.delimited:
            # a body that only the end of the connection ends, as HTTP/1.0 has it: nothing but a reset tells
            reset()
            return
        channel.loseConnection()
        grace: IDelayedCall = self._clock.callLater(_CUT_GRACE, reset)
        self._request.notifyFinish().addErrback(lambda _: grace.cancel() if grace.active() else None)
