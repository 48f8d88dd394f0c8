"""Streams in silence: while a model thinks, something has to pass, or a machine on the way takes the connection for
dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall


class Keepalive:
    """Calls back whenever nothing was sent for a time."""

    def __init__(self, clock: Any, every: float, last: Callable[[], float], send: Callable[[], None]) -> None:
        """
        @param clock: tells the time and calls later.
        @param every: the longest silence, in seconds; 0 for any.
        @param last: says when something was last sent.
        @param send: sends something, or does not where it cannot.
        """
        self._clock = clock
        self._every = every
        self._last = last
        self._send = send
        # one timer a stream, not one a chunk: it looks at the time of the last byte and sleeps on
        self._timer: IDelayedCall | None = clock.callLater(every, self._check) if every else None

    def stop(self) -> None:
        """The stream is over."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _check(self) -> None:
        left = self._last() + self._every - self._clock.seconds()
        if left <= 0:
            self._timer = None
            self._send()
            left = self._every
        self._timer = self._clock.callLater(left, self._check)
