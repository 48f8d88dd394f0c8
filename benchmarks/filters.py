"""What is done to each event of a stream, in this process: no sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Protocol

from benchmarks.table import best, table
from oaiproxy.api.secrets import Masker
from oaiproxy.api.sse import SseDecoder
from oaiproxy.bridge import AnswerPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkchunks import ThinkChunks
from tests.bridge.wire import stream_of

_WORDS = 5000


class _Fed(Protocol):
    def feed(self, data: bytes) -> object: ...

    def end(self) -> object: ...


def _responses() -> list[bytes]:
    """The events of a Responses stream of many words, one network read each."""
    text = "word " * _WORDS
    item = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    usage = {"input_tokens": 1, "output_tokens": _WORDS, "total_tokens": _WORDS + 1}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.1", "status": "completed"}
    events = stream_of(
        {**head, "output": [item], "usage": usage}, lambda text: [text[i : i + 5] for i in range(0, len(text), 5)]
    )
    return [b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events]


def _chat(words: Iterable[str]) -> list[bytes]:
    """The chunks of a chat stream."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return [
        b"data: %b\n\n"
        % json.dumps(
            {**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]},
            separators=(",", ":"),
        ).encode()
        for word in words
    ] + [b"data: [DONE]\n\n"]


def _each(make: Callable[[], _Fed], pieces: list[bytes]) -> float:
    """Microseconds for a piece."""

    def work() -> None:
        fed = make()
        for piece in pieces:
            fed.feed(piece)
        fed.end()

    return 1e6 * best(work) / len(pieces)


def translators() -> str:
    """The bridge's work on an event, beside cutting the stream into events, which every reader has to do."""
    events = _responses()
    decoding = _each(SseDecoder, events)
    ways: tuple[tuple[str, Callable[[], _Fed]], ...] = (
        ("decode the events", SseDecoder),
        ("to a chat stream", lambda: ChatStream(AnswerPlan(stream=True))),
        ("to a chat stream, with stop sequences", lambda: ChatStream(AnswerPlan(stream=True, stop=("END", "\n\n\n")))),
        ("to one completion", lambda: CollectedStream(AnswerPlan())),
    )
    rows = [(name, _each(make, events)) for name, make in ways]
    return table(
        "Translators: one text delta each read",
        ("", "an event", "of decoding"),
        [(name, f"{found:.2f} µs", f"{found / decoding:.1f}") for name, found in rows],
    )


class _Nothing:
    """Hands on what it gets."""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


def filters() -> str:
    """The filters that may stand in a stream's way."""
    plain = _chat(["word "] * _WORDS)
    thinking = _chat(["<think>", *["word "] * (_WORDS // 2), "</think>", *["word "] * (_WORDS // 2)])
    move, remove = ThinkRules(ThinkMode.MOVE), ThinkRules(ThinkMode.REMOVE)
    ways: tuple[tuple[str, Callable[[], _Fed], list[bytes]], ...] = (
        ("none", _Nothing, plain),
        ("think, no thoughts in the stream", lambda: ThinkChunks(remove), plain),
        ("think remove, half of it thoughts", lambda: ThinkChunks(remove), thinking),
        ("think move, half of it thoughts", lambda: ThinkChunks(move), thinking),
        ("masking for the log, no secret known", Masker, plain),
        ("masking for the log, two secrets known", lambda: Masker([b"sk-abcdefgh1234", b"session-cookie-1"]), plain),
    )
    return table(
        "Filters: one chunk of text each read",
        ("", "a chunk"),
        [(name, f"{_each(make, pieces):.2f} µs") for name, make, pieces in ways],
    )
