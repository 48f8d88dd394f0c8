"""The supervisor's side of the ports: they are opened, and handed on to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory

#: Which port of the service a socket is: how it was asked for.
Key = tuple[str, str | int, str]


def tcp_key(port: int, interface: str) -> Key:
    """Of what `listenTCP` or `listenSSL` is asked for."""
    return ("tcp", port, interface)


def unix_key(path: str) -> Key:
    """Of what `listenUNIX` is asked for."""
    return ("unix", path, "")


def adopted_key(fd: int) -> Key:
    """Of what `adoptStreamPort` is asked for."""
    return ("fd", fd, "")


def is_adopted(key: Key) -> bool:
    """Whether that is a socket that the service was given (by systemd)."""
    return key[0] == "fd"


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A listening socket.

    @ivar key: what it was asked for as; the workers, whose settings are the same, ask in the same way.
    @ivar fd: its descriptor, in the process that it is for.
    """

    key: Key
    fd: int


class Binding:
    """A reactor whose ports are open, and accept nothing: connections wait for the workers.

    Endpoints are given this in the reactor's place, so that every kind of them is understood, and said to be wrong, in
    the same way as in a single process.  TLS is the workers' business.

    @ivar opened: the sockets, in the order in which they were asked for.
    """

    def __init__(self, reactor: Any) -> None:
        """@param reactor: opens the ports."""
        self._reactor = reactor
        self.opened: list[OpenSocket] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        opened = self._reactor.listenTCP(port, factory, backlog=backlog, interface=interface)
        return self._keep(tcp_key(port, interface), opened)

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: object, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        opened = self._reactor.listenUNIX(address, factory, backlog=backlog, mode=mode, wantPID=wantPID)
        return self._keep(unix_key(address), opened)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> IListeningPort:
        opened = self._reactor.adoptStreamPort(fileDescriptor, addressFamily, factory)
        return self._keep(adopted_key(fileDescriptor), opened)

    def _keep(self, key: Key, port: Any) -> IListeningPort:
        port.stopReading()
        self.opened.append(OpenSocket(key, port.fileno()))
        return port  # type: ignore[no-any-return]


def places(opened: list[OpenSocket]) -> tuple[tuple[OpenSocket, ...], int]:
    """Where the sockets are in a worker: an adopted one where it was, since its endpoint says so.

    @return: the sockets with the workers' descriptors, in their order, and the first descriptor that is free there.
    """
    adopted = [int(socket.key[1]) for socket in opened if is_adopted(socket.key)]
    free = max([2, *adopted]) + 1
    found = []
    for socket in opened:
        if is_adopted(socket.key):
            found.append(OpenSocket(socket.key, int(socket.key[1])))
        else:
            found.append(OpenSocket(socket.key, free))
            free += 1
    return tuple(found), free
