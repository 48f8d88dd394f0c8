"""A finished Response as the events of a stream (API reference, "Streaming events").

What comes in is the Response as it is in the end; the events tell how it came to be: every item is opened, filled piece
by piece, closed, and comes a last time in the closing event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oaiproxy.demo import tokens
from oaiproxy.demo.directives import Directives, Trouble
from oaiproxy.demo.reply import Cut, Step, Wait, halfway

EventObject = dict[str, Any]
_Untold = tuple[str, EventObject]

#: What the demo says when it is asked to fail.
FAILURE = {
    "code": "server_error",
    "message": "oaiproxy's demo upstream was asked to fail here, with demo:fail-midstream.",
}


def events(response: Mapping[str, Any], directives: Directives) -> Iterator[EventObject | Step]:
    """The events that lead to `response`, and what `directives` put in their middle."""
    if directives.normal:
        yield from _numbered(_all(response))
        return
    middle: list[_Untold | Step] = []
    if directives.stall:
        middle.append(Wait(directives.stall))
    if directives.trouble is Trouble.CUT:
        middle.append(Cut())
    if directives.trouble is Trouble.FAIL:
        middle.append(("error", {**FAILURE, "param": None}))
        middle.append(("response.failed", {"response": {**_begun(response), "status": "failed", "error": FAILURE}}))
    told = halfway(lambda: _all(response), _is_delta, middle, resume=directives.trouble is None)
    yield from _numbered(told)


def _is_delta(event: _Untold) -> bool:
    return event[0].endswith(".delta")


def _numbered(told: Iterator[_Untold | Step]) -> Iterator[EventObject | Step]:
    number = 0
    for event in told:
        if isinstance(event, tuple):
            yield {"type": event[0], "sequence_number": number, **event[1]}
            number += 1
        else:
            yield event


def _begun(response: Mapping[str, Any]) -> EventObject:
    """`response` as it is at its beginning."""
    begun = {**response, "status": "in_progress", "output": [], "completed_at": None, "incomplete_details": None}
    begun.pop("usage", None)
    return begun


def _all(response: Mapping[str, Any]) -> Iterator[_Untold]:
    begun = _begun(response)
    yield "response.created", {"response": {**begun, "service_tier": "auto"}}
    yield "response.in_progress", {"response": {**begun, "service_tier": "auto"}}
    for index, item in enumerate(response["output"]):
        yield "response.output_item.added", {"output_index": index, "item": _opened(item)}
        where = {"item_id": item["id"], "output_index": index}
        for type_, event in _FILLING[item["type"]](item):
            yield type_, {**where, **event}
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield f"response.{response['status']}", {"response": response}


#: Type of an item -> what differs in it when it is opened.
_OPENED: Mapping[str, Mapping[str, Any]] = {
    "message": {"status": "in_progress", "content": []},
    "reasoning": {"summary": []},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"status": "in_progress", "input": ""},
    "web_search_call": {"status": "in_progress", "action": {"type": "search"}},
}


def _opened(item: Mapping[str, Any]) -> EventObject:
    opened = {**item, **_OPENED[item["type"]]}
    if "encrypted_content" in item:
        # as from the API: what is here is not the whole of it, that comes with the item's end
        opened["encrypted_content"] = item["encrypted_content"][: len(item["encrypted_content"]) // 2]
    return opened


def _message(item: Mapping[str, Any]) -> Iterator[_Untold]:
    for index, part in enumerate(item["content"]):
        where = {"content_index": index}
        empty: Mapping[str, Any]
        if part["type"] == "refusal":
            empty, filling = {**part, "refusal": ""}, _refusal(part)
        else:
            empty, filling = {**part, "text": "", "annotations": [], "logprobs": []}, _output_text(part)
        yield "response.content_part.added", {**where, "part": empty}
        for type_, event in filling:
            yield type_, {**where, **event}
        yield "response.content_part.done", {**where, "part": part}


def _output_text(part: Mapping[str, Any]) -> Iterator[_Untold]:
    logprobs = part["logprobs"]
    for index, token in enumerate(tokens.split(part["text"])):
        yield "response.output_text.delta", {"delta": token, "logprobs": logprobs[index : index + 1]}
    for index, annotation in enumerate(part["annotations"]):
        yield "response.output_text.annotation.added", {"annotation_index": index, "annotation": annotation}
    yield "response.output_text.done", {"text": part["text"], "logprobs": logprobs}


def _refusal(part: Mapping[str, Any]) -> Iterator[_Untold]:
    for token in tokens.split(part["refusal"]):
        yield "response.refusal.delta", {"delta": token}
    yield "response.refusal.done", {"refusal": part["refusal"]}


def _reasoning(item: Mapping[str, Any]) -> Iterator[_Untold]:
    for index, part in enumerate(item["summary"]):
        where = {"summary_index": index}
        yield "response.reasoning_summary_part.added", {**where, "part": {**part, "text": ""}}
        for token in tokens.split(part["text"]):
            yield "response.reasoning_summary_text.delta", {**where, "delta": token}
        yield "response.reasoning_summary_text.done", {**where, "text": part["text"]}
        yield "response.reasoning_summary_part.done", {**where, "part": part}


def _function_call(item: Mapping[str, Any]) -> Iterator[_Untold]:
    for token in tokens.split(item["arguments"]):
        yield "response.function_call_arguments.delta", {"delta": token}
    yield "response.function_call_arguments.done", {"name": item["name"], "arguments": item["arguments"]}


def _custom_tool_call(item: Mapping[str, Any]) -> Iterator[_Untold]:
    for token in tokens.split(item["input"]):
        yield "response.custom_tool_call_input.delta", {"delta": token}
    yield "response.custom_tool_call_input.done", {"input": item["input"]}


def _web_search_call(item: Mapping[str, Any]) -> Iterator[_Untold]:
    for step in ("in_progress", "searching", "completed"):
        yield f"response.web_search_call.{step}", {}


#: Type of an item -> the events between its opening and its end.
_FILLING = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "web_search_call": _web_search_call,
}
