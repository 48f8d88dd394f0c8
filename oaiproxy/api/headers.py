"""Which header fields cross the proxy, in which direction, and what becomes of them on the way.

Header fields are lists of ``(name, value)`` pairs of bytes; order and duplicates are kept, names are compared without
regard to case.  Nothing that leaves here holds a CR, LF, or NUL: in a value each becomes a space (RFC 9110 section
5.5), a field whose name is no token is left out (section 5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Header = tuple[bytes, bytes]

#: Fields that belong to one connection (RFC 9110 section 7.6.1), and those for the next proxy only (sections 11.7, 7.8;
#: ``HTTP2-Settings`` goes with an ``Upgrade: h2c``, RFC 7540 section 3.2.1).
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

#: Fields that a ``Connection`` field cannot take out: they are meant for the far end, so naming them there is an error
#: of the sender (RFC 9110 section 7.6.1) or an attempt to part a message from its key, its framing, or its meaning.
END_TO_END = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"api-key",
        b"authorization",
        b"cache-control",
        b"cdn-loop",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"etag",
        b"host",
        b"idempotency-key",
        b"location",
        b"openai-beta",
        b"openai-organization",
        b"openai-project",
        b"range",
        b"retry-after",
        b"retry-after-ms",
        b"set-cookie",
        b"user-agent",
        b"vary",
        b"www-authenticate",
        b"x-api-key",
        b"x-client-request-id",
        b"x-request-id",
    )
)

#: Where a client's key may come in beside ``Authorization``, the one that wins first (Xcode sends ``x-api-key``,
#: clients of Azure send ``api-key``).
KEY_FIELDS = (b"x-api-key", b"api-key")
_KEY_FIELDS = frozenset(KEY_FIELDS)

#: In a request: what the HTTP client sets by itself, what the proxy has answered already, and who sent the request.
_NOT_UPSTREAM = HOP_BY_HOP | {b"content-length", b"expect", b"forwarded", b"host", b"x-forwarded"}
_NOT_UPSTREAM_PREFIXES = (b"x-forwarded-", b"x-oaiproxy-")

#: In a request whose body is written anew, beside those: what described the old body, or asked for a part of an answer
#: that is translated as a whole.
_NOT_UPSTREAM_REWRITTEN = _NOT_UPSTREAM.union(
    (
        b"accept",
        b"accept-encoding",
        b"content-digest",
        b"content-encoding",
        b"content-md5",
        b"content-type",
        b"digest",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
        b"repr-digest",
        b"signature",
        b"signature-input",
    )
)

_NOT_DOWNSTREAM = HOP_BY_HOP | {b"content-length"}

#: In a request of JSON, beside those: what is said anew, or asks for a part of an answer that has to be seen whole.
_NOT_UPSTREAM_READABLE = _NOT_UPSTREAM | {b"accept-encoding", b"content-type", b"if-range", b"range"}

#: In an answer: what is about the bytes of its body, which others take the place of.
_OF_THE_BYTES = _NOT_DOWNSTREAM | {
    b"accept-ranges",
    b"content-digest",
    b"content-encoding",
    b"content-md5",
    b"content-range",
    b"digest",
    b"etag",
    b"repr-digest",
    b"signature",
    b"signature-input",
}

#: In an answer whose body was translated: what is about the exchange, not about the body, the edge, or the connection.
_KEPT = frozenset(
    (
        b"apim-request-id",
        b"deprecation",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
        b"sunset",
        b"www-authenticate",
    )
)
_KEPT_PREFIXES = (b"openai-", b"ratelimit", b"x-")
#: ... but not these, which tell a server in front of the proxy to do things, or describe the body after all.
_NOT_KEPT_PREFIXES = (
    b"x-accel-",
    b"x-amz-checksum-",
    b"x-content-",
    b"x-forwarded",
    b"x-frame-",
    b"x-lighttpd-",
    b"x-powered-by",
    b"x-sendfile",
)

#: The answer to a chat request that streams; ``X-Accel-Buffering`` keeps an nginx before the proxy from collecting it.
STREAM_HEADERS: tuple[Header, ...] = (
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"Cache-Control", b"no-cache"),
    (b"X-Accel-Buffering", b"no"),
)

#: The response field that says what was dropped or changed.
WARNING = b"x-oaiproxy-warning"

#: Half of the 8 KiB that many clients and servers take for all fields together.
WARNING_LIMIT = 4096

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_SAFE = bytes(0x20 if byte in b"\r\n\x00" else byte for byte in range(256))
_UNSAFE = re.compile(rb"[\r\n\x00]")
_VISIBLE = bytes(byte if 0x20 <= byte < 0x7F else 0x20 for byte in range(256))

#: So many names are remembered for each purpose; senders can make up any.
_REMEMBERED = 512


class _Names(dict[bytes, bytes]):
    """Which header fields cross: name, as it is written -> the same in lower case, or nothing where it does not.

    ``Connection`` is among those that do, for what it says of others.
    """

    def __init__(
        self,
        out: frozenset[bytes],
        out_prefixes: tuple[bytes, ...] = (),
        only: frozenset[bytes] = frozenset(),
        only_prefixes: tuple[bytes, ...] = (b"",),
    ) -> None:
        """
        @param out: names that do not cross, in lower case.
        @param out_prefixes: how names begin that do not.
        @param only: of the others, which do ...
        @param only_prefixes: ... and how those begin that do.
        """
        super().__init__()
        self._out = out
        self._out_prefixes = out_prefixes
        self._only = only
        self._only_prefixes = only_prefixes

    def __missing__(self, name: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        lower = name.lower()
        found = self[name] = lower if self._cross(lower) else b""
        return found

    def _cross(self, name: bytes) -> bool:
        if name == b"connection":
            return True
        if not name or name.translate(None, _TOKEN) or name in self._out or name.startswith(self._out_prefixes):
            return False
        return name in self._only or name.startswith(self._only_prefixes)


_UPSTREAM = _Names(_NOT_UPSTREAM, _NOT_UPSTREAM_PREFIXES)
_UPSTREAM_REWRITTEN = _Names(_NOT_UPSTREAM_REWRITTEN, _NOT_UPSTREAM_PREFIXES)
_UPSTREAM_READABLE = _Names(_NOT_UPSTREAM_READABLE, _NOT_UPSTREAM_PREFIXES)
_DOWNSTREAM = _Names(_NOT_DOWNSTREAM)
_DOWNSTREAM_CHANGED = _Names(_OF_THE_BYTES, (b"x-amz-checksum-",))
_DOWNSTREAM_TRANSLATED = _Names(_NOT_DOWNSTREAM, _NOT_KEPT_PREFIXES, _KEPT, _KEPT_PREFIXES)


def safe_value(value: bytes) -> bytes:
    """A field value without CR, LF, and NUL: each becomes a space, those at the ends go."""
    safe = value.translate(_SAFE)
    return value if safe == value else safe.strip(b" \t")


def for_upstream(pairs: Iterable[Header], *, host: bytes) -> list[Header]:
    """The fields of a client's request as they go upstream.

    Left out are hop-by-hop fields, ``Content-Length`` and ``Expect`` (the HTTP client frames the body), who the client
    is (``Forwarded``, ``X-Forwarded-*``), and the proxy's own ``x-oaiproxy-*``.  A key in one of `KEY_FIELDS` becomes
    ``Authorization: Bearer`` where the client sent no credentials there; the `KEY_FIELDS` are then not sent on.

    @param pairs: the client's fields.
    @param host: the upstream's ``Host``, with its port unless that is the scheme's own.
    @return: the fields, ``Host`` first (RFC 9110 section 7.2), all else in the order sent.
    """
    return _upstream(pairs, host, _UPSTREAM)


def _upstream(pairs: Iterable[Header], host: bytes, names: _Names) -> list[Header]:
    return [(b"Host", safe_value(host)), *_with_authorization(_crossing(pairs, names))]


def for_upstream_bridge(pairs: Iterable[Header], *, host: bytes, stream: bool) -> list[Header]:
    """Like `for_upstream`, for a request whose body the bridge wrote.

    @param stream: events are asked for, not one JSON object.
    @return: the fields, with ``Accept``, ``Accept-Encoding`` (the bridge reads the answer, so uncompressed) and
        ``Content-Type`` of the new request, and without those that described the old body.
    """
    kept = _upstream(pairs, host, _UPSTREAM_REWRITTEN)
    kept += (
        (b"Accept", b"text/event-stream" if stream else b"application/json"),
        (b"Accept-Encoding", b"identity"),
        (b"Content-Type", b"application/json"),
    )
    return kept


def for_client(pairs: Iterable[Header]) -> list[Header]:
    """The fields of an upstream's answer as they go to the client with its body as it is.

    @return: all but the hop-by-hop ones and ``Content-Length``, which is set from the length that is known.
    """
    return [(name, value) for _, name, value in _crossing(pairs, _DOWNSTREAM)]


def for_client_bridge(pairs: Iterable[Header]) -> list[Header]:
    """The fields of an upstream's answer as they go to the client with a body that was translated.

    @return: request ids, rate limits, retry advice, ``openai-*``, and ``x-*``; no field that describes the upstream's
        body (type, length, encoding, digests), its edge (``cf-*``, ``server``, ``set-cookie``) or its connection.
    """
    return [(name, value) for _, name, value in _crossing(pairs, _DOWNSTREAM_TRANSLATED)]


def for_upstream_readable(pairs: Iterable[Header], *, host: bytes) -> list[Header]:
    """Like `for_upstream`, for a request of JSON whose answer the proxy has to read: whole, and uncompressed."""
    return [
        *_upstream(pairs, host, _UPSTREAM_READABLE),
        (b"Accept-Encoding", b"identity"),
        (b"Content-Type", b"application/json"),
    ]


def for_client_changed(pairs: Iterable[Header]) -> list[Header]:
    """Like `for_client`, for a body in which the proxy changed something: no digests, signatures, and encodings."""
    return [(name, value) for _, name, value in _crossing(pairs, _DOWNSTREAM_CHANGED)]


def warning_header(warnings: Iterable[str]) -> bytes:
    """The value of `WARNING`.

    @param warnings: what was dropped or changed; a text that is there twice is said once.
    @return: the texts joined with ", ", in printable ASCII (other characters escaped as in a Python literal), no longer
        than `WARNING_LIMIT` bytes; what does not fit is counted at the end.  Empty where there is nothing to say.
    """
    texts = [visible for visible in map(_visible, dict.fromkeys(warnings)) if visible]
    value = b", ".join(texts)
    if len(value) <= WARNING_LIMIT:
        return value
    room = WARNING_LIMIT - len(b", and %d more" % len(texts))
    taken, length = 0, -2
    while length + 2 + len(texts[taken]) <= room:
        length += 2 + len(texts[taken])
        taken += 1
    if not taken:  # the first alone is too long: its beginning says more than a number
        taken, texts[0] = 1, texts[0][: room - 3] + b"..."
    left = len(texts) - taken
    return b", ".join(texts[:taken]) + (b", and %d more" % left if left else b"")


def _crossing(pairs: Iterable[Header], names: _Names) -> list[tuple[bytes, bytes, bytes]]:
    """The fields whose names cross, but for those that are named by a ``Connection`` field.

    @return: for each its name in lower case, its name, and its value made safe.
    """
    kept = [(lower, name, value) for name, value in pairs if (lower := names[name])]
    if b"connection" in [lower for lower, _, _ in kept]:
        kept = _without_listed(kept)
    if _UNSAFE.search(b"".join([value for _, _, value in kept])):
        kept = [(lower, name, safe_value(value)) for lower, name, value in kept]
    return kept


def _without_listed(fields: list[tuple[bytes, bytes, bytes]]) -> list[tuple[bytes, bytes, bytes]]:
    """The fields but for ``Connection``, and those that it names."""
    listed = {b"connection"}
    for lower, _, value in fields:
        if lower == b"connection":
            listed.update([option.strip(b" \t") for option in value.lower().split(b",")])
    listed -= END_TO_END
    return [field for field in fields if field[0] not in listed]


def _with_authorization(fields: list[tuple[bytes, bytes, bytes]]) -> list[Header]:
    """The fields with a key of `KEY_FIELDS` moved to ``Authorization``, if there is one and it holds no credentials."""
    if _KEY_FIELDS.isdisjoint([lower for lower, _, _ in fields]):
        return [(name, value) for _, name, value in fields]
    keys = {lower: value for lower, _, value in reversed(fields) if lower in KEY_FIELDS and _bare(value)}
    if not keys or any(lower == b"authorization" and _bare(value) for lower, _, value in fields):
        return [(name, value) for _, name, value in fields]
    key = next(keys[name] for name in KEY_FIELDS if name in keys)
    moved: list[Header] = []
    written = False
    for lower, name, value in fields:
        if lower != b"authorization" and lower not in KEY_FIELDS:
            moved.append((name, value))
        elif not written:
            moved.append((b"Authorization", b"Bearer " + _bare(key)))
            written = True
    return moved


def _bare(credentials: bytes) -> bytes:
    """A key without a ``Bearer`` before it; empty where there is no more than that."""
    credentials = credentials.strip(b" \t")
    scheme, _, rest = credentials.partition(b" ")
    return rest.strip(b" \t") if scheme.lower() == b"bearer" else credentials


def _visible(text: str) -> bytes:
    """A text in printable ASCII on one line."""
    return b" ".join(text.encode("ascii", "backslashreplace").translate(_VISIBLE).split())
