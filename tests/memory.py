"""Connections and time in memory: a reactor for real servers and clients of Twisted's that opens no socket."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

#: Where those connect from that are connected to nobody.
CLIENT = IPv4Address("TCP", "127.0.0.1", 50000)


class MemoryTransport(StringTransport):
    """One end of a connection in memory.

    @ivar over: it was closed, from whichever side.
    @ivar told: the protocol knows that.
    @ivar half_closed: nothing more will be written.
    """

    def __init__(self, protocol: Any, here: IPv4Address, there: IPv4Address) -> None:
        super().__init__(hostAddress=here, peerAddress=there)
        self.over = False
        self.told = False
        self.half_closed = False
        self._ended = protocol
        protocol.makeConnection(self)

    def loseConnection(self) -> None:
        super().loseConnection()
        self.over = True

    def abortConnection(self) -> None:
        self.over = True
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        """As sockets have it: the other side reads on, and mostly closes then."""
        self.half_closed = True

    def unregisterProducer(self) -> None:
        """As sockets have it, which do not mind when there is none."""
        self.producer = None

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """As sockets have it."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As sockets have it."""

    def tell(self, error: type[Exception] = ConnectionDone) -> None:
        """The connection has ended."""
        if not self.told:
            self.told = self.over = True
            self._ended.connectionLost(Failure(error()))


@implementer(IReactorPluggableNameResolver)
class MemoryReactor(Clock):  # type: ignore[misc]
    """Time that passes when it is told to, and connections to an upstream that is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.upstream: list[tuple[Protocol, MemoryTransport]] = []

    @property
    def nameResolver(self) -> Any:
        return self

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, *args: Any, **kwargs: Any) -> Any:
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        receiver.resolutionComplete()
        return self

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        factory.doStart()
        there = IPv4Address("TCP", host, port)
        protocol = factory.buildProtocol(there)
        self.upstream.append((protocol, MemoryTransport(protocol, CLIENT, there)))
        return self
