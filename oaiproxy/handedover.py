"""Sockets that the service manager opens and hands over (``systemd:`` endpoints, sd_listen_fds(3)).

What of them and what the settings say does not fit together is said before anybody connects.
"""

from __future__ import annotations

import os
import socket

from twisted.internet.endpoints import AdoptedStreamServerEndpoint

#: What is wrong where an endpoint names a socket that is not there.
NOTHING_HANDED_OVER = (
    "no such socket was handed over; index counts from 0 in the order of the socket units, and name is what "
    "FileDescriptorName= says there (the unit's own name, if it says nothing)"
)


def check_handed_over(endpoint: object) -> None:
    """See to it that a socket is of the kind that its endpoint says: Twisted would take its addresses for others.

    @param endpoint: any endpoint; those of other kinds are right.
    @raise ValueError: it is of another kind.
    """
    if not isinstance(endpoint, AdoptedStreamServerEndpoint):
        return
    try:
        found = socket.socket(fileno=os.dup(endpoint.fileno))
    except OSError as e:
        raise ValueError(f"what was handed over is no socket: {e.strerror}") from None
    with found:
        family, kind = found.family, found.type
        accepts = bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if kind != socket.SOCK_STREAM or not accepts:
        raise ValueError("the socket that was handed over accepts no connections: ListenStream= and Accept=no open one")
    if family != endpoint.addressFamily:
        name = socket.AddressFamily(family).name.removeprefix("AF_")
        raise ValueError(f"the socket that was handed over is of another kind: say domain={name}")
