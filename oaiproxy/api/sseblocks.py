"""Server-sent events as the bytes they came in, for who changes some of them and hands on the others as they are.

`oaiproxy.api.sse.SseDecoder` reads events; here a stream is only cut where events end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.sse import EVENT_LIMIT, safe_line

#: A line end, and an empty line after it.  What is matched stays matched, or CRLF would be two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")

_LINE = re.compile(rb"\r\n|\r|\n")

_BOM = b"\xef\xbb\xbf"


class SseBlocks:
    """Cuts a stream of bytes after each empty line; put together, the blocks are the stream."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        """@param limit: the most bytes that one event may have."""
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the blocks that they complete.

        @raise UpstreamInvalid: one is larger than the limit.
        """
        buffer = self._buffer
        if buffer:
            # only what is new is searched, with as much before it as an empty line may have there
            seam = max(0, len(buffer) - 3)
            buffer += data
            if not _BLANK_LINE.search(buffer, seam):
                self._check(len(buffer))
                return []
            data = bytes(buffer)
            buffer.clear()
        blocks = []
        at = 0
        if b"\r" in data:
            for match in _BLANK_LINE.finditer(data):
                blocks.append(data[at : match.end()])
                at = match.end()
        else:
            while (end := data.find(b"\n\n", at)) >= 0:
                blocks.append(data[at : end + 2])
                at = end + 2
        if at < len(data):
            buffer += data[at:]
            self._check(len(buffer))
        return blocks

    def end(self) -> bytes:
        """Take the end of the stream and return what stands after the last empty line."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _check(self, size: int) -> None:
        if size > self._limit:
            self._buffer.clear()
            raise UpstreamInvalid(
                f"The upstream sent an event of more than {self._limit} bytes, which is not passed on.",
                code="upstream_event_too_large",
            )


def block_data(block: bytes) -> bytes | None:
    """The data of the event that a block is, or None where it is none."""
    if block.startswith(b"data: "):
        line = block[6:].rstrip(b"\r\n")
        if b"\n" not in line and b"\r" not in line:
            return line
    found = [_value(line) for line in _lines(block) if _is_data(line)]
    return b"\n".join(found) if found else None


def other_lines(block: bytes) -> list[bytes]:
    """The lines of a block that are not its data: its type, its id, comments."""
    return [line for line in _lines(block) if line and not _is_data(line)]


def event_block(json: bytes, lines: Iterable[bytes] = ()) -> bytes:
    """The block of an event.

    @param json: its data.
    @param lines: its other lines.
    """
    json = safe_line(json)
    if b"\n" in json:  # which stands between two values
        json = json.replace(b"\n", b"\ndata: ")
    return b"".join(line + b"\n" for line in lines) + b"data: " + json + b"\n\n"


def _lines(block: bytes) -> list[bytes]:
    return _LINE.split(block.removeprefix(_BOM))


def _is_data(line: bytes) -> bool:
    return line.startswith(b"data:") or line == b"data"


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")
