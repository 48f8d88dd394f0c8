"""Whether time grows with the input as it should: the time of a byte for an input, and for one eight times as long.

Where each byte takes as long in both the ratio is 1; where time grows with the square it is 8.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from benchmarks.table import best, table
from oaiproxy.api.errors import ApiError
from oaiproxy.api.framing import body_reader
from oaiproxy.api.secrets import Masker, Secrets
from oaiproxy.api.sse import SseDecoder
from oaiproxy.api.sseblocks import SseBlocks
from oaiproxy.bridge import AnswerPlan
from oaiproxy.bridge.stream import ChatStream
from oaiproxy.models.alias import parse_alias
from oaiproxy.rules.llmparams import parse_llm_params
from oaiproxy.rules.stop import StopFilter
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkchunks import ThinkChunks
from oaiproxy.rules.thinkfilter import ThinkFilter
from tests.bridge.wire import added, arguments, created, sse, text

_READ = 4096


def _fed(make: Callable[[], Callable[[bytes], object]], raw: bytes, size: int = _READ) -> Callable[[], None]:
    def work() -> None:
        feed = make()
        for at in range(0, len(raw), size):
            feed(raw[at : at + size])

    return work


def _said(make: Callable[[], Callable[[str], object]], text: str, size: int) -> Callable[[], None]:
    def work() -> None:
        feed = make()
        for at in range(0, len(text), size):
            feed(text[at : at + size])

    return work


def _quietly(call: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        with suppress(ApiError, ValueError):
            call()

    return work


def _deltas(count: int) -> bytes:
    return sse(created(), *[text("word ")] * count)


def _arguments(count: int) -> bytes:
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
    return sse(created(), added(0, **item), *[arguments("word ")] * count)


def _items(count: int) -> bytes:
    calls = [added(n, type="function_call", call_id=f"c{n}", name="f", arguments="") for n in range(count)]
    return sse(created(), *calls)


def _chat_stream() -> Callable[[bytes], object]:
    return ChatStream(AnswerPlan(stream=True)).feed


_THINK = ThinkRules(ThinkMode.MOVE)

#: Name, size of the shorter input, and what makes the work for a size.
CASES: tuple[tuple[str, int, Callable[[int], Callable[[], object]]], ...] = (
    ("one long line", 400_000, lambda n: _fed(lambda: SseDecoder().feed, b"data: " + b"x" * n)),
    ("line ends only", 100_000, lambda n: _fed(lambda: SseDecoder().feed, b"\r\n\r" * (n // 3))),
    ("events, a byte at a time", 20_000, lambda n: _fed(lambda: SseDecoder().feed, b"data: x\n\n" * (n // 9), 1)),
    ("one long block, a byte at a time", 20_000, lambda n: _fed(lambda: SseBlocks().feed, b"data: x\n" * (n // 8), 1)),
    ("blocks that are handed on", 200_000, lambda n: _fed(lambda: SseBlocks().feed, b"data: x\r\n\r\n" * (n // 11))),
    ("text deltas", 500, lambda n: _fed(_chat_stream, _deltas(n))),
    ("deltas of arguments", 500, lambda n: _fed(_chat_stream, _arguments(n))),
    ("tool calls", 100, lambda n: _fed(_chat_stream, _items(n))),
    ("think tags", 5_000, lambda n: _said(lambda: ThinkFilter(_THINK).feed, "<think></think>" * (n // 15), 7)),
    (
        "think tags in one piece",
        5_000,
        lambda n: _said(lambda: ThinkFilter(_THINK).feed, "<think></think>" * (n // 15), n),
    ),
    ("half think tags", 5_000, lambda n: _said(lambda: ThinkFilter(_THINK).feed, "<think" * (n // 6), 7)),
    ("chunks with half tags", 300, lambda n: _fed(lambda: ThinkChunks(_THINK).feed, _half_tags(n))),
    ("half stop sequences", 5_000, lambda n: _said(lambda: StopFilter(["a" * 50 + "b"]).feed, "a" * n, 7)),
    ("half secrets, masked", 20_000, lambda n: _fed(lambda: Masker(Secrets([b"a" * 50 + b"b"])).feed, b"a" * n)),
    ("half keys, masked", 20_000, lambda n: _fed(lambda: Masker().feed, b"sk-a " * (n // 5))),
    ("one long key, masked", 20_000, lambda n: _fed(lambda: Masker().feed, b"Bearer " + b"a" * n)),
    ("quotes, masked", 20_000, lambda n: _fed(lambda: Masker().feed, b'"api_key" : ' * (n // 12))),
    ("a body in small chunks", 50_000, lambda n: _fed(lambda: body_reader(None).feed, b"1\r\nx\r\n" * (n // 6))),
    ("settings in an alias", 2_000, lambda n: _quietly(lambda: parse_alias("a" + ":res" * (n // 4)))),
    ("LLM_PARAMS, pairs", 5_000, lambda n: _quietly(lambda: parse_llm_params("model=a" + ",x=1" * (n // 4)))),
    ("LLM_PARAMS, JSON that is none", 5_000, lambda n: _quietly(lambda: parse_llm_params("model=a,x=" + "[" * n))),
    ("LLM_PARAMS, many half JSON", 5_000, lambda n: _quietly(lambda: parse_llm_params("model=a" + ",x=[1" * (n // 6)))),
    ("LLM_PARAMS, white space", 5_000, lambda n: _quietly(lambda: parse_llm_params("model=a,x=" + " " * n + "1"))),
)


def _half_tags(count: int) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": "a <thi"}}]}
    return b"data: %b\n\n" % json.dumps(chunk).encode() * count


def growth() -> str:
    """The time of a byte (or of an event) for an input, and for one of eight times its size."""
    rows = []
    for name, size, make in CASES:
        short, long = (best(make(n), 3) / n for n in (size, 8 * size))
        rows.append((name, f"{1e9 * short:,.0f} ns", f"{1e9 * long:,.0f} ns", f"{long / short:.1f}"))
    return table("Growth: inputs made to be slow", ("", "a byte or event", "of 8 times as many", "ratio"), rows)
