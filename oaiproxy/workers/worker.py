"""What a worker's process does; `process.Worker` starts it.

Where to import things from is read from the supervisor, so nothing but the standard library and this package's messages
are imported before that.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from oaiproxy.workers.messages import (
    END,
    HURRY,
    Closed,
    HandOver,
    Lines,
    Logged,
    Message,
    Ready,
    encode,
    read_hand_over,
    read_imports,
)

if TYPE_CHECKING:
    from twisted.logger import LogEvent

    from oaiproxy.stopping import Stopping

_STDIN = 0


def main() -> None:
    """Serve until told to end.  The exit status is that of a single process; see `oaiproxy.stopping`."""
    # Ctrl-C reaches all processes of a terminal; what it means is for the supervisor to say
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what is printed must not come between the messages
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        imports = read_imports(_STDIN)
        sys.path[:] = imports.path
        if imports.adopts:
            # They are where they were.  How many there are and for whom is looked up when Twisted's endpoints are
            # imported, and taken out of the environment by that, but for their names (sd_listen_fds(3)).
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["LISTEN_FDS"] = str(len(os.environ.get("LISTEN_FDNAMES", "").split(":")))
        importlib.import_module(imports.reactor).install()
        told = read_hand_over(_STDIN)
    except EOFError:
        sys.exit(1)
    _serve(told, Outbox(output))


class Outbox:
    """Tells the supervisor things; it is an observer of the log as well.

    What is told is in the pipe when this returns, so that it is not lost where the process dies.  Like a log on the
    standard output it waits for a reader that does not read.
    """

    def __init__(self, fd: int) -> None:
        """@param fd: the supervisor's end."""
        self._fd = fd
        # other threads may log as well
        self._lock = threading.Lock()

    def tell(self, message: Message) -> None:
        """Tell something; nothing happens where the supervisor is gone."""
        rest = memoryview(encode(message))
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError:
                return

    def __call__(self, event: LogEvent) -> None:
        from twisted.logger import eventAsText

        self.tell(
            Logged(
                time=event["log_time"],
                level=event["log_level"].name,
                namespace=event.get("log_namespace") or "",
                system=event.get("log_system"),
                text=eventAsText(event, includeTimestamp=False, includeSystem=False),
            )
        )


def _serve(told: HandOver, outbox: Outbox) -> None:
    from oaiproxy.maker import choose_reactor, parts

    choose_reactor()
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner

    from oaiproxy.service import Part, ProxyService
    from oaiproxy.workers.shared import Adopting
    from oaiproxy.workers.shares import Shares

    observers: list[Any] = [outbox]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)
    shares = Shares(told.shares, told.places)
    os.close(told.shares)
    accepting = True

    def connections(count: int) -> None:
        if accepting:
            shares.write(told.place, count)

    def closed() -> None:
        nonlocal accepting
        accepting = False
        shares.clear(told.place)
        outbox.tell(Closed())

    found = parts(told.settings)
    ending = _ending(reactor)
    service = ProxyService(
        reactor,
        told.settings,
        found.pipeline,
        (),
        found.tools,
        ending,
        Part(
            sockets=Adopting(reactor, told.sockets, shares, told.place),
            ready=lambda: outbox.tell(Ready()),
            closed=closed,
            demo=told.demo,
            log=told.log,
            connections=connections,
        ),
    )
    service.privilegedStartService()
    service.startService()
    real: Any = reactor
    real.addSystemEventTrigger("before", "shutdown", service.stopService)
    real.callWhenRunning(_listen, real, ending)
    real.run()


def _ending(reactor: Any) -> Stopping:
    """The end of the process: SIGTERM is one more way to say what the supervisor says, and never a second signal.

    systemd and others send it to all processes of a service, and the supervisor says it too.
    """
    from oaiproxy.stopping import Stopping

    class Ending(Stopping):
        def _take_signals(self) -> None:
            signal.signal(signal.SIGTERM, self._signalled)

        def _signalled(self, number: int, frame: FrameType | None) -> None:
            reactor.callFromThread(self._alone)

        def _alone(self) -> None:
            # it is the only one to end, as far as it knows: others take what is new, and the service is well
            if not self._told:
                self.announced = False
            self.end()

    return Ending(reactor)


def _listen(reactor: Any, ending: Stopping) -> None:
    """Do what the supervisor says."""
    from twisted.internet.abstract import FileDescriptor
    from twisted.python.failure import Failure

    os.set_blocking(_STDIN, False)

    class Commands(FileDescriptor):
        _lines = Lines()

        def fileno(self) -> int:
            return _STDIN

        def doRead(self) -> None:
            try:
                data = os.read(_STDIN, 4096)
            except BlockingIOError:
                return
            for line in self._lines.feed(data):
                if line == END:
                    ending.end()
                elif line == HURRY:
                    ending.hurry()
            if not data:
                self.connectionLost(Failure(EOFError()))

        def connectionLost(self, reason: Failure) -> None:
            # without the supervisor nobody would end or replace it
            self.stopReading()
            ending.end()

    Commands(reactor).startReading()
