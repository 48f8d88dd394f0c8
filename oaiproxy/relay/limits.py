"""How long things may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

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
        self._over = False
        self._timer: IDelayedCall | None = None
        self.again()
        working.addBoth(self._settle)

    def again(self) -> None:
        """Ask anew how many seconds are left."""
        if self._over:
            return
        self._stop()
        left = self._left()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self._cancel(self._late())

    def _look(self) -> None:
        self._timer = None
        self.again()

    def _cancel(self, reason: Exception) -> None:
        self._reason = reason
        self._working.cancel()

    def _settle(self, result: T | Failure) -> None:
        self._over = True
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


def answered_in_time(
    clock: IReactorTime,
    answering: Deferred[T],
    upload: Sending | None,
    timeouts: Timeouts,
    stalled: Callable[[], Exception],
    late: Callable[[], Exception],
) -> Deferred[T]:
    """What becomes of a request.

    Its body may take as long as it moves: the time until the answer's first byte begins when the upload has ended.

    @param clock: calls later.
    @param answering: fires with the head of the answer.
    @param upload: the sending of the request's body.
    @param timeouts: how long the steps may take.
    @param stalled: makes the error for an upload of which nothing more is taken.
    @param late: makes the error for an answer that does not come.
    """
    sent = clock.seconds()

    def uploading() -> bool:
        return upload is not None and not upload.ended

    def left() -> float:
        if upload is None:
            return sent + timeouts.first_byte - clock.seconds()
        return upload.last + (timeouts.idle if uploading() else timeouts.first_byte) - clock.seconds()

    deadline = Deadline(clock, answering, left, lambda: stalled() if uploading() else late())
    if upload is not None and not upload.ended:
        upload.on_end = deadline.again
    return deadline.outcome
