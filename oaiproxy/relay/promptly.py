"""Writing at once.

What is written to one of Twisted's sockets waits for the reactor's next turn: the kernel is asked to tell when the
socket takes something, tells it, is given the data, and is told that there is no more (two calls of epoll_ctl(2) and an
event for each piece of a stream).  A socket to which nothing is owed takes nearly always what it is given, so it is
tried.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection

#: More than this, in bytes, is left to the transport, which sends it piece by piece without copies of the rest.
_AT_ONCE = 1 << 16


def write(transport: Any, data: bytes) -> None:
    """Write to a transport: what its socket takes is sent before this returns, and the transport sends the rest.

    @param transport: any; one that is no plain TCP connection gets the data as always.
    @param data: what to send.
    """
    if 0 < len(data) <= _AT_ONCE and _is_clear(transport):
        sent = transport.writeSomeData(data)
        # where the connection is lost, the transport finds that out, and tells who has to know
        if isinstance(sent, int):
            if sent == len(data):
                return
            data = data[sent:]
    transport.write(data)


def _is_clear(transport: Any) -> bool:
    """Whether there is nothing before what is written now, neither data nor the end of the connection."""
    if not isinstance(transport, Connection) or transport.TLS or not transport.connected or transport.disconnecting:
        return False
    # where Twisted calls them otherwise, it writes
    owed = getattr(transport, "_tempDataLen", True) or transport.dataBuffer
    return not owed and not getattr(transport, "_writeDisconnecting", True)
