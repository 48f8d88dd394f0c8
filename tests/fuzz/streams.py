"""Fuzzed: streams of events and the filters of text, in any cut."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.sse import SseDecoder
from oaiproxy.api.sseblocks import SseBlocks, block_data
from oaiproxy.rules.stop import StopFilter
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkchunks import ThinkChunks
from oaiproxy.rules.thinkfilter import Part, ThinkFilter
from oaiproxy.rules.thinkobject import without_thoughts
from tests.fuzz.draw import Draw

_SSE_WORDS = (
    b"data: ",
    b"data:",
    b"data",
    b"event: ",
    b"event:",
    b"id: 7",
    b"retry: 1",
    b": ping",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\r\r",
    b"{}",
    b"x",
    b" ",
    b":",
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xff",
    "é\u2028".encode(),
    b"[DONE]",
    b"y" * 300,
)

_TAGS = (("<think>", "</think>"), ("<t>", "<t>"), ("aab", "aba"), ("\n\n", "é🦊"), ("<", ">"))

_RULES = tuple(
    ThinkRules(mode, start, end, opened)
    for mode in (ThinkMode.REMOVE, ThinkMode.MOVE)
    for start, end in _TAGS
    for opened in (False, True)
)

_STOPS = (("END",), ("aab", "ab"), ("\n\n", "é🦊", "."), ("aaaa", "aaab", "b"), ("",))


def sse_decoder(draw: Draw) -> None:
    """A stream of events: those that the standard says, whatever the cut; an event over the limit is refused."""
    raw = draw.joined(_SSE_WORDS, b"", 40)
    expected = _by_the_standard(raw)
    for pieces in ([raw], draw.pieces(raw)):
        decoder = SseDecoder()
        events = [(event.event, event.data) for piece in pieces for event in decoder.feed(piece)]
        last = [(event.event, event.data) for event in decoder.end()]
        assert len(last) <= 1
        assert (events, last) == expected, (pieces, events, last, expected)
    limit = draw.below(40) + 1
    small = SseDecoder(limit)
    try:
        for piece in draw.pieces(raw):
            assert all(len(event.data) <= limit for event in small.feed(piece))
    except UpstreamInvalid as error:
        assert error.code == "upstream_event_too_large"
        assert len(raw) > limit


def _by_the_standard(raw: bytes) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """The events of a stream, line by line (WHATWG HTML, section 9.2.6), and the one that its last lines make."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    events: list[tuple[str, bytes]] = []
    name, data = b"", list[bytes]()
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines):
        if not line and number < len(lines) - 1:
            if data:
                events.append((name.decode("utf-8", "replace"), b"\n".join(data)))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events, [(name.decode("utf-8", "replace"), b"\n".join(data))] if data else []


def sse_blocks(draw: Draw) -> None:
    """A stream that is handed on: its blocks are the stream, and hold the events that it has."""
    raw = draw.joined(_SSE_WORDS, b"", 40)
    blocks = SseBlocks()
    found = [block for piece in draw.pieces(raw) for block in blocks.feed(piece)]
    rest = blocks.end()
    assert b"".join([*found, rest]) == raw
    expected, last = _by_the_standard(raw)
    # a mark in the midst of a stream is text, but what stands before the first event is none
    if b"\xef" not in raw:
        data = [data for block in found if (data := block_data(block)) is not None]
        assert data == [value for _, value in expected], (found, expected)
        ended = block_data(rest)
        assert ([] if ended is None else [ended]) == [value for _, value in last], (rest, last)


