"""Exchanges as an upstream makes them, short enough to break them off behind every byte."""

from __future__ import annotations

import json
from typing import Any

from tests.support import http_answer, http_stream

EVENTS = "Content-Type: text/event-stream"
JSON = "Content-Type: application/json"
DONE = b"data: [DONE]\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def request(stream: bool, **fields: Any) -> bytes:
    """A chat request."""
    messages = [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": "m", "messages": messages, "stream": stream, **fields}).encode()


# chat completions


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + _json({**head, "choices": [choice]}) + b"\n\n"


def _call(index: int, **function: str) -> dict[str, Any]:
    whole = {"id": f"call_{index}", "type": "function"} if "name" in function else {}
    return {"tool_calls": [{"index": index, **whole, "function": function}]}


#: The events of a stream with text, thoughts, and two calls.
CHAT_EVENTS = (
    chat_chunk({"role": "assistant", "content": "<think>a"}),
    chat_chunk({"content": "b</think>Grüße"}),
    chat_chunk(_call(0, name="f", arguments="")),
    chat_chunk(_call(0, arguments='{"a":1}')),
    chat_chunk(_call(1, name="g", arguments="{}")),
    chat_chunk({}, "tool_calls"),
    DONE,
)
CHAT_STREAM = http_stream(*CHAT_EVENTS)
#: Where the end of the connection is what ends it.
CHAT_TO_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(CHAT_EVENTS)
CHAT_OBJECT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "<think>ab</think>Grüße"},
            "finish_reason": "stop",
        }
    ],
}
CHAT_JSON = http_answer(_json(CHAT_OBJECT), "200 OK", JSON)

# a call of the proxy's own tool `clock`

_OWN_CALL = {"id": "call_c", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
OWN_CALL_STREAM = http_stream(
    chat_chunk({"role": "assistant", "tool_calls": [{"index": 0, **_OWN_CALL}]}), chat_chunk({}, "tool_calls"), DONE
)

# responses


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (
        kind.encode(),
        _json({"type": kind, **fields}),
    )


_REASONING = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]}
_MESSAGE = {
    "type": "message",
    "id": "msg",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Grüße", "annotations": []}],
}
_FUNCTION_CALL = {
    "type": "function_call",
    "id": "fc",
    "call_id": "call",
    "name": "f",
    "arguments": '{"a":1}',
    "status": "completed",
}


def response(status: str = "completed", *output: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4} if output else None
    head = {"id": "resp", "object": "response", "created_at": 1, "model": "m", "status": status}
    return {**head, "output": list(output), "usage": usage}


def text_delta(text: str) -> bytes:
    return event("response.output_text.delta", output_index=1, content_index=0, item_id="msg", delta=text)


RESPONSE_BEGINS = (
    event("response.created", response=response("in_progress")),
    event("response.output_item.added", output_index=0, item={**_REASONING, "summary": []}),
    event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, item_id="rs", delta="hm"),
    event("response.output_item.added", output_index=1, item={**_MESSAGE, "status": "in_progress", "content": []}),
)
RESPONSE_COMPLETED = event("response.completed", response=response("completed", _REASONING, _MESSAGE, _FUNCTION_CALL))
RESPONSE_EVENTS = (
    *RESPONSE_BEGINS,
    text_delta("Grü"),
    text_delta("ße"),
    event("response.output_item.done", output_index=1, item=_MESSAGE),
    event("response.output_item.added", output_index=2, item={**_FUNCTION_CALL, "arguments": ""}),
    event("response.function_call_arguments.delta", output_index=2, item_id="fc", delta='{"a":1}'),
    event("response.output_item.done", output_index=2, item=_FUNCTION_CALL),
    RESPONSE_COMPLETED,
)
RESPONSE_STREAM = http_stream(*RESPONSE_EVENTS)
RESPONSE_TO_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(RESPONSE_EVENTS)
RESPONSE_OBJECT = response("completed", _REASONING, _MESSAGE, _FUNCTION_CALL)
RESPONSE_JSON = http_answer(_json(RESPONSE_OBJECT), "200 OK", JSON)
