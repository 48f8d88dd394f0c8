"""Whether an upstream is the proxy itself: many shells export ``OPENAI_BASE_URL`` for their clients, pointing here."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from oaiproxy.api.hosts import LOOPBACK_NAMES

#: A listening address: host and port.
Address = tuple[str, int]

_Ip = IPv4Address | IPv6Address

_LOOPBACK: tuple[_Ip, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def is_local(ip: _Ip) -> bool:
    """Whether an address is one of this machine's: only those can be bound."""
    if ip.is_loopback:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


def own_address(url: str, listening: Iterable[Address], local: Callable[[_Ip], bool] = is_local) -> Address | None:
    """The listening address that an upstream's URL leads to.

    Names other than those of the loopback addresses are not looked up.

    @param url: the upstream's base URL.
    @param listening: where the proxy listens.
    @param local: says whether an address is this machine's.
    @return: one of `listening`, or None where the URL leads elsewhere, as far as can be told.
    """
    where = urlsplit(url)
    port = where.port or (443 if where.scheme == "https" else 80)
    targets = _addresses(where.hostname or "")
    return next(
        (own for own in listening if own[1] == port and any(_reaches(ip, own[0], local) for ip in targets)), None
    )


def _reaches(target: _Ip, host: str, local: Callable[[_Ip], bool]) -> bool:
    found = _addresses(host, unspecified=False)
    if not found:
        return False
    (own,) = found
    if not own.is_unspecified:
        return own == target
    # a socket on :: takes IPv4 as well
    return own.version in (6, target.version) and local(target)


def _addresses(host: str, *, unspecified: bool = True) -> tuple[_Ip, ...]:
    """The addresses that a host stands for, as far as that is known without asking anybody.

    @param unspecified: 0.0.0.0 and ``::`` stand for the loopback addresses, as they do to who connects to them.
    """
    # without the zone of a link-local address (RFC 6874)
    host = host.partition("%")[0].rstrip(".").lower()
    if host in LOOPBACK_NAMES or host.endswith(".localhost"):
        return _LOOPBACK
    try:
        # it knows all the ways to write one, such as 127.1
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4][0]
    except (OSError, UnicodeError):
        return ()
    ip = ip_address(str(found))
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if unspecified and ip.is_unspecified:
        return tuple(loopback for loopback in _LOOPBACK if loopback.version == ip.version)
    return (ip,)
