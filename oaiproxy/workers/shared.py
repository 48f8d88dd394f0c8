"""A worker's side of the ports: it accepts on sockets that others accept on too."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IProtocolFactory, IReadDescriptor
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.workers.shares import Shares
from oaiproxy.workers.sockets import Key, OpenSocket, adopted_key, tcp_key, unix_key

#: For so many seconds a connection is left to others that have less, at most and at least.  A worker on a processor
#: that has other work needs the longer time to wake up.
LONGEST_WAIT = 0.016
SHORTEST_WAIT = 0.0005

#: A process that has no descriptor left tries again after so many seconds.
NO_DESCRIPTORS = 0.1

#: What is no fault of the socket's: somebody else was quicker, or the client has left (accept(2)).
_NOTHING_THERE = {
    errno.EAGAIN,
    errno.EWOULDBLOCK,
    errno.EINTR,
    errno.ECONNABORTED,
    errno.EPERM,
    errno.ENOTCONN,
    errno.EINVAL,
}


class Adopting:
    """A reactor whose ports are open already; see `Binding`, which is the other side of it."""

    def __init__(self, reactor: Any, sockets: Iterable[OpenSocket], shares: Shares, place: int) -> None:
        """
        @param reactor: has the connections.
        @param sockets: the open sockets.
        @param shares: how many connections each worker has.
        @param place: this worker's place there.
        """
        self._reactor = reactor
        self._sockets = list(sockets)
        self._shares = shares
        self._place = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        return self._port(tcp_key(port, interface), factory)

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        return self._port(tcp_key(port, interface), TLSMemoryBIOFactory(contextFactory, False, factory))

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        return self._port(unix_key(address), factory)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> IListeningPort:
        # the endpoint closes the descriptor when it has its port
        return self._port(adopted_key(fileDescriptor), factory, os.dup(fileDescriptor))

    def _port(self, key: Key, factory: IProtocolFactory, fd: int | None = None) -> IListeningPort:
        for found in self._sockets:
            if found.key == key:
                self._sockets.remove(found)
                listening = socket.socket(fileno=found.fd if fd is None else fd)
                port = SharedPort(self._reactor, listening, factory, self._shares, self._place)
                port.startListening()
                return port
        # one that the supervisor could do without, such as ::1 on a machine without IPv6
        raise CannotListenError(str(key[2]), key[1], OSError(errno.EADDRNOTAVAIL, "the supervisor has not opened it"))


@implementer(IListeningPort, IReadDescriptor)
class SharedPort:
    """Accepts the connections of a socket on which other processes accept too.

    One at a time, since the others are woken as well; and not where others have less (`Shares`).  Twisted's own port
    takes as many as there are, and one of a UNIX socket takes the path away when it stops, which is not ours.
    """

    _log = Logger()

    def __init__(self, reactor: Any, listening: socket.socket, factory: IProtocolFactory, shares: Shares, place: int):
        """
        @param reactor: has the connections.
        @param listening: the socket.
        @param factory: makes their protocols.
        @param shares: how many connections each worker has.
        @param place: this worker's place there.
        """
        self._reactor = reactor
        self._socket = listening
        self._factory = factory
        self._shares = shares
        self._place = place
        self._host = _address(listening)
        self._patience = LONGEST_WAIT
        self._again: IDelayedCall | None = None

    def startListening(self) -> None:
        self._socket.setblocking(False)
        self._factory.doStart()
        self._reactor.addReader(self)

    def stopListening(self) -> Deferred[None]:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._reactor.removeReader(self)
        self._socket.close()
        self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        return self._host

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "shared port"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with it; `stopListening` has closed it."""

    def doRead(self) -> None:
        """Take one connection, or leave it to others."""
        if self._shares.has_enough(self._place):
            self._wait(self._patience, self._take_what_is_left)
        else:
            self._take()

    def _take_what_is_left(self) -> None:
        """Take the connection if nobody else has.

        Who waits in vain waits for less the next time: the others have much to do, and how many connections somebody
        has does not say how much that is.
        """
        taken = self._take()
        factor = 0.5 if taken else 2
        self._patience = min(max(self._patience * factor, SHORTEST_WAIT), LONGEST_WAIT)

    def _take(self) -> bool:
        """Take a connection.

        @return: whether there was one.
        """
        try:
            connection, _ = self._socket.accept()
        except OSError as e:
            if e.errno not in _NOTHING_THERE:
                # it stays where it is; others may have room for it
                self._log.error("no connection can be taken: {reason}", reason=e.strerror)
                self._wait(NO_DESCRIPTORS)
            return False
        with connection:
            connection.setblocking(False)
            try:
                # has a descriptor of its own for it
                self._reactor.adoptStreamConnection(connection.fileno(), connection.family, self._factory)
            except OSError as e:
                # the client has left already
                if e.errno not in _NOTHING_THERE:
                    self._log.error("a connection could not be taken: {reason}", reason=e.strerror)
        return True

    def _wait(self, seconds: float, then: Callable[[], None] = lambda: None) -> None:
        """Look away for a while."""
        if self._again is None:
            self._reactor.removeReader(self)
            self._again = self._reactor.callLater(seconds, self._go_on, then)

    def _go_on(self, then: Callable[[], None]) -> None:
        self._again = None
        self._reactor.addReader(self)
        then()


def _address(listening: socket.socket) -> IAddress:
    name = listening.getsockname()
    if listening.family == socket.AF_INET:
        return IPv4Address("TCP", *name)
    if listening.family == socket.AF_INET6:
        return IPv6Address("TCP", *name)
    return UNIXAddress(os.fsencode(name))
