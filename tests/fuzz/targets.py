"""What is fuzzed: each target takes a string of bytes, does something with what it makes of it, and raises where
something is so that must never be.

A target raises AssertionError where a promise is broken; any other exception that comes out of it is a fault as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.fuzz.answers import (
    chat_object,
    chat_stream,
    collected_stream,
    completions_answer,
    failed_answer,
    joined_choices,
)
from tests.fuzz.continuity import kept_turns
from tests.fuzz.draw import Draw
from tests.fuzz.grammars import alias, llm_params, masked_heads, masking, request_target
from tests.fuzz.reading import answer_reader, request_body, request_head
from tests.fuzz.requests import chat_request, completion_request
from tests.fuzz.streams import sse_blocks, sse_decoder, stop_filter, think_chunks, think_filter, think_object
from tests.fuzz.surface import http_bridge, http_passthrough

Target = Callable[[Draw], None]

#: Name and target.
TARGETS: dict[str, Target] = {
    target.__name__.replace("_", "-"): target
    for target in (
        alias,
        answer_reader,
        chat_object,
        chat_request,
        chat_stream,
        collected_stream,
        completion_request,
        completions_answer,
        failed_answer,
        http_bridge,
        http_passthrough,
        joined_choices,
        kept_turns,
        llm_params,
        masked_heads,
        masking,
        request_body,
        request_head,
        request_target,
        sse_blocks,
        sse_decoder,
        stop_filter,
        think_chunks,
        think_filter,
        think_object,
    )
}


def run(name: str, data: bytes) -> None:
    """Give a target one string of bytes.

    @raise Exception: it found a fault.
    """
    TARGETS[name](Draw(data))


def chosen(names: Iterable[str]) -> list[str]:
    """The names of targets; all where none is given.

    @raise ValueError: there is none of that name.
    """
    found = list(names) or sorted(TARGETS)
    for name in found:
        if name not in TARGETS:
            raise ValueError(f"there is no target {name!r}, only {', '.join(sorted(TARGETS))}")
    return found
