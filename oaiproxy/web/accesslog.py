"""The access log: a line for each answer, in the service's log.

Under load most of what a line costs is Twisted's making of an event and a text of it.  So where there are many they
share an event: the first is told at once, those that follow within `WINDOW` together.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from oaiproxy.observe.exchange import timestamp

#: For so many seconds lines are collected.
WINDOW = 0.25

#: So many of them do not wait any longer.
MOST = 500


class AccessLog:
    """The access log of a port.  Lines wait for others between `collect` and `flush` only."""

    _log = Logger()

    def __init__(self, clock: Any, port: str) -> None:
        """
        @param clock: tells the time and calls later.
        @param port: what the lines call the port.
        """
        self._clock = clock
        self._port = port
        self._collects = False
        self._told = float("-inf")  # when something was told last, by the clock
        self._waiting: list[tuple[float, str, str, int, int]] = []
        self._call: IDelayedCall | None = None

    def collect(self) -> None:
        """Lines may wait from now on."""
        self._collects = True

    def flush(self) -> None:
        """Tell what waits; from now on nothing does."""
        self._collects = False
        self._tell()

    def add(self, method: str, path: str, status: int, length: int) -> None:
        """Tell of an answer.

        @param path: the path, as it may be shown.
        @param length: the bytes that were sent of the answer's body.
        """
        now = self._clock.seconds()
        self._waiting.append((now, method, path, status, length))
        if not self._collects or len(self._waiting) >= MOST:
            self._tell()
        elif self._call is None:
            if now - self._told >= WINDOW:
                self._tell()
            else:
                self._call = self._clock.callLater(WINDOW, self._tell)

    def _tell(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        waiting, self._waiting = self._waiting, []
        self._told = self._clock.seconds()
        if len(waiting) == 1:
            _, method, path, status, length = waiting[0]
            self._log.info(
                "{port} {method} {path} {status} {length}",
                port=self._port,
                method=method,
                path=path,
                status=status,
                length=length,
            )
        elif waiting:
            lines = [
                f"{timestamp(time)} {self._port} {method} {path} {status} {length}"
                for time, method, path, status, length in waiting
            ]
            self._log.info("{lines}", lines="\n".join(lines))
