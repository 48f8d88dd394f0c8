"""Reading an upstream's answers (RFC 9112): bytes as they come in, heads and the bodies' bytes out.

httptools reads: it is llhttp, the parser of Node, in its strict form.  What is left to say here is what a relay asks
beyond that: where a body ends, and whether the connection can be used again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

#: The longest head that is taken, in bytes, with those of interim answers before it.
HEAD_LIMIT = 1 << 18

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

#: Fields of the connection to the upstream, which are nobody else's (RFC 9110 section 7.6.1).
_OF_THE_CONNECTION = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    )
)


class Unreadable(Exception):
    """What came is not HTTP; the text says why."""


class AnswerHead(NamedTuple):
    """The head of an answer.

    @ivar status: 200 to 999.
    @ivar phrase: the reason phrase.
    @ivar fields: names and values in the order sent, without those of the connection; to HEAD the length is there.
    @ivar length: of the body in bytes, where the head says it, else None.
    @ivar until_close: nothing but the end of the connection ends the body (RFC 9112 section 6.3, item 8), or what comes
        in its place behind a 101.
    @ivar persistent: the connection may serve another request.
    """

    status: int
    phrase: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None
    until_close: bool
    persistent: bool


class AnswerReader:
    """Reads the answers on one connection, one after the other.

    @ivar head: the answer's head once it has come.
    @ivar done: whether all of the answer has come, as its head says.
    @ivar stray: whether something came that belongs to no answer.
    @ivar broken: why what came is not HTTP, once something did; nothing after it is read.
    """

    __slots__ = (
        "_bodiless",
        "_fields",
        "_parser",
        "_phrase",
        "_pieces",
        "_size",
        "_switched",
        "_switches",
        "broken",
        "done",
        "head",
        "on_body",
        "stray",
    )

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        #: called by the parser, as are the others of this sort
        self.on_body = self._pieces.append
        self._parser: HttpResponseParser | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self.expect()

    def expect(self, *, bodiless: bool = False, switches: bool = False) -> None:
        """Another answer is to come.

        @param bodiless: whatever its head says it has no body: it answers HEAD.
        @param switches: it may be a 101, behind which a WebSocket is spoken: that is what was asked for.
        """
        self.head: AnswerHead | None = None
        self.done = False
        self.stray = False
        self.broken = ""
        self._bodiless = bodiless
        self._switches = switches
        self._switched = False
        self._fields = []
        self._phrase = b""
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Take what has come.

        @return: what of the body is in it.
        """
        if self._switched:
            return data
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        if self.head is None:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as e:
            if self.head is not None:
                self._switched = True
                return data[e.args[0] :]
            self._fail("it changes the protocol")
        except HttpParserError as e:
            self._fail(str(e.__context__ or e) or "it is malformed")
        if self.head is None and self._size > HEAD_LIMIT:
            self._fail(f"its head is longer than {HEAD_LIMIT} bytes")
        pieces = self._pieces
        if not pieces:
            return b""
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._bodiless:
            self.stray = True
            return b""
        return piece

    def close(self) -> None:
        """Nothing more comes."""
        # it refers to this object, and this object to it
        self._parser = None

    def _fail(self, why: str) -> None:
        if self.done:
            # the answer is whole; what is wrong stands behind it
            self.stray = True
        else:
            self.broken = why

    # what the parser calls

    def on_message_begin(self) -> None:
        if self.done:
            raise Unreadable("something stands behind the answer")

    def on_status(self, phrase: bytes) -> None:
        self._phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        # those of a trailer are left out (RFC 9112 section 7.1.2)
        if self.head is None:
            self._fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if 100 <= status < 200:
            if status == 101:
                self.head = self._read_switch(parser)
                return
            # an interim answer, which is not for the client of a proxy that has asked for none
            self._fields, self._phrase = [], b""
            return
        if status < 200:
            raise Unreadable(f"its status is {status}")
        self.head = self._read_head(status, parser.get_http_version())
        self.done = self._bodiless
        if self.done:
            # the next answer begins where this one's body would
            self._parser = None

    def on_message_complete(self) -> None:
        if self.head is not None and self.head.status != 101:
            self.done = True

    def _read_switch(self, parser: HttpResponseParser) -> AnswerHead:
        named = b",".join([value for name, value in self._fields if name.lower() == b"upgrade"])
        if not (self._switches and parser.should_upgrade() and named.lower() == b"websocket"):
            raise Unreadable("it changes the protocol")
        # nothing in it tells of a body
        fields = [field for field in self._fields if field[0].lower() not in (b"content-length", b"transfer-encoding")]
        self._fields = fields
        return self._read_head(101, parser.get_http_version())

    def _read_head(self, status: int, version: str) -> AnswerHead:
        if version not in ("1.1", "1.0"):
            raise Unreadable(f"its version is HTTP/{version}")
        said: dict[bytes, bytes] = {}
        kept = []
        for field in self._fields:
            name = field[0].lower()
            if name in _OF_THE_CONNECTION:
                # the parser takes no second length, and of the others several are a list
                said[name] = said[name] + b"," + field[1] if name in said else field[1]
                if name != b"content-length" or not self._bodiless:
                    continue
            kept.append(field)
        options: set[bytes] = set()
        if b"connection" in said:
            options = {option.strip(b" \t") for option in said[b"connection"].lower().split(b",")}
            kept = [field for field in kept if field[0].lower() not in options]
        coding = said.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise Unreadable("its transfer coding is not 'chunked'")
        length: int | None = None
        until_close = False
        if self._bodiless or status in (204, 304):
            length = 0
        elif coding is None:
            if b"content-length" in said:
                length = int(said[b"content-length"])
            else:
                until_close = True
        return AnswerHead(
            status,
            # a line end in it would let the upstream write a second answer
            _CONTROL.sub(b" ", self._phrase),
            kept,
            length,
            until_close,
            not until_close and (b"close" not in options if version == "1.1" else b"keep-alive" in options),
        )
