"""A finished response as the events of its stream, in the order that the API reference gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

_Event: TypeAlias = tuple[str, dict[str, Any]]

#: How many characters a delta has at most.
_PIECE = 5


def stream(response: Mapping[str, Any], added: Sequence[Any], completed: Sequence[Any], ending: str | None) -> bytes:
    """The bytes of a stream.

    @param response: the response in the end; its items are those of ``response.output_item.done``.
    @param added: the same items as ``response.output_item.added`` has them, but for what is filled in later.
    @param completed: the same items as the closing event has them.
    @param ending: the type of the closing event; None for a stream that is cut before it.
    """
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    told: list[_Event] = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    for index, (first, item) in enumerate(zip(added, response["output"], strict=True)):
        told += _item(index, first, item)
    if ending is not None:
        told.append((ending, {"response": {**response, "output": list(completed)}}))
    return encoded(told)


def failure(error: Mapping[str, Any], response: Mapping[str, Any]) -> bytes:
    """A stream in which the request is refused after all."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "error": None}
    failed = {**begun, "status": "failed", "error": {"code": error["code"], "message": error["message"]}}
    return encoded(
        [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
            ("error", {"error": dict(error)}),
            ("response.failed", {"response": failed}),
        ]
    )


def encoded(told: Sequence[_Event]) -> bytes:
    """Events as bytes, numbered."""
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (kind.encode(), json.dumps({"type": kind, "sequence_number": n, **fields}).encode())
        for n, (kind, fields) in enumerate(told)
    )


def _item(index: int, first: Mapping[str, Any], item: Mapping[str, Any]) -> Iterator[_Event]:
    where = {"output_index": index}
    empty = {**first, **_EMPTY[item["type"]]}
    yield "response.output_item.added", {**where, "item": empty}
    for kind, fields in _FILLING[item["type"]](item):
        yield kind, {"item_id": item["id"], **where, **fields}
    yield "response.output_item.done", {**where, "item": item}


#: Type of an item -> what of it is not there when it is added.
_EMPTY: Mapping[str, Mapping[str, Any]] = {
    "reasoning": {"summary": []},
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"status": "in_progress", "input": ""},
    "web_search_call": {"status": "in_progress", "action": None},
}


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _reasoning(item: Mapping[str, Any]) -> Iterator[_Event]:
    for index, part in enumerate(item["summary"]):
        where = {"summary_index": index}
        yield "response.reasoning_summary_part.added", {**where, "part": {**part, "text": ""}}
        for piece in _pieces(part["text"]):
            yield "response.reasoning_summary_text.delta", {**where, "delta": piece}
        yield "response.reasoning_summary_text.done", {**where, "text": part["text"]}
        yield "response.reasoning_summary_part.done", {**where, "part": part}
    for index, part in enumerate(item.get("content") or ()):
        where = {"content_index": index}
        yield "response.content_part.added", {**where, "part": {**part, "text": ""}}
        for piece in _pieces(part["text"]):
            yield "response.reasoning_text.delta", {**where, "delta": piece}
        yield "response.reasoning_text.done", {**where, "text": part["text"]}
        yield "response.content_part.done", {**where, "part": part}


def _message(item: Mapping[str, Any]) -> Iterator[_Event]:
    for index, part in enumerate(item["content"]):
        where = {"content_index": index}
        field, kind = ("refusal", "refusal") if part["type"] == "refusal" else ("text", "output_text")
        yield "response.content_part.added", {**where, "part": {**part, field: ""}}
        for piece in _pieces(part[field]):
            yield f"response.{kind}.delta", {**where, "delta": piece}
        yield f"response.{kind}.done", {**where, field: part[field]}
        yield "response.content_part.done", {**where, "part": part}


def _call(field: str, kind: str) -> Callable[[Mapping[str, Any]], Iterator[_Event]]:
    def told(item: Mapping[str, Any]) -> Iterator[_Event]:
        for piece in _pieces(item[field]):
            yield f"response.{kind}.delta", {"delta": piece}
        yield f"response.{kind}.done", {field: item[field]}

    return told


def _web_search_call(item: Mapping[str, Any]) -> Iterator[_Event]:
    for step in ("in_progress", "searching", "completed"):
        yield f"response.web_search_call.{step}", {}


#: Type of an item -> the events between its beginning and its end.
_FILLING: Mapping[str, Callable[[Mapping[str, Any]], Iterator[_Event]]] = {
    "reasoning": _reasoning,
    "message": _message,
    "function_call": _call("arguments", "function_call_arguments"),
    "custom_tool_call": _call("input", "custom_tool_call_input"),
    "web_search_call": _web_search_call,
}
