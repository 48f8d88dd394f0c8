"""The end of the ports' exchanges: what runs may go on for a while, and what is left is ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, FirstError, TimeoutError, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger

from oaiproxy.web.draining import Connections
from oaiproxy.web.exchanges import Exchanges

#: Clients have so many seconds to take what they are told of an exchange that was ended.
_LAST_WORDS = 1.0


class Drain:
    """Ends what runs on some ports, which accept no connections any more."""

    _log = Logger()

    def __init__(
        self, reactor: Any, connections: Sequence[Connections], exchanges: Sequence[Exchanges], seconds: float
    ) -> None:
        """
        @param reactor: for time.
        @param connections: those of the ports.
        @param exchanges: those of the ports.
        @param seconds: how long what runs may go on.
        """
        self._reactor = reactor
        self._connections = connections
        self._exchanges = exchanges
        self._seconds = seconds
        self._hurried = False
        self._waiting: Deferred[list[None]] | Deferred[None] | None = None

    def hurry(self) -> None:
        """Wait for nobody any longer."""
        self._hurried = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def announce(self, seconds: float) -> None:
        """Let the health check say that the end is near, while connections are taken still.

        A balancer that looks there sends nothing new by the time at which the ports are closed.  Without that, what is
        in a port's queue when it is closed is lost (the kernel resets it), and nobody knows if it may be sent again.

        @param seconds: how long balancers need to see it.
        """
        for exchanges in self._exchanges:
            exchanges.draining = True
        if not seconds or self._hurried:
            return
        self._log.info("the health check says so for {seconds:g} s, then the ports are closed", seconds=seconds)
        self._waiting = deferLater(self._reactor, seconds)
        try:
            await self._waiting
        except CancelledError:
            pass
        finally:
            self._waiting = None

    def begin(self) -> None:
        """Let every answer that begins from now on be the last one on its connection.

        The ports are closed after that: whoever finds them closed can rely on it.
        """
        for connections in self._connections:
            connections.draining = True

    async def run(self) -> bool:
        """Let everything end, and see to it that it does.

        The health check says nothing of it by itself (`announce`): where the process is one of several, others take
        what is new, and the service is well.

        @return: whether all of it ended by itself.
        """
        # what has arrived already is read before idle connections are closed
        await deferLater(self._reactor, 0)
        for connections in self._connections:
            connections.drain()
        if not self._hurried and await self._all_gone(self._seconds):
            return True
        busy = sum(connections.close_idle() for connections in self._connections)
        ended = sum(exchanges.end() for exchanges in self._exchanges)
        if busy or ended:
            self._log.warn("{ended} exchanges and {busy} connections had to be ended", ended=ended, busy=busy)
        lost = 0
        if not await self._all_gone(_LAST_WORDS):
            lost = sum(connections.abort() for connections in self._connections)
            await self._all_gone(_LAST_WORDS)
        return not (busy or ended or lost)

    async def _all_gone(self, seconds: float) -> bool:
        """Wait until no connection is left.

        @return: whether that was so in time.
        """
        self._waiting = gatherResults([connections.gone() for connections in self._connections], consumeErrors=True)
        try:
            await self._waiting.addTimeout(seconds, self._reactor)
        except (FirstError, TimeoutError):
            return False
        finally:
            self._waiting = None
        return True
