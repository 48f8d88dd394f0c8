"""The reactor on which the service runs on Linux, where the operator names none (``twistd --reactor``).

It is Twisted's own but for one thing.  That one begins a log context for each event, in which the old
``twisted.python.log`` finds out whose event it is.  ``twisted.logger``, which all here log to, does not look there; and
it is an eighth of what a piece of a stream costs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger

#: What `Reactor` takes from Twisted's without a promise that it stays.
_LEANS_ON = ("_poller", "_selectables", "_doReadOrWrite")


class Reactor(EPollReactor):
    """Twisted's reactor for epoll(7), without log contexts."""

    _log = Logger()

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, and handle those that came.

        @param timeout: how long to wait for the first, in seconds; without end where None.
        """
        selectables = self._selectables
        for fd, event in self._poller.poll(-1 if timeout is None else timeout, len(selectables)):
            selectable = selectables.get(fd)
            if selectable is None:
                # an event before this one has ended it
                continue
            try:
                self._doReadOrWrite(selectable, fd, event)
            except KeyboardInterrupt:
                raise
            except BaseException:
                # as Twisted's does: one connection's fault is not to end the others
                self._log.failure("while handling an event of {whom}", whom=_name(selectable))

    doIteration = doPoll


def install() -> None:
    """Make it the process's reactor; or leave that to Twisted, where a Twisted to come is made otherwise.

    `oaiproxy.maker.choose_reactor` calls it, where there is none yet and the system has epoll(7).

    @raise twisted.internet.error.ReactorAlreadyInstalledError: there is one.
    """
    made = Reactor()
    if all(hasattr(made, name) for name in _LEANS_ON):
        installReactor(made)


def _name(selectable: Any) -> str:
    try:
        return str(selectable.logPrefix())
    except Exception:
        return type(selectable).__name__
