"""Reading a traffic log (``--log``) back: what came from the client, what went upstream, and what came from there."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from oaiproxy.api.errors import ApiError
from oaiproxy.cli.dryrun import ROUTES
from oaiproxy.cli.recorded import EVENTS, JSON, Recorded
from oaiproxy.observe.exchange import Direction
from oaiproxy.web.paths import below_v1
from oaiproxy.web.unpack import unpacker

#: So many exchanges are named where one has to be chosen.
SHOWN = 5


class LogError(ValueError):
    """The log cannot be used for that; the message is one line."""


class _Payload(msgspec.Struct):
    """What is in a record, by its direction (`oaiproxy.observe.exchange`)."""

    method: str = ""
    path: str = ""
    headers: list[tuple[str, str]] = []
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: int = 0
    text: str | None = None
    base64: str | None = None
    bytes: int = 0

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class _Record(msgspec.Struct):
    timestamp: str
    direction: str
    payload: msgspec.Raw
    port: str | None = None
    exchange: str | None = None


@dataclass(slots=True)
class LoggedExchange:
    """One exchange of the log.

    @ivar id: its id.
    @ivar port: the kind of port that it came in on.
    @ivar timestamp: when, as the log writes it.
    @ivar request: the client's request.
    @ivar status: the status that the client got, or 0 where it got none.
    @ivar upstream: the requests that went upstream, in order; several where one was sent again.
    @ivar parts: upstream's answers and their pieces; one for each of the requests that were sent at once.
    """

    id: str
    port: str
    timestamp: str
    request: _Payload
    status: int = 0
    upstream: list[_Payload] = field(default_factory=list)
    parts: dict[str, tuple[_Payload, list[_Payload]]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path below ``/v1``, or an empty text where it is none."""
        try:
            target = below_v1(self.request.path.encode("utf-8"))
        except ApiError:
            return ""
        return target.partition(b"?")[0].decode("latin-1").rstrip("/")

    @property
    def translated(self) -> bool:
        """Whether a bridge port translated it."""
        return self.port == "bridge" and self.request.method == "POST" and self.path in ROUTES

    @property
    def seconds(self) -> int:
        """When it began, as Unix time."""
        try:
            return int(datetime.fromisoformat(self.timestamp).timestamp())
        except ValueError:
            return 0

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The client's header fields, names in lower case."""
        return [(name.lower(), value) for name, value in self.request.headers]

    def body(self) -> bytes:
        """The client's body.

        @raise LogError: the log does not have it.
        """
        return _body(self.request, f"the request of exchange {self.id}")

    def sent(self) -> list[Any]:
        """The bodies that went upstream, decoded; those that the log does not have are left out."""
        bodies = [payload.body for payload in self.upstream if not isinstance(payload.body, msgspec.UnsetType)]
        return [msgspec.json.decode(body) for body in bodies]

    def answers(self) -> list[Recorded]:
        """Upstream's last answer to each of the requests that were sent at once.

        @raise LogError: the log does not have them.
        """
        if not self.parts:
            raise LogError(f"exchange {self.id} has no answer of an upstream in the log")
        # the parts of several requests are numbered: "id/0", "id/1"
        names = sorted(self.parts, key=lambda name: int(name.rpartition("/")[2]) if "/" in name else 0)
        return [self._answer(*self.parts[name]) for name in names]

    def _answer(self, head: _Payload, chunks: list[_Payload]) -> Recorded:
        what = f"the answer of exchange {self.id}"
        if not chunks and not isinstance(head.body, msgspec.UnsetType):
            body = _body(head, what)
        else:
            body = b"".join(_chunk(chunk, what) for chunk in chunks)
            try:
                unpack = unpacker(head.header("content-encoding").strip().lower().encode())
                body = unpack(body)
            except ApiError as e:
                raise LogError(f"{what} cannot be read: {e.message}") from None
        kind = head.header("content-type")
        return Recorded(body, kind or (JSON if body.lstrip()[:1] == b"{" else EVENTS), head.status)


