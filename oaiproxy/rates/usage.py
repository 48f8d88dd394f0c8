"""How many tokens an answer says that it has cost, found at its end.

Nothing is decoded while an answer passes.  Of a stream its last few kilobytes are kept, and of an object all of it up
to a bound, then its last few kilobytes too; at the end they are read with a real parser.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import msgspec

from oaiproxy.api.rawjson import read_object
from oaiproxy.api.sseblocks import block_data

#: What is kept of a stream, in bytes.  The last event of a Responses stream repeats the whole answer, but the usage
#: stands near its end.
STREAM_TAIL = 1 << 14

#: What is kept of an object, in bytes: some servers write the usage before the text.
OBJECT_WHOLE = 1 << 20

#: In what is kept of a long object, or of a long event, no more than this many places are tried.
_MOST_PLACES = 8

#: The name of the field.  In a string its quotation marks would be escaped.
_USAGE = re.compile(rb'(?<!\\)"usage"\s*:')


class _Outer(msgspec.Struct, gc=False):
    usage: Any = None


class _Answer(msgspec.Struct, gc=False):
    """An answer, a chunk of one, or an event: the parser skips all else.

    @ivar usage: of chat completions and chunks, embeddings, images and all others but:
    @ivar response: the events of the Responses API.
    @ivar x_groq: Groq's chunks where the client did not ask for usage.
    """

    usage: Any = None
    response: _Outer | None = None
    x_groq: _Outer | None = None


_decoder = msgspec.json.Decoder(_Answer)

#: For an answer that has something else under those names.
_outer = msgspec.json.Decoder(_Outer)


class UsageTail:
    """Keeps the end of an answer's body."""

    __slots__ = ("_cut", "_limit", "_pieces", "_size", "_stream")

    def __init__(self, stream: bool) -> None:
        """@param stream: whether it is a stream of events, not one JSON object."""
        self._stream = stream
        self._limit = STREAM_TAIL if stream else OBJECT_WHOLE
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        pieces = self._pieces
        pieces.append(data)
        self._size += len(data)
        if self._size > self._limit:
            # what is longer than this at once is not kept for longer
            self._limit = STREAM_TAIL
            while self._size - len(pieces[0]) >= STREAM_TAIL:
                self._size -= len(pieces.popleft())
                self._cut = True

    def tokens(self) -> int | None:
        """What the answer cost, as far as it has come; None where it does not say."""
        body = b"".join(self._pieces)
        if not self._stream:
            return _in_part(body[-STREAM_TAIL:]) if self._cut else _in_json(body)
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = len(body)
        while end > 0:
            begin = body.rfind(b"\n\n", 0, end)
            block = body[max(0, begin) : end].strip(b"\n")
            if b'"usage"' in block:
                found = _in_part(block) if begin < 0 and self._cut else _in_event(block)
                if found is not None:
                    return found
            end = begin
        return None


def _in_event(block: bytes) -> int | None:
    data = block_data(block)
    return None if data is None else _in_json(data)


def _in_json(data: bytes) -> int | None:
    answer = read_object(data, _decoder)
    if answer is None:
        outer = read_object(data, _outer)
        return None if outer is None else total(outer.usage)
    for place in (answer, answer.response, answer.x_groq):
        found = None if place is None else total(place.usage)
        if found is not None:
            return found
    return None


def _in_part(data: bytes) -> int | None:
    """The usage in the last part of a JSON object: what follows its name, up to the end of all, has to be the rest of
    the object itself, or of the one in its ``response``."""
    places = [match.start() for match in _USAGE.finditer(data)][-_MOST_PLACES:]
    for at in reversed(places):
        for beginning in (b"{", b'{"response":{'):
            found = _in_json(beginning + data[at:])
            if found is not None:
                return found
    return None


def total(usage: Any) -> int | None:
    """The tokens of a usage object, of whichever of the APIs; None where it names none."""
    if not isinstance(usage, dict):
        return None
    whole = _count(usage.get("total_tokens"))
    if whole is not None:
        return whole
    parts = [
        next((count for name in names if (count := _count(usage.get(name))) is not None), None)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    ]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _count(value: Any) -> int | None:
    """A number of tokens; no more than any answer can have, whatever an upstream says."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, 2**31)