def stop_filter(draw: Draw) -> None:
    """A text with stop sequences: it ends before the one that is complete first, whatever the cut."""
    stops = draw.choice(_STOPS)
    text = draw.joined(("a", "aa", "b", "END", "E", "\n", "\n\n", "é", "🦊", ".", "x"), "", 20)
    expected = text
    for end in range(1, len(text) + 1):
        found = [text[:end].removesuffix(stop) for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            expected = min(found, key=len)
            break
    filter = StopFilter(stops)
    shown = "".join([*(filter.feed(piece) for piece in draw.pieces(text)), filter.flush()])
    assert shown == expected, (stops, text, shown, expected)


def _thinking_text(draw: Draw, rules: ThinkRules, most: int = 20) -> str:
    words = (rules.start, rules.end, "<", "<think", "</think>", "a", "ab", " ", "\n", "é", "🦊", "\u3000", "Hi", ">")
    return draw.joined(words, "", most)


def _parts(pieces: list[tuple[Part, str]]) -> list[tuple[Part, str]]:
    """Pieces of one sort next to each other put together."""
    return [(part, "".join(text for _, text in group)) for part, group in groupby(pieces, lambda piece: piece[0])]


def think_filter(draw: Draw) -> None:
    """Thoughts in a text: each character comes once and in its place, and the cut does not matter."""
    rules = draw.choice(_RULES)
    text = _thinking_text(draw, rules)
    whole = ThinkFilter(rules)
    expected = _parts([*whole.feed(text), *whole.flush()])
    assert "".join(piece for _, piece in expected) == text
    filter = ThinkFilter(rules)
    found = [piece for part in draw.pieces(text) for piece in filter.feed(part)]
    assert filter.held < max(len(rules.start), len(rules.end))
    assert _parts([*found, *filter.flush()]) == expected, (text, found, expected)


_DELTA_NAMES = (
    "content",
    "role",
    "refusal",
    "tool_calls",
    "reasoning_content",
    "delta",
    "choices",
    "index",
    "logprobs",
)


def _chunk(content: str | None, index: int = 0, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def think_chunks(draw: Draw) -> None:
    """A chat stream without its thoughts: what is not said is not lost, and the cut of the bytes does not matter."""
    rules = draw.choice(_RULES)
    text = _thinking_text(draw, rules)
    chunks = [_chunk(piece) for piece in draw.pieces(text)] + [_chunk(None, finish="stop")]
    orderly = not draw.flag()
    if not orderly:
        chunks = [draw.changed(chunk, _DELTA_NAMES) if draw.rarely() else chunk for chunk in chunks]
    raw = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    if draw.rarely():
        orderly, raw = False, draw.spoilt(raw)
    outputs = []
    for pieces in ([raw], draw.pieces(raw)):
        filter = ThinkChunks(rules)
        outputs.append(b"".join([*(filter.feed(piece) for piece in pieces), filter.end()]))
    assert outputs[0] == outputs[1], (raw, outputs)
    if orderly:
        deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in outputs[0].split(b"\n\n")[:-2]]
        whole = ThinkFilter(rules)
        parts = [*whole.feed(text), *whole.flush()]
        said = "".join(delta.get("content") or "" for delta in deltas)
        assert said == "".join(piece for part, piece in parts if part is Part.ANSWER), (text, outputs[0])
        assert outputs[0].endswith(b"data: [DONE]\n\n")


def think_object(draw: Draw) -> None:
    """A whole completion without its thoughts; what is none is left as it is."""
    rules = draw.choice(_RULES)
    text = _thinking_text(draw, rules)
    message = {"role": "assistant", "content": text, "reasoning_content": draw.choice((None, "", "own"))}
    completion: Any = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    orderly = not draw.flag()
    if not orderly:
        for _ in draw.some(3):
            completion = draw.changed(completion, (*_DELTA_NAMES, "message"))
    raw = json.dumps(completion).encode()
    if draw.rarely():
        orderly, raw = False, draw.spoilt(raw)
    out = without_thoughts(raw, rules)
    if orderly:
        whole = ThinkFilter(rules)
        parts = [*whole.feed(text), *whole.flush()]
        answer = json.loads(out)["choices"][0]["message"]["content"]
        assert answer == "".join(piece for part, piece in parts if part is Part.ANSWER), (text, answer)
