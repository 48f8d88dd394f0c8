"""Reading of ``multipart/form-data`` (RFC 7578) piece by piece, with little of it in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from email.message import Message

from oaiproxy.api.errors import BadRequest

#: How much of a part's content is kept, in bytes; of the rest only size and checksum are.
KEEP = 1024 * 1024

#: The longest head of a part, in bytes.
_MOST_HEAD = 16 * 1024


@dataclass(slots=True)
class Part:
    """One field of a form.

    @ivar name: the field's name.
    @ivar filename: the file's name, or None for a field that is no file.
    @ivar content_type: the file's media type as sent.
    @ivar size: the length of the content, in bytes.
    @ivar kept: its first `KEEP` bytes.
    """

    name: str
    filename: str | None
    content_type: str
    size: int = 0
    kept: bytearray = field(default_factory=bytearray)
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        """Take a piece of the content."""
        self.size += len(data)
        self._hash.update(data)
        if len(self.kept) < KEEP:
            self.kept += data[: KEEP - len(self.kept)]

    @property
    def sha256(self) -> str:
        """The checksum of the whole content, in hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def content(self) -> bytes | None:
        """The whole content, or None where it was too long to be kept."""
        return bytes(self.kept) if self.size == len(self.kept) else None

    @property
    def text(self) -> str:
        """What was kept, as text."""
        return self.kept.decode("utf-8", "replace")


class MultipartReader:
    """Reads a form from pieces of bytes.  Any split of the input gives the same parts.

    @ivar parts: the parts, in the order they came.
    """

    def __init__(self, boundary: bytes) -> None:
        self.parts: list[Part] = []
        # a delimiter begins a line; the line break before it belongs to it, so the very first one gets one lent
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")
        self._state = self._preamble

    @classmethod
    def of(cls, content_type: str) -> MultipartReader:
        """A reader for a body of this ``Content-Type``.

        @raise BadRequest: it is no form, or names no boundary.
        """
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
            raise BadRequest(
                "Could not parse multipart form: expected Content-Type: multipart/form-data; boundary=..., "
                f"but got {content_type!r}."
            )
        return cls(boundary.encode("latin-1", "replace"))

    def feed(self, data: bytes) -> None:
        """Take a piece of the body.

        @raise BadRequest: it is no form.
        """
        self._buffer += data
        while self._state():
            pass

    def close(self) -> list[Part]:
        """Take the end of the body.

        @return: the parts.
        @raise BadRequest: the body ended before its form did.
        """
        if self._state != self._epilogue:
            raise BadRequest("Could not parse multipart form: the body ends before the closing boundary.")
        return self.parts

    # The states: each looks at the buffer, takes what it can, and says whether the next has something to look at.

    def _preamble(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            del self._buffer[: -len(self._delimiter)]
            return False
        del self._buffer[: at + len(self._delimiter)]
        self._state = self._boundary
        return True

    def _boundary(self) -> bool:
        """After a delimiter: two dashes end the form, a line break (after blanks) begins a part."""
        if self._buffer.startswith(b"--"):
            self._state = self._epilogue
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise _malformed("a boundary line does not end")
            return False
        if self._buffer[:end].strip(b" \t"):
            raise _malformed("there is text after a boundary")
        del self._buffer[:end]
        self._state = self._head
        return True

    def _head(self) -> bool:
        """The head of a part, from the line break before it to the empty line after it."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise _malformed("the head of a part is too long")
            return False
        self.parts.append(_part(bytes(self._buffer[:end])))
        # the line break stays: the delimiter of a part without content begins with it
        del self._buffer[: end + 2]
        self._state = self._content_begins
        return True

    def _content_begins(self) -> bool:
        """The line break that ends a head: it begins the delimiter of an empty part, or stands before the content."""
        short = len(self._buffer) < len(self._delimiter)
        if short and self._delimiter.startswith(self._buffer):
            return False
        if not self._buffer.startswith(self._delimiter):
            del self._buffer[:2]
        self._state = self._content
        return True

    def _content(self) -> bool:
        at = self._buffer.find(self._delimiter)
        # what may be the beginning of a delimiter stays until more is known
        ready = at if at >= 0 else len(self._buffer) - len(self._delimiter) + 1
        if ready > 0:
            self.parts[-1].add(bytes(self._buffer[:ready]))
            del self._buffer[:ready]
        if at < 0:
            return False
        del self._buffer[: len(self._delimiter)]
        self._state = self._boundary
        return True

    def _epilogue(self) -> bool:
        self._buffer.clear()
        return False


def _malformed(reason: str) -> BadRequest:
    return BadRequest(f"Could not parse multipart form: {reason}.")


def _part(head: bytes) -> Part:
    """The part that a head (field lines, each after a line break) speaks of."""
    fields: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            fields[name.strip().lower().decode("latin-1")] = value.strip().decode("utf-8", "replace")
    disposition = Message()
    disposition["Content-Disposition"] = fields.get("content-disposition", "")
    field_name = disposition.get_param("name", header="Content-Disposition")
    if not isinstance(field_name, str):
        raise _malformed("a part has no name")
    filename = disposition.get_filename()
    default = "application/octet-stream" if filename else "text/plain"
    return Part(field_name, filename, fields.get("content-type", default))
