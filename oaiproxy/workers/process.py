"""A worker, as the supervisor sees it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from oaiproxy.workers.messages import END, HURRY, Closed, Lines, Logged, Ready, decode

_STDIN, _STDOUT, _STDERR = 0, 1, 2

#: What a worker's Python runs; where to import the rest from it is told, as everything else, on its standard input.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from oaiproxy.workers.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])

#: The output of a worker that has ended is read for so many seconds more: somebody else may hold it open.
_LAST_WORDS = 2.0


class Owner(Protocol):
    """Who is told of what becomes of a worker."""

    def worker_ready(self, worker: Worker) -> None:
        """It takes connections."""

    def worker_closed(self, worker: Worker) -> None:
        """It takes connections no longer."""

    def worker_ended(self, worker: Worker, how: str) -> None:
        """It has ended.

        @param how: in which way, for people.
        """


class Worker(ProcessProtocol):
    """A process that serves.

    @ivar number: its name; of all workers of a supervisor no two have the same.
    @ivar place: which of the workers that there are to be it is.
    @ivar ready_at: the time at which it took its first connections, or None.
    @ivar closed: whether it takes connections no longer.
    @ivar status: its exit status, or None while it runs, and where a signal has ended it.
    """

    _log = Logger()

    def __init__(self, reactor: Any, owner: Owner, number: int, place: int) -> None:
        """
        @param reactor: starts the process.
        @param owner: is told what becomes of it.
        """
        self._reactor = reactor
        self._owner = owner
        self._lines = {_STDOUT: Lines(), _STDERR: Lines()}
        self._late: IDelayedCall | None = None
        self._exited = False
        self.number = number
        self.place = place
        self.ready_at: float | None = None
        self.closed = False
        self.status: int | None = None

    def start(self, told: bytes, descriptors: Mapping[int, int]) -> None:
        """Start it.

        @param told: what comes first on its standard input.
        @param descriptors: what it gets beside its standard streams: its descriptors, and ours.
        @raise OSError: there can be no more processes.
        """
        arguments = [sys.executable, "-P", "-c", _START, _ROOT, f"oaiproxy worker {self.number}"]
        fds: dict[int, int | str] = {_STDIN: "w", _STDOUT: "r", _STDERR: "r", **descriptors}
        self._reactor.spawnProcess(self, sys.executable, arguments, env=None, childFDs=fds)
        assert self.transport is not None
        self.transport.writeToChild(_STDIN, told)

    @property
    def pid(self) -> int | None:
        """The process's id; None where there is none any more."""
        return getattr(self.transport, "pid", None)

    def end(self) -> None:
        """Tell it to end in order."""
        self._tell(END)

    def hurry(self) -> None:
        """Tell it to wait for nobody any longer."""
        self._tell(HURRY)

    def kill(self) -> None:
        """End it, whatever it does."""
        if not self._exited and self.transport is not None:
            self.transport.signalProcess("KILL")

    def _tell(self, command: bytes) -> None:
        if not self._exited and self.transport is not None:
            self.transport.writeToChild(_STDIN, command + b"\n")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        for line in self._lines[childFD].feed(data):
            self._received(childFD, line)

    def childConnectionLost(self, childFD: int) -> None:
        if childFD in self._lines:
            for line in self._lines[childFD].end():
                self._received(childFD, line)

    def _received(self, fd: int, line: bytes) -> None:
        message = decode(line) if fd == _STDOUT else None
        match message:
            case Logged():
                self._publish(message)
            case Ready():
                self.ready_at = self._reactor.seconds()
                self._owner.worker_ready(self)
            case Closed():
                self.closed = True
                self._owner.worker_closed(self)
            case None:
                # what a library prints, or the interpreter when it dies
                self._log.warn("worker {n}: {line}", n=self.number, line=line.decode("utf-8", "backslashreplace"))

    def _publish(self, logged: Logged) -> None:
        """Put a line of the worker's log into ours: with the time and the place that it has there."""
        event: dict[str, Any] = {
            "log_time": logged.time,
            "log_level": LogLevel.lookupByName(logged.level),
            "log_namespace": logged.namespace,
            "log_format": "{text}",
            # each of its lines is to be found by the worker's name
            "text": "\n".join(f"worker {self.number}: {line}" for line in logged.text.splitlines() or [""]),
        }
        if logged.system is not None:
            event["log_system"] = logged.system
        globalLogPublisher(event)

    def processExited(self, reason: Failure) -> None:
        self._exited = True
        self._late = self._reactor.callLater(_LAST_WORDS, self._let_go)

    def _let_go(self) -> None:
        self._late = None
        if self.transport is not None:
            self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        self._exited = self.closed = True
        if self._late is not None:
            self._late.cancel()
            self._late = None
        error: Any = reason.value
        self.status = error.exitCode
        how = f"with status {error.exitCode}" if error.signal is None else f"by {_signal(error.signal)}"
        self._owner.worker_ended(self, how)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reactor_module(reactor: object) -> str:
    """The module that has the reactor's kind, for `Imports`."""
    return type(reactor).__module__
