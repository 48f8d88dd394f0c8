"""Hosts as they are written in URLs and in ``Host``, and which of them are this machine alone."""

from __future__ import annotations

from ipaddress import ip_address

#: Names of the loopback addresses, beside those below ``localhost`` (RFC 6761 section 6.3).
LOOPBACK_NAMES = frozenset(
    ("ip6-localhost", "ip6-loopback", "localhost", "localhost.localdomain", "localhost4", "localhost6")
)


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, or a name that nobody else can give to another.

    @param host: a name or an address without a port, an IPv6 address with or without its brackets.
    """
    host = host.rstrip(".").lower()
    if host in LOOPBACK_NAMES or host.endswith(".localhost"):
        return True
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_port(authority: str) -> str:
    """The host of a ``Host`` field (RFC 9110 section 7.2): ``[::1]:5101`` -> ``[::1]``."""
    host, colon, port = authority.strip().rpartition(":")
    return host if colon and (not port or port.isdigit()) else authority.strip()
