"""Fuzzed: how requests are read, and upstream's answers."""

from __future__ import annotations

import re

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.framing import body_reader
from oaiproxy.api.heads import FIELD_LIMIT, SECTION_LIMIT, head_end, read_head
from oaiproxy.relay.reading import AnswerReader
from tests.fuzz.draw import Draw

_HEAD_WORDS = (
    b"GET / HTTP/1.1\r\n",
    b"POST /v1/x HTTP/1.0\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET http://a:1/b HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Content-Length: 7\r\n",
    b"content-length:0007\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: \tCHUNKED \r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close, x\r\n",
    b"X: y\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b":",
    b" ",
    b"\t",
    b"\x00",
    b"\xff",
    b"X",
)

_CHUNK_WORDS = (
    b"0\r\n",
    b"0\r\n\r\n",
    b"1\r\nx\r\n",
    b"3\r\nabc\r\n",
    b"a;x=y\r\n0123456789\r\n",
    b"00000000002\r\nab\r\n",
    b"X: y\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"-1\r\n",
    b"0x1\r\n",
    b"ffffffffffffffff\r\n",
    b" ",
    b";",
    b"x",
)

_ANSWER_WORDS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 304\r\n",
    b"HTTP/1.1 103 Early\r\n",
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 101 Switch\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: Upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Content-Length: 3\r\n",
    b"content-length:0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close, x\r\n",
    b"Upgrade: h2c\r\n",
    b"X: y \r\n",
    b"\r\n",
    b"abc",
    *_CHUNK_WORDS,
)

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


def request_head(draw: Draw) -> None:
    """The head of a request: it is refused, or whatever server reads it reads the same."""
    raw = draw.joined(_HEAD_WORDS, b"", 12) if draw.flag() else b"GET / HTTP/1.1\r\nHost: a\r\n"
    raw += draw.joined(_HEAD_WORDS, b"", 12) + b"\r\n\r\n"
    try:
        end = head_end(raw)
    except BadRequest as error:
        assert 400 <= error.status <= 505
        end = -2
    # whatever the cut: it ends there, or it is refused at the latest then
    seen, came = 0, b""
    for piece in draw.pieces(raw):
        came += piece
        try:
            found = head_end(came, seen)
        except BadRequest:
            assert end == -2 or len(came) > end + 4 or b"\n" in raw[end:], (raw, came)
            return
        if found >= 0:
            assert end in (-2, found), (raw, came)
            end = found
            break
        seen = len(came)
    if end < 0:
        return
    try:
        head = read_head(raw[:end])
    except BadRequest as error:
        assert 400 <= error.status <= 505
        return
    assert head.target.startswith((b"/", b"*"))
    assert len(head.fields) <= FIELD_LIMIT
    assert sum(len(name) + len(value) for name, value in head.fields) <= SECTION_LIMIT
    for name, value in head.fields:
        assert _TOKEN.match(name), name
        assert not re.search(rb"[\r\n\x00]", value), value
    names = [name.lower() for name, _ in head.fields]
    assert names.count(b"host") <= 1
    # the length is what one field says and no other contradicts
    if b"transfer-encoding" in names:
        assert head.length is None
        assert b"content-length" not in names
    elif b"content-length" in names:
        assert head.length == int(dict(zip(names, (value for _, value in head.fields), strict=True))[b"content-length"])
    else:
        assert head.length == 0


def request_body(draw: Draw) -> None:
    """The body of a request: the same bytes, and the same end, whatever the cut; or it is refused."""
    length = None if draw.flag() else draw.below(30)
    raw = draw.joined(_CHUNK_WORDS, b"", 20)
    results = []
    for pieces in ([raw], draw.pieces(raw)):
        reader, out, refused, left = body_reader(length), b"", False, b""
        for number, piece in enumerate(pieces):
            try:
                out += reader.feed(piece)
            except BadRequest:
                refused = True
                break
            if reader.done:
                left = reader.rest + b"".join(pieces[number + 1 :])
                break
        results.append((refused, None if refused else (out, reader.done, left)))
    assert results[0] == results[1], (length, raw, results)
    if length is not None and results[0][1] is not None:
        out, done, left = results[0][1]
        assert out + left == raw
        assert done == (len(raw) >= length)


def answer_reader(draw: Draw) -> None:
    """An upstream's answer: the same head, bytes and end, whatever the cut; or it is broken."""
    bodiless, switches = draw.below(8) == 7, draw.flag()
    raw = b"HTTP/1.1 200 OK\r\n" if draw.flag() else b""
    raw += draw.joined(_ANSWER_WORDS, b"", 20)
    results = []
    for pieces in ([raw], draw.pieces(raw)):
        reader = AnswerReader()
        reader.expect(bodiless=bodiless, switches=switches)
        out = b"".join(map(reader.feed, pieces))
        head = reader.head
        if head is not None:
            assert 200 <= head.status <= 999 or (switches and head.status == 101)
            assert not re.search(rb"[\r\n\x00]", head.phrase)
            for name, value in head.fields:
                assert _TOKEN.match(name), name
                assert not re.search(rb"[\r\n\x00]", value), value
            assert not (reader.done and reader.broken)
            if reader.done and not head.until_close and head.length is not None:
                assert len(out) == head.length
        results.append((head, out, reader.done, bool(reader.broken), reader.stray and not bodiless))
    assert results[0] == results[1], (raw, results)
