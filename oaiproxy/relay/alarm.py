"""A time limit that is set and lifted with every request, and costs next to nothing where it does not ring."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """Rings once its time has come, unless it was set anew or lifted before.

    Setting it later, and lifting it, touch no timer of the reactor's: the one there is finds out when it is due, and
    sleeps on.  So whoever owns an alarm has to `stop` it in the end.

    @ivar due: when it rings, by the clock, or None where it does not.
    """

    __slots__ = ("_at", "_call", "_clock", "_ring", "due")

    def __init__(self, clock: IReactorTime, ring: Callable[[], None]) -> None:
        """
        @param clock: tells the time and calls later.
        @param ring: called when it is time.
        """
        self.due: float | None = None
        self._clock = clock
        self._ring = ring
        self._call: IDelayedCall | None = None
        self._at = 0.0  # when the call is due

    def set(self, seconds: float) -> None:
        """Let it ring in so many seconds, and not when it would have before."""
        self.due = due = self._clock.seconds() + seconds
        if self._call is None:
            self._at = due
            self._call = self._clock.callLater(seconds, self._look)
        elif due < self._at:
            # not reset: the reactor would look for the call among all that it has
            self._call.cancel()
            self._at = due
            self._call = self._clock.callLater(seconds, self._look)

    def lift(self) -> None:
        """Let it not ring."""
        self.due = None

    def stop(self) -> None:
        """Let it not ring, and leave nothing behind; it may be set again."""
        self.due = None
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        self._call = None
        if self.due is None:
            return
        left = self.due - self._clock.seconds()
        if left > 0:
            self._at = self.due
            self._call = self._clock.callLater(left, self._look)
        else:
            self.due = None
            self._ring()
