"""The producer that joins an upstream's body to a client: flow control, time limit, and the way it ends."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.api.errors import UpstreamIncomplete, UpstreamTimeout
from oaiproxy.relay.answer import UpstreamAnswer

#: How long an upstream may go on after the client has its whole answer, in seconds, before its connection is given up.
_DRAIN = 5.0


@implementer(IPushProducer)
class UpstreamBody:
    """Receives an upstream's body and hands it on; registered as the client request's producer.

    @ivar done: fires with None when the body has arrived whole; fails with `UpstreamIncomplete` when it was cut, with
        `UpstreamTimeout` when it stalled, and with whatever `receive` raised.  Cancelling it closes the connection.
    """

    def __init__(
        self, answer: UpstreamAnswer, receive: Callable[[bytes], None], clock: IReactorTime, idle: float | None
    ) -> None:
        """
        @param answer: whose body.
        @param receive: gets each piece; what it raises ends the exchange.
        @param clock: tells the time.
        @param idle: the longest silence, in seconds; the client's own pauses do not count.  None for any.
        """
        self.done: Deferred[None] = Deferred(lambda _: self._abort())
        self._answer = answer
        self._receive: Callable[[bytes], None] | None = receive
        self._clock = clock
        self._idle = idle
        self._paused = False
        self._ended = False
        self._last = clock.seconds()

    def start(self) -> None:
        """Let the body come; call it after the consumer knows this producer."""
        if self._idle is not None:
            # one alarm an exchange, not one a chunk: it looks at the time of the last byte and sleeps on
            self._answer.limit(self._idle, self._check)
        self._answer.collect(self._take).addCallbacks(self._whole, self._broken)
        if self._paused and not self._ended:
            # a body that begins is read
            self._answer.pause()

    def _take(self, data: bytes) -> None:
        self._last = self._clock.seconds()
        if self._receive is not None:
            try:
                self._receive(data)
            except Exception:
                self._fail(Failure())

    def _whole(self, _: None) -> None:
        self._ended = True
        self._settle()

    def _broken(self, reason: Failure) -> None:
        self._ended = True
        message = f"The answer of the upstream {self._answer.upstream} was cut off before its end."
        self._settle(Failure(UpstreamIncomplete(message)))

    # IPushProducer

    def pauseProducing(self) -> None:
        self._paused = True
        if not self._ended:
            self._answer.pause()

    def resumeProducing(self) -> None:
        self._paused = False
        self._last = self._clock.seconds()
        if not self._ended:
            self._answer.resume()

    def stopProducing(self) -> None:
        """The client is gone: so is the upstream's reason to go on."""
        self.done.cancel()

    # the end

    def drain(self) -> None:
        """The client has all it needs: take the rest of the body unseen, so that the connection can be kept."""
        if not self._ended:
            self._answer.limit(_DRAIN, self._abort)
            if self._paused:
                self.resumeProducing()
        self._settle()

    def drop(self) -> None:
        """The client has all it needs, and the upstream would go on for nobody: close its connection."""
        self._settle()
        self._abort()

    def _check(self) -> None:
        idle = self._idle
        assert idle is not None
        quiet = 0.0 if self._paused else self._clock.seconds() - self._last
        if quiet >= idle:
            message = f"The upstream {self._answer.upstream} sent nothing more of its answer for {idle:g} s."
            self._fail(Failure(UpstreamTimeout(message)))
        else:
            self._answer.limit(idle - quiet, self._check)

    def _fail(self, reason: Failure) -> None:
        self._settle(reason)
        self._abort()

    def _abort(self) -> None:
        self._receive = None
        if not self._ended:
            self._answer.abort()

    def _settle(self, reason: Failure | None = None) -> None:
        self._receive = None
        if not self.done.called:
            self.done.callback(None) if reason is None else self.done.errback(reason)


@implementer(IPushProducer)
class UpstreamBodies:
    """The bodies of one exchange, which come at the same time and end together: one producer for its client.

    @ivar paused: whether the client takes nothing at the moment.
    """

    def __init__(self) -> None:
        self.paused = False
        self._bodies: list[UpstreamBody] = []

    def add(self, body: UpstreamBody) -> None:
        """Let another body come."""
        self._bodies.append(body)
        if self.paused:
            body.pauseProducing()
        body.start()

    def pauseProducing(self) -> None:
        self.paused = True
        for body in self._bodies:
            body.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        for body in self._bodies:
            body.resumeProducing()

    def stopProducing(self) -> None:
        """The client is gone: so is the upstream's reason to go on."""
        for body in self._bodies:
            body.stopProducing()
