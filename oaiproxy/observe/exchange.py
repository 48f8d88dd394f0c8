"""What one exchange tells the observers: records of its requests, answers and chunks, with every secret masked.

A record is ``{"timestamp", "port", "exchange", "direction", "payload"}``.  The payload of a request has ``method``,
``path`` (the request target or URL), ``headers`` (pairs) and ``body``, that of a response ``status``, ``headers`` and
``body``; ``body`` is absent where it is not known as a whole.  The payload of a chunk is ``{"text": str}``, so that the
texts of a direction joined are the body, or ``{"base64": str, "bytes": int}`` where it is no UTF-8.

Masked are credentials in headers and URLs, and in bodies what `oaiproxy.api.secrets.Masker` finds; not what hides in a
compressed body or is spread over several events of a stream.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum

import msgspec
from twisted.logger import Logger

from oaiproxy.api.secrets import Masker, Secrets, credentials, mask_headers, mask_url, url_credentials
from oaiproxy.interfaces import IExchangeObserver

_log = Logger()

#: A larger body is only counted: one decoding must not hold the interpreter for long.
BODY_LIMIT = 8 * 2**20

#: A larger piece that is no text is only counted: nobody reads it.
BINARY_LIMIT = 64 * 2**10

#: A body is masked in pieces of this size, between which the reactor's thread gets its turn.
_PIECE = 64 * 2**10

Headers = Iterable[tuple[bytes, bytes]]
Payload = dict[str, object]


class Direction(str, Enum):
    """Which step of an exchange a record is about."""

    DOWNSTREAM_REQUEST = "downstream-request"
    UPSTREAM_REQUEST = "upstream-request"
    UPSTREAM_RESPONSE = "upstream-response"
    UPSTREAM_RESPONSE_CHUNK = "upstream-response-chunk"
    DOWNSTREAM_RESPONSE = "downstream-response"
    DOWNSTREAM_RESPONSE_CHUNK = "downstream-response-chunk"


class LoggedBody:
    """A body in a record: masked, and decoded only when somebody asks, which may be in another thread."""

    __slots__ = ("_raw", "_secrets")

    def __init__(self, raw: bytes, secrets: Secrets) -> None:
        self._raw = raw
        self._secrets = secrets

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return f"<LoggedBody {len(self._raw)} bytes>"

    def as_json(self) -> bytes:
        """The masked body as JSON on one line.

        @return: the JSON of the body where it is that (its numbers as they were written), else a string where it is
            text, else ``{"base64", "bytes"}``, or ``{"bytes"}`` alone beyond `BINARY_LIMIT` and `BODY_LIMIT`.
        """
        if len(self._raw) > BODY_LIMIT:
            return msgspec.json.encode({"bytes": len(self._raw)})
        masker = Masker(self._secrets)
        pieces = [masker.feed(self._raw[at : at + _PIECE]) for at in range(0, len(self._raw), _PIECE)]
        masked = b"".join((*pieces, masker.end()))
        try:
            text = masked.decode()
        except UnicodeDecodeError:
            return msgspec.json.encode(_binary(masked))
        try:
            # not decoded and encoded again: that would rewrite numbers and repeated names
            return msgspec.json.format(masked, indent=-1)
        except (msgspec.DecodeError, RecursionError):
            return msgspec.json.encode(text)


class ExchangeLog:
    """Tells observers of one exchange, in the order in which its methods are called.

    Its owner calls `close` at the end, however that came.  Where nobody observes there is none of these: see
    `exchange_log`.
    """

    __slots__ = ("_chunks", "_clock", "_exchange", "_observers", "_port", "_secrets")

    def __init__(
        self,
        observers: Sequence[IExchangeObserver],
        port: str,
        exchange_id: str,
        clock: Callable[[], float],
        secrets: Iterable[bytes] = (),
    ) -> None:
        """
        @param observers: who is told.
        @param port: the port's name in the records.
        @param exchange_id: the exchange's name in the records.
        @param clock: gives the seconds since the epoch.
        @param secrets: what must not be seen, beside the credentials in the headers of this exchange.
        """
        self._observers = observers
        self._port = port
        self._exchange = exchange_id
        self._clock = clock
        self._secrets = Secrets(secrets)
        self._chunks: dict[Direction, _ChunkText] = {}

    def downstream_request(self, method: str, path: bytes, headers: Headers, body: bytes | None = None) -> None:
        """The client's request has come.

        @param path: the request target, query included.
        @param body: the whole body, or None where it is not known (an upload that streams).
        """
        self._request(Direction.DOWNSTREAM_REQUEST, method, path, headers, body)

    def upstream_request(self, method: str, url: bytes, headers: Headers, body: bytes | None = None) -> None:
        """A request goes upstream; there may be several in one exchange."""
        self._request(Direction.UPSTREAM_REQUEST, method, url, headers, body)

    def upstream_response(self, status: int, headers: Headers, body: bytes | None = None) -> None:
        """The head of an upstream's answer has come; without a `body` its chunks follow."""
        self._flush(Direction.UPSTREAM_RESPONSE_CHUNK)
        self._response(Direction.UPSTREAM_RESPONSE, status, headers, body)

    def upstream_chunk(self, data: bytes) -> None:
        """A piece of the upstream's body has come."""
        self._chunk(Direction.UPSTREAM_RESPONSE_CHUNK, data)

    def downstream_response(self, status: int, headers: Headers, body: bytes | None = None) -> None:
        """The head of the client's answer was sent; without a `body` its chunks follow."""
        self._flush(Direction.DOWNSTREAM_RESPONSE_CHUNK)
        self._response(Direction.DOWNSTREAM_RESPONSE, status, headers, body)

    def downstream_chunk(self, data: bytes) -> None:
        """A piece of the client's body was sent."""
        self._chunk(Direction.DOWNSTREAM_RESPONSE_CHUNK, data)

    def close(self) -> None:
        """Nothing more comes: tell what was held back because a secret or a character might have gone on."""
        for direction in tuple(self._chunks):
            self._flush(direction)

    def _request(self, direction: Direction, method: str, path: bytes, headers: Headers, body: bytes | None) -> None:
        fields = self._learn(headers, path)
        payload: Payload = {
            "method": method,
            "path": mask_url(path, self._secrets),
            "headers": mask_headers(fields, self._secrets),
        }
        self._tell(direction, self._with_body(payload, body))

    def _response(self, direction: Direction, status: int, headers: Headers, body: bytes | None) -> None:
        fields = self._learn(headers)
        payload: Payload = {"status": status, "headers": mask_headers(fields, self._secrets)}
        self._tell(direction, self._with_body(payload, body))

    def _learn(self, headers: Headers, url: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Take the credentials in header fields and in a URL as secrets from here on, and return the fields."""
        fields = list(headers)
        self._secrets = self._secrets.plus((*credentials(fields), *url_credentials(url)))
        return fields

    def _with_body(self, payload: Payload, body: bytes | None) -> Payload:
        return payload if body is None else {**payload, "body": LoggedBody(body, self._secrets)}

    def _chunk(self, direction: Direction, data: bytes) -> None:
        chunks = self._chunks.get(direction)
        if chunks is None:
            chunks = self._chunks[direction] = _ChunkText(self._secrets)
        shown = chunks.feed(data)
        if shown:
            self._tell(direction, _shown(shown))

    def _flush(self, direction: Direction) -> None:
        chunks = self._chunks.pop(direction, None)
        rest = chunks.end() if chunks is not None else b""
        if rest:
            self._tell(direction, _shown(rest))

    def _tell(self, direction: Direction, payload: Payload) -> None:
        record: dict[str, object] = {
            "timestamp": timestamp(self._clock()),
            "port": self._port,
            "exchange": self._exchange,
            "direction": direction.value,
            "payload": payload,
        }
        for observer in self._observers:
            try:
                observer.observe(record)
            except Exception:
                _log.failure("An observer of exchanges failed; the exchange goes on.")


def exchange_log(
    observers: Sequence[IExchangeObserver],
    port: str,
    exchange_id: str,
    clock: Callable[[], float],
    secrets: Iterable[bytes] = (),
) -> ExchangeLog | None:
    """An `ExchangeLog`, or None where there are no observers, so that an exchange nobody watches pays nothing."""
    return ExchangeLog(observers, port, exchange_id, clock, secrets) if observers else None


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond: ``2026-11-21T07:30:00.250Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class _ChunkText:
    """The chunks of one direction, masked, and never cut within a UTF-8 character."""

    __slots__ = ("_held", "_masker")

    def __init__(self, secrets: Secrets) -> None:
        self._masker = Masker(secrets)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        shown = self._held + self._masker.feed(data)
        cut = _whole_characters(shown)
        self._held = shown[cut:]
        return shown[:cut]

    def end(self) -> bytes:
        return self._held + self._masker.end()


def _whole_characters(data: bytes) -> int:
    """Where the UTF-8 character begins (RFC 3629 section 3) that the end of `data` cuts off; its length if none."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # the first byte of several
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < needed else len(data)
        if byte < 0x80:
            break
    return len(data)


def _shown(data: bytes) -> Payload:
    """A chunk's payload."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return _binary(data)


def _binary(data: bytes) -> Payload:
    if len(data) > BINARY_LIMIT:
        return {"bytes": len(data)}
    return {"base64": base64.b64encode(data).decode(), "bytes": len(data)}
