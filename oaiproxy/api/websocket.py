"""The handshake of a WebSocket (RFC 6455 section 4), as far as those have to know it between whom it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from oaiproxy.api.headers import Header
from oaiproxy.api.heads import RequestHead, options

#: What each side of a connection says to the other, the request and the answer, in the fields that are not passed on.
UPGRADE: Sequence[Header] = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))

#: Pages in a browser can set no header field but this, so that the Realtime API takes keys and accounts in it.
PROTOCOL = b"sec-websocket-protocol"
_KEY = b"openai-insecure-api-key."
_OF_THE_ACCOUNT = (_KEY, b"openai-organization.", b"openai-project.")


def opens_websocket(head: RequestHead) -> bool:
    """Whether a request is the handshake of a WebSocket, or was one.

    A server on its way may have taken its ``Upgrade``, which is for each connection anew, but not its key.
    """
    named = head.named
    return head.method == b"GET" and (b"sec-websocket-key" in named or b"websocket" in options(named.get(b"upgrade")))


def can_switch(head: RequestHead) -> bool:
    """Whether the connection that a handshake came on can go over to the WebSocket (RFC 9110 section 7.8)."""
    named = head.named
    return (
        head.version == b"HTTP/1.1"
        and head.length == 0
        and b"websocket" in options(named.get(b"upgrade"))
        and b"upgrade" in options(named.get(b"connection"))
    )


def offered_keys(value: bytes) -> list[bytes]:
    """The keys among the protocols that a handshake offers: the value of `PROTOCOL`."""
    return [entry[len(_KEY) :] for entry in _entries(value) if entry.lower().startswith(_KEY)]


def without_account(fields: Iterable[Header]) -> list[Header]:
    """The fields of a handshake, with no key among the protocols that it offers, and nothing that belongs to one."""
    kept: list[Header] = []
    for name, value in fields:
        if name.lower() == PROTOCOL:
            value = b", ".join([entry for entry in _entries(value) if not entry.lower().startswith(_OF_THE_ACCOUNT)])
            if not value:
                continue
        kept.append((name, value))
    return kept


def _entries(value: bytes) -> list[bytes]:
    return [entry.strip(b" \t") for entry in value.split(b",")]