def load_exchange(path: str, id: str | None) -> LoggedExchange:
    """Read one exchange of a log.

    The log is read twice, so that all the others need not be kept.

    @param path: the file.
    @param id: its id, or the number at the id's end, or None where the log has only one that was translated.
    @raise LogError: the file is no log, or it is not to be told which exchange is meant, or that was not translated.
    @raise OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        chosen = choose(read_log(file), id).id
    with open(path, "rb") as file:
        return read_log(file, chosen)[chosen]


def read_log(lines: Iterable[bytes], only: str | None = None) -> dict[str, LoggedExchange]:
    """The exchanges of a log, by their ids, in the order in which they began.

    @param lines: its lines; the last one may be cut off, as a crash leaves it.
    @param only: the exchange to read, with all bodies; of all exchanges without bodies where it is None.
    @raise LogError: it is no traffic log.
    """
    exchanges: dict[str, LoggedExchange] = {}
    broken = 0
    for number, line in enumerate(lines, 1):
        if broken:
            raise LogError(f"line {broken} is no record of a traffic log")
        if not line.strip():
            continue
        try:
            record = msgspec.json.decode(line, type=_Record)
            id = (record.exchange or "").partition("/")[0]
            if not id or (only is not None and id != only):
                continue
            payload = msgspec.json.decode(record.payload, type=_Payload)
        except (ValueError, RecursionError):
            broken = number
            continue
        if only is None:
            payload.body = msgspec.UNSET
            if record.direction.endswith("-chunk"):
                continue
        _enter(exchanges, id, record, payload)
    if not exchanges:
        raise LogError(f"line {broken} is no record of a traffic log" if broken else "it holds no exchange")
    return exchanges


def _enter(exchanges: dict[str, LoggedExchange], id: str, record: _Record, payload: _Payload) -> None:
    if record.direction == Direction.DOWNSTREAM_REQUEST:
        exchanges[id] = LoggedExchange(id, record.port or "", record.timestamp, payload)
        return
    exchange, part = exchanges.get(id), record.exchange or ""
    if exchange is None:
        return
    match record.direction:
        case Direction.UPSTREAM_REQUEST:
            exchange.upstream.append(payload)
        case Direction.UPSTREAM_RESPONSE:
            exchange.parts[part] = (payload, [])
        case Direction.UPSTREAM_RESPONSE_CHUNK:
            if part in exchange.parts:
                exchange.parts[part][1].append(payload)
        case Direction.DOWNSTREAM_RESPONSE:
            exchange.status = payload.status


def _body(payload: _Payload, what: str) -> bytes:
    """A body as it was: JSON stands in the log as itself, any other text as a string."""
    if isinstance(payload.body, msgspec.UnsetType):
        raise LogError(f"{what} is not in the log as a whole")
    raw = bytes(payload.body)
    value = msgspec.json.decode(raw)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and "bytes" in value and not value.keys() - {"bytes", "base64"}:
        if "base64" in value:
            return base64.b64decode(value["base64"])
        raise LogError(f"{what} was too large for the log ({value['bytes']} bytes)")
    return raw


def _chunk(payload: _Payload, what: str) -> bytes:
    if payload.text is not None:
        return payload.text.encode()
    if payload.base64 is not None:
        return base64.b64decode(payload.base64)
    raise LogError(f"{what} was too large for the log ({payload.bytes} bytes in one piece)")


def choose(exchanges: dict[str, LoggedExchange], id: str | None) -> LoggedExchange:
    """The exchange that is meant.

    @param id: its id, or the number at its end, or None where there is no choice.
    @raise LogError: it is not to be told, or a bridge port did not translate it.
    """
    if id is None:
        found = [exchange for exchange in exchanges.values() if exchange.translated]
        if not found:
            raise LogError("no bridge port translated any of its exchanges")
        if len(found) > 1:
            shown = ", ".join(map(_named, found[-SHOWN:]))
            raise LogError(f"it has {len(found)} exchanges; say which with --exchange; the last ones: {shown}")
        return found[0]
    found = [exchange for key, exchange in exchanges.items() if id in (key, key.rpartition("-")[2])]
    if len(found) > 1:
        # each port counts its own
        found = [exchange for exchange in found if exchange.translated] or found
    if len(found) != 1:
        raise LogError(f"it has {'several exchanges' if found else 'no exchange'} called {id!r}")
    if not found[0].translated:
        raise LogError(f"exchange {found[0].id} was not translated: {_named(found[0])}")
    return found[0]


def _named(exchange: LoggedExchange) -> str:
    return f"{exchange.id} ({exchange.timestamp} {exchange.request.method} {exchange.path}, status {exchange.status})"
