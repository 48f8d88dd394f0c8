"""Where the body of a request ends (RFC 9112 sections 6 and 7): bytes as they come in, the body's bytes out.

Stricter than HTTP has to be, for the reason that `oaiproxy.api.heads` gives.
"""

from __future__ import annotations

import re
from typing import Protocol

from oaiproxy.api.errors import ApiError, BadRequest

#: The longest line of a chunk's size or of a trailer field, in bytes.
_LINE_LIMIT = 1024
#: The most that all extensions, and all trailer fields, of a body may have.
_EXTRAS_LIMIT = 16384

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;([\t\x20-\x7e\x80-\xff]*))?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class BodyReader(Protocol):
    """Reads one body.

    @ivar done: whether the end has come.
    @ivar rest: what came after the end.
    """

    done: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """Take a piece of what comes, and return what of the body is in it.

        @raise BadRequest: it is no body; nobody knows what follows.
        """


def body_reader(length: int | None) -> BodyReader:
    """What reads a body.

    @param length: in bytes; None for one in the chunked coding.
    """
    return _Chunked() if length is None else _Sized(length)


class Unframed:
    """What comes behind a 101: no end of it is told but that of the connection."""

    done = False
    rest = b""

    def feed(self, data: bytes) -> bytes:
        return data


class _Sized:
    def __init__(self, length: int) -> None:
        self._left = length
        self.done = not length
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        if len(data) < self._left:
            self._left -= len(data)
            return data
        body, self.rest = data[: self._left], data[self._left :]
        self._left, self.done = 0, True
        return body


class _Chunked:
    """The chunked coding.  Trailer fields are checked and left out (RFC 9112 section 7.1.2 allows it)."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._left = 0  # of the chunk's data
        self._held = b""  # a line that has not ended
        self._extras = 0
        # what the next line is: the size of a chunk, the end of its data, or a trailer field
        self._take = self._size

    def feed(self, data: bytes) -> bytes:
        data = self._held + data if self._held else data
        self._held = b""
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            if self._left:
                piece = data[at : at + self._left]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\r\n", at, at + _LINE_LIMIT + 2)
            if end < 0:
                self._held = self._unended(data[at:])
                break
            line = data[at:end]
            at = end + 2
            self._take(line)
        else:
            self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _unended(self, line: bytes) -> bytes:
        """A line that may still end as it should."""
        if len(line) > _LINE_LIMIT:
            raise _malformed("a line of the chunked coding is too long")
        if b"\n" in line or b"\r" in line[:-1]:
            raise _malformed("a line of the chunked coding ends otherwise than in CR LF")
        if line and self._take == self._data_end and line != b"\r":
            raise _malformed("a chunk is longer than it says")
        return line

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise _malformed("the size of a chunk is no hexadecimal number")
        self._count(len(found[2] or b""))
        self._left = int(found[1], 16)
        self._take = self._data_end if self._left else self._trailer

    def _data_end(self, line: bytes) -> None:
        if line:
            raise _malformed("a chunk is longer than it says")
        self._take = self._size

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
        elif not _TRAILER.fullmatch(line):
            raise _malformed("a trailer line is no 'Name: value'")
        self._count(len(line))

    def _count(self, extras: int) -> None:
        self._extras += extras
        if self._extras > _EXTRAS_LIMIT:
            raise _malformed("it has too many extensions or trailer fields")


def _malformed(what: str) -> ApiError:
    return BadRequest(f"The body of the request is damaged: {what} (RFC 9112 section 7.1).", code="invalid_http_body")
