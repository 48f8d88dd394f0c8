"""Server-sent events: bytes to events and back (WHATWG HTML, section 9.2 "Server-sent events").

The decoder takes the bytes as the network cuts them: inside a UTF-8 sequence, between CR and LF, anywhere.  It works on
bytes alone; whoever reads `SseEvent.data` decodes it.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from oaiproxy.api.errors import UpstreamInvalid

#: The most bytes that one event may have.  A terminal event repeats the whole output, and generated images are several
#: megabytes of base64 on one line; this is room for all of that, and a bound for an upstream that never ends a line.
EVENT_LIMIT = 128 * 1024 * 1024

#: What ends a Chat Completions stream.
DONE = b"data: [DONE]\n\n"

#: So long, in bytes, is a line with an event's name at most that is worth being remembered.
_NAME_LIMIT = 100

_BOM = b"\xef\xbb\xbf"

#: Characters that JSON may hold as they are, and that line readers in the manner of `str.splitlines` (httpx's
#: ``iter_lines`` is one) take for the end of a line.  JSON writes the other ones of that sort as escapes anyway.
_LINE_ENDS = (("\x85".encode(), b"\\u0085"), ("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event.

    @ivar event: the value of its last ``event:`` line, or ``""`` where it has none.
    @ivar data: the values of its ``data:`` lines, joined with LF.
    """

    event: str
    data: bytes


class SseDecoder:
    """Cuts a stream of bytes into events.

    Lines end with LF, CR or CRLF.  A leading byte order mark, comments, and the fields ``id`` and ``retry`` are passed
    over.  A block without a ``data:`` line is no event.  There is no limit to a line, only to an event.
    """

    __slots__ = ("_after_cr", "_buffer", "_head", "_limit")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        """@param limit: the most bytes that one event may have."""
        self._limit = limit
        self._buffer = bytearray()  # the block that is not complete yet; its line ends are LF by now
        self._after_cr = False  # the last byte was a CR, so an LF that comes next belongs to it
        self._head: bytes | None = b""  # the first bytes, while they may still be a byte order mark

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes and return the events that they complete.

        @raise UpstreamInvalid: an event is larger than the limit.
        """
        if self._head is not None:
            data = self._skip_bom(data)
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not data:
            return []
        buffer = self._buffer
        if buffer:
            # only what is new is searched, so that a long line in many pieces takes linear time
            seam = len(buffer) - 1
            buffer += data
            if buffer.find(b"\n\n", seam) < 0:
                self._check(len(buffer))
                return []
            data = bytes(buffer)
            buffer.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop().lstrip(b"\n")
        if rest:
            buffer += rest
            self._check(len(rest))
        events = []
        for block in blocks:
            if block:
                event = self._event(block)
                if event is not None:
                    events.append(event)
        return events

    def end(self) -> list[SseEvent]:
        """Take the end of the stream and return what stands after the last blank line, if it is an event.

        The standard drops such a block; servers that leave out the last blank line are real, so it is handed on.  It
        may be cut off anywhere: whoever takes it has to see from `SseEvent.data` whether it is whole.
        """
        block = bytes(self._head or b"") + bytes(self._buffer)
        self._head = None
        self._buffer.clear()
        event = self._event(block.rstrip(b"\n")) if block else None
        return [event] if event is not None else []

    def _skip_bom(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head[len(_BOM) :] if head.startswith(_BOM) else head

    def _check(self, size: int) -> None:
        if size > self._limit:
            self._buffer.clear()
            raise UpstreamInvalid(
                f"The upstream sent an event of more than {self._limit} bytes, which is not passed on.",
                code="upstream_event_too_large",
            )

    def _event(self, block: bytes) -> SseEvent | None:
        if len(block) > self._limit:
            self._check(len(block))
        # what nearly all servers send: one line for the name, or none, and one for the data
        line = 0
        if block.startswith(b"event: "):
            line = block.find(b"\n", 0, _NAME_LIMIT) + 1
        if block.startswith(b"data: ", line) and block.find(b"\n", line) < 0:
            return SseEvent(_name(block[7 : line - 1]) if line else "", block[line + 6 :])
        return _parse(block)


@lru_cache(maxsize=256)
def _name(event: bytes) -> str:
    return event.decode("utf-8", "replace")


def _parse(block: bytes) -> SseEvent | None:
    """The event that a block of lines makes ("interpreting an event stream"), or None."""
    event = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            event = value
    return SseEvent(event.decode("utf-8", "replace"), b"\n".join(data)) if data else None


@lru_cache(maxsize=32)
def says_stream(content_type: str, otherwise: bool) -> bool:
    """Whether a body is a stream of events.

    @param content_type: what it says it is.
    @param otherwise: what it is where that is neither events nor JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return True
    return otherwise and not (kind == "application/json" or kind.endswith("+json"))


def safe_line(json: bytes) -> bytes:
    """JSON on one line, with what some readers take for a line end written as an escape; the value is the same."""
    if not json.isascii():
        for character, escape in _LINE_ENDS:
            if character in json:
                json = json.replace(character, escape)
    return json


def encode_event(json: bytes) -> bytes:
    """The event that carries `json`: one ``data:`` line and nothing else, as the Chat Completions API sends it.

    @param json: JSON without line ends.
    """
    return b"data: " + safe_line(json) + b"\n\n"
