"""How long things may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from oaiproxy.relay.connections import Connection
from oaiproxy.relay.failures import Failures
from oaiproxy.relay.upload import Sending
from oaiproxy.settings import Timeouts

T = TypeVar("T")


class Deadline(Generic[T]):
    """Cancels what is under way when its time is over; whoever else cancels it gets a CancelledError for it.

    Endpoints and connections make errors of their own of being cancelled, which look like failures of the upstream.

    @ivar outcome: what becomes of it.
    """

    def __init__(
        self, clock: IReactorTime, working: Deferred[T], left: Callable[[], float], late: Callable[[], Exception]
    ) -> None:
        """
        @param clock: calls later.
        @param working: what is under way.
        @param left: how many seconds it still has; it is asked again when they are over.
        @param late: makes the error for when none are left.
        """
        self.outcome: Deferred[T] = Deferred(lambda _: self._cancel(CancelledError()))
        self._clock = clock
        self._working = working
        self._left = left
        self._late = late
        self._reason: Exception | None = None
        self._timer: IDelayedCall | None = None
        self._look()
        working.addBoth(self._settle)

    def _look(self) -> None:
        """See how many seconds are left."""
        self._timer = None
        left = self._left()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self._cancel(self._late())

    def _cancel(self, reason: Exception) -> None:
        self._reason = reason
        self._working.cancel()

    def _settle(self, result: T | Failure) -> None:
        self._stop()
        if self._reason is not None:
            self.outcome.errback(self._reason)
        elif isinstance(result, Failure):
            self.outcome.errback(result)
        else:
            self.outcome.callback(result)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


def within(clock: IReactorTime, working: Deferred[T], seconds: float, late: Callable[[], Exception]) -> Deferred[T]:
    """What becomes of `working` within some seconds; after them it is cancelled and fails with what `late` makes."""
    end = clock.seconds() + seconds
    return Deadline(clock, working, lambda: end - clock.seconds(), late).outcome


class AnswerLimit:
    """How long an upstream may take for a request until its answer begins.

    The body of the request may take as long as it moves: the time until the answer's first byte begins when all of it
    was taken.
    """

    def __init__(
        self, connection: Connection, sending: Sending | None, clock: IReactorTime, timeouts: Timeouts, errors: Failures
    ) -> None:
        """
        @param connection: the request was sent on it.
        @param sending: the sending of the request's body, where it takes a while.
        @param clock: tells the time.
        @param timeouts: how long the steps may take.
        @param errors: makes the error for what takes too long.
        """
        self._connection = connection
        self._sending = sending
        self._clock = clock
        self._timeouts = timeouts
        self._errors = errors
        if sending is None or sending.ended:
            self._await_answer()
        else:
            sending.on_end = self._await_answer
            connection.limit(timeouts.idle, self._look)

    def _await_answer(self) -> None:
        self._connection.limit(self._timeouts.first_byte, lambda: self._connection.fail(self._errors.answer_timeout()))

    def _look(self) -> None:
        """See whether something of the body was taken of late."""
        assert self._sending is not None
        left = self._sending.last + self._timeouts.idle - self._clock.seconds()
        if left > 0:
            self._connection.limit(left, self._look)
        else:
            self._connection.fail(self._errors.upload_timeout())
