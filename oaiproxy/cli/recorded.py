"""Recorded answers of an upstream: what people have in files, as it was on the wire."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from oaiproxy.api.sse import SseDecoder, encode_event

JSON = "application/json"
EVENTS = "text/event-stream"

_BOM = b"\xef\xbb\xbf"
_STATUS_LINE = re.compile(rb"HTTP/[\d.]+ (\d{3})[^\r\n]*\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[^\r\n]*\r?\n")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An upstream's answer.

    @ivar body: its body as it came.
    @ivar content_type: what it is: `JSON` or `EVENTS`, or what its own head says.
    @ivar status: its HTTP status.
    @ivar remark: what had to be done to the recording, or an empty text.
    """

    body: bytes
    content_type: str
    status: int = 200
    remark: str = ""


def read_recorded(raw: bytes, status: int | None = None) -> Recorded:
    """Read a recording: a JSON object, a stream of server-sent events however framed, the events' JSON as an array or
    one to a line, each with or without an HTTP head before it (``curl -i``).

    @param raw: the file.
    @param status: the HTTP status that it came with, or None for what its head says, or 200.
    """
    raw = raw.removeprefix(_BOM)
    found, content_type, body = _head(raw.lstrip())
    kind, body, remark = _kind(body)
    return Recorded(body, content_type or kind, status or found or 200, remark)


def events_of(answer: Recorded) -> list[dict[str, Any]]:
    """The JSON objects in an answer: the object itself, or those of its events."""
    if answer.content_type.startswith(EVENTS):
        decoder = SseDecoder()
        blocks = [event.data for event in (*decoder.feed(answer.body), *decoder.end())]
    else:
        blocks = [answer.body]
    return [value for value in map(_decoded, blocks) if isinstance(value, dict)]


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return None


def _head(raw: bytes) -> tuple[int | None, str, bytes]:
    """An HTTP head's status and content type, and the body behind it; ``100 Continue`` and the like are passed over."""
    status, content_type = None, ""
    while (line := _STATUS_LINE.match(raw)) is not None:
        status = int(line[1])
        end = _HEAD_END.search(raw, line.end() - 2)
        head, raw = (raw[line.end() :], b"") if end is None else (raw[line.end() : end.start()], raw[end.end() :])
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (text.partition(b":") for text in _LINE_END.split(head))
        }
        content_type = fields.get(b"content-type", b"").decode("latin-1")
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            raw = _unchunked(raw)
    return status, content_type, raw


def _unchunked(data: bytes) -> bytes:
    """A chunked body (RFC 9112 section 7.1) put together; most tools have done that already, then as it is."""
    pieces: list[bytes] = []
    at = 0
    while (line := _CHUNK_SIZE.match(data, at)) is not None:
        size = int(line[1], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(data[line.end() : line.end() + size])
        at = line.end() + size
        at += len(data[at : at + 2]) - len(data[at : at + 2].lstrip(b"\r\n"))
    return b"".join(pieces) if pieces and at >= len(data) else data


def _kind(body: bytes) -> tuple[str, bytes, str]:
    """What a body is, the body as it was on the wire, and a remark."""
    text = body.strip()
    if text[:1] in (b"{", b"["):
        value = _decoded(text)
        if isinstance(value, dict):
            return JSON, body, ""
        if isinstance(value, list):
            return _as_events(value, "read as an array of events") or (JSON, body, "")
        lines = [_decoded(line) for line in _LINE_END.split(text) if line.strip()]
        return _as_events(lines, "read as one event to a line") or (JSON, body, "")
    glued = _unglued(body)
    return (EVENTS, body, "") if glued is None else (EVENTS, glued, "blank lines between the events were put in")


def _as_events(values: Sequence[Any], remark: str) -> tuple[str, bytes, str] | None:
    """Events that somebody kept without their framing; None where one of them is no event."""
    blocks = []
    for value in values:
        if not isinstance(value, dict):
            return None
        inner = value.get("data")  # some recorders keep {"event": ..., "data": ...}
        if "type" not in value and isinstance(inner, (dict, str)):
            blocks.append(inner.encode() if isinstance(inner, str) else msgspec.json.encode(inner))
        elif "type" in value or "object" in value:
            blocks.append(msgspec.json.encode(value))
        else:
            return None
    return EVENTS, b"".join(map(encode_event, blocks)), remark


def _unglued(body: bytes) -> bytes | None:
    """A stream whose blank lines got lost, as when it is copied from a screen; None where it is none."""
    lines = _LINE_END.split(body)
    data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
    decoder = SseDecoder()
    blocks = [event.data for event in (*decoder.feed(body), *decoder.end())]
    if len(blocks) == len(data) or not all(one == b"[DONE]" or isinstance(_decoded(one), dict) for one in data):
        return None
    out: list[bytes] = []
    after_data = False
    for line in lines:
        if after_data and line.startswith((b"event:", b"data:", b":")):
            out.append(b"")
        out.append(line)
        after_data = line.startswith(b"data:")
    return b"\n".join([*out, b"", b""])
