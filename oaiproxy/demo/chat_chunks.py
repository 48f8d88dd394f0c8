"""A finished chat completion as the chunks of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from oaiproxy.demo import tokens
from oaiproxy.demo.directives import Directives, Trouble
from oaiproxy.demo.reply import DONE, Cut, Step, Wait, data_event, halfway

Chunk = dict[str, Any]

#: A choice's delta, its log probabilities, and its finish reason.
_Delta = tuple[Mapping[str, Any], Mapping[str, Any] | None, str | None]

#: What the demo says when it is asked to fail.
FAILURE = {
    "error": {
        "message": "oaiproxy's demo upstream was asked to fail here, with demo:fail-midstream.",
        "type": "server_error",
        "param": None,
        "code": "server_error",
    }
}


def stream_steps(completion: Mapping[str, Any], include_usage: bool, directives: Directives) -> Iterator[Step]:
    """The bytes of the stream, event by event, and what `directives` put in their middle."""
    if directives.normal:
        for chunk in chunks(completion, include_usage):
            yield data_event(chunk)
        yield DONE
        return
    middle: list[Chunk | Step] = [Wait(directives.stall)] if directives.stall else []
    if directives.trouble is Trouble.CUT:
        middle.append(Cut())
    elif directives.trouble is Trouble.FAIL:
        middle.append(data_event(FAILURE))
    for step in halfway(
        lambda: chunks(completion, include_usage), _is_delta, middle, resume=directives.trouble is None
    ):
        yield data_event(step) if isinstance(step, dict) else step
    if directives.trouble is None:
        yield DONE


def chunks(completion: Mapping[str, Any], include_usage: bool) -> Iterator[Chunk]:
    """The chunks that lead to `completion` (schema ``CreateChatCompletionStreamResponse``)."""
    frame = {**completion, "object": "chat.completion.chunk"}
    usage = frame.pop("usage")
    if include_usage:
        frame["usage"] = None
    told = [_deltas(choice) for choice in completion["choices"]]
    for deltas in zip_longest(*told):
        for index, told_now in enumerate(deltas):
            if told_now is not None:
                delta, logprobs, finish = told_now
                choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
                yield {**frame, "choices": [choice]}
    if include_usage:
        yield {**frame, "choices": [], "usage": usage}


def _is_delta(chunk: Chunk) -> bool:
    return any(c["finish_reason"] is None and "role" not in c["delta"] for c in chunk["choices"])


def _deltas(choice: Mapping[str, Any]) -> Iterator[_Delta]:
    message = choice["message"]
    logprobs = choice["logprobs"]
    calls = message.get("tool_calls") or ()
    function_call = message.get("function_call")
    silent = message["content"] is None
    yield {"role": "assistant", "content": None if silent else "", "refusal": None}, _no_logprobs(logprobs), None
    for index, token in enumerate(tokens.split(message["content"] or "")):
        here = logprobs and {**logprobs, "content": logprobs["content"][index : index + 1]}
        yield {"content": token}, here, None
    for token in tokens.split(message["refusal"] or ""):
        yield {"refusal": token}, None, None
    for index, call in enumerate(calls):
        kind = call["type"]
        field = "arguments" if kind == "function" else "input"
        yield {"tool_calls": [{"index": index, **call, kind: {**call[kind], field: ""}}]}, None, None
        for token in tokens.split(call[kind][field]):
            yield {"tool_calls": [{"index": index, kind: {field: token}}]}, None, None
    if function_call is not None:
        yield {"function_call": {**function_call, "arguments": ""}}, None, None
        for token in tokens.split(function_call["arguments"]):
            yield {"function_call": {"arguments": token}}, None, None
    cited = {"annotations": message["annotations"]} if message["annotations"] else {}
    yield cited, None, choice["finish_reason"]


def _no_logprobs(logprobs: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return logprobs and {**logprobs, "content": []}
