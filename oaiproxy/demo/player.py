"""Plays a `Reply` to a client: piece by piece, at the pace it asks for, and no faster than the client reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from oaiproxy.demo.reply import Cut, Reply, Step, Wait

#: How long what was written before a cut gets to leave, in seconds: an aborted connection throws away what it holds.
_BEFORE_CUT = 0.02


_log = Logger()


class Stage(Protocol):
    """What a reply is played on: a request of twisted.web, whose head goes out with the first write."""

    def write(self, data: bytes) -> object:
        """Send a piece of the body."""

    def finish(self) -> None:
        """The body is complete."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Tell `producer` to pause and to resume from now on."""

    def unregisterProducer(self) -> None:
        """Tell it no more."""


@implementer(IPushProducer)
class Player:
    """One run of one reply.

    It gives the reactor a turn between two pieces, so that each leaves by itself, as from a model that is thinking.
    When the client leaves, `stop` ends it: nothing goes on in the background.
    """

    def __init__(
        self, reply: Reply, stage: Stage, clock: IReactorTime, abort: Callable[[], None], done: Callable[[], None]
    ) -> None:
        """
        @param abort: breaks the connection.
        @param done: called once, when the run is over, however it ends.
        """
        self._steps: Iterator[Step] = iter(reply.steps)
        self._slow = reply.slow
        self._live = reply.live
        self._silence = reply.silence
        self._stage = stage
        self._clock = clock
        self._abort = abort
        self._done = done
        self._call: IDelayedCall | None = None
        self._paused = False
        self._over = False

    def start(self) -> None:
        """Begin to play."""
        self._stage.registerProducer(self, True)
        if self._live:
            # a write of nothing sends the head
            self._stage.write(b"")
        self._later(self._silence)

    def stop(self) -> None:
        """End here: the client is gone."""
        if self._end():
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()

    def pauseProducing(self) -> None:
        """The client reads more slowly than it is written to."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The client has read what was written."""
        self._paused = False
        if self._call is None and not self._over:
            self._later(0)

    def stopProducing(self) -> None:
        """The connection is lost."""
        self.stop()

    def _later(self, seconds: float) -> None:
        self._call = self._clock.callLater(seconds, self._play)

    def _play(self) -> None:
        """Do the next step; without one due, `resumeProducing` goes on."""
        self._call = None
        if self._paused or self._over:
            return
        try:
            step = next(self._steps, None)
        except Exception:
            _log.failure("the demo upstream failed in the middle of an answer")
            step = Cut()
        if step is None:
            if self._end():
                self._stage.unregisterProducer()
                self._stage.finish()
        elif isinstance(step, Wait):
            self._later(step.seconds)
        elif isinstance(step, Cut):
            self._call = self._clock.callLater(_BEFORE_CUT, self._cut)
        else:
            self._stage.write(step)
            if not self._over:
                self._later(self._slow)

    def _cut(self) -> None:
        self._call = None
        if self._end():
            self._stage.unregisterProducer()
            self._abort()

    def _end(self) -> bool:
        """Note that the run is over.

        @return: whether it was not before.
        """
        if self._over:
            return False
        self._over = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._done()
        return True
