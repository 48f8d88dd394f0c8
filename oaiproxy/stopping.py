"""How the process is told to end, and with which status it does.

SIGTERM and SIGINT end it in order; a second one ends it at once (`Stopping`).  The reactor's own handlers know nothing
of a second signal, and let twistd kill the process by the first one when it has ended, so that nobody can tell from its
status how it ended; the first process of a container, which such a signal does not reach, would even end with status 0
always.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.logger import Logger

from oaiproxy.servicemanager import ServiceManager

#: The exit status where the service could not start.
EXIT_FAILED = 1

#: The exit status where exchanges had to be ended.
EXIT_ENDED = 3

#: What ends the process in order.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def tell_operator(line: str) -> None:
    """Say on stderr why the process ends."""
    # twistd has made sys.stderr a part of its log by now
    if sys.__stderr__ is not None:
        print(line, file=sys.__stderr__)


class StartFailed(SystemExit, Exception):
    """The service cannot start; the process ends with status 1 and this one line on stderr.

    A SystemExit, so that nobody prints a traceback; an Exception, so that twistd removes its pid file first and passes
    the line on from a daemon that it started.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = EXIT_FAILED
        tell_operator(message)


class Stopping:
    """The process's end.

    @ivar status: its exit status.
    @ivar announced: whether balancers are to see it before the ports are closed.
    """

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        """@param reactor: what is stopped."""
        self.status = 0
        self.announced = True
        self._manager = ServiceManager()
        self._reactor = reactor
        self._hurry: Callable[[], None] = lambda: None
        self._told = False
        # Neither twistd nor twist has an exit status of the service's; by then they have done all they do.
        atexit.register(self._exit)

    def listen(self, hurry: Callable[[], None]) -> None:
        """Take the signals in the reactor's place, once it runs.

        @param hurry: called for each signal after the first.
        """
        self._hurry = hurry
        self._reactor.callWhenRunning(self._take_signals)

    def _take_signals(self) -> None:
        # an application that does without the reactor's handlers has reasons
        reactors = (getattr(self._reactor, "sigTerm", None), getattr(self._reactor, "sigInt", None))
        for number in _SIGNALS:
            if signal.getsignal(number) in reactors:
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        if self._told or not self._reactor.running:
            self._log.info("{name} again: ending at once", name=name)
            self.hurry()
            return
        self._log.info("{name}: ending; another one ends at once", name=name)
        self.end()

    def ready(self, status: str) -> None:
        """Say that requests are answered.

        @param status: what the service does, for people.
        """
        self._manager.ready(status)

    def end(self) -> None:
        """End the process in order, where it does not do so already."""
        if not self._told and self._reactor.running:
            self._told = True
            self._manager.stopping("letting what runs come to its end")
            self._reactor.stop()

    def hurry(self) -> None:
        """Wait for nobody any longer."""
        self._hurry()

    def _exit(self) -> None:
        if not self.status:
            return
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        os._exit(self.status)
