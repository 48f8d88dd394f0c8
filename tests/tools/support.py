"""What the tests of tools share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.interfaces import IToolContext, IToolProvider


@implementer(IToolProvider)
class Tool:
    """A tool that does what a test says."""

    def __init__(
        self,
        name: str = "clock",
        does: Callable[[dict[str, Any], IToolContext], Any] = lambda arguments, context: "noon",
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.description = f"What {name} says."
        self.parameters = parameters or {"type": "object", "properties": {}}
        self.does = does
        self.calls: list[dict[str, Any]] = []

    def call(self, arguments: dict[str, Any], context: IToolContext) -> Any:
        self.calls.append(arguments)
        return self.does(arguments, context)


def schema(name: str = "clock") -> dict[str, Any]:
    """How a `Tool` is offered."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"What {name} says.",
            "parameters": {"type": "object", "properties": {}},
        },
    }


def request(kind: PortKind = PortKind.PASSTHROUGH, **fields: Any) -> ApiRequest:
    """A chat request, after the transforms."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return ApiRequest(kind, "POST", "/chat/completions", (), Body.of(body))


def call(name: str = "clock", arguments: str = "{}", index: int = 0, id: str | None = None) -> dict[str, Any]:
    """A call, as a chunk has it."""
    return {
        "index": index,
        "id": f"call_{name}" if id is None else id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def chunk(
    delta: Mapping[str, Any] | None = None, finish: str | None = None, id: str = "chatcmpl-1", **more: Any
) -> bytes:
    """A chunk of a chat stream."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": id, "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, "choices": choices, **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(
    content: str | None, calls: list[dict[str, Any]] | None = None, finish: str = "stop", **more: Any
) -> bytes:
    """A chat completion; `more` has fields of its own, and ``message`` those of its message."""
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    if calls:
        message["tool_calls"] = [{key: value for key, value in c.items() if key != "index"} for c in calls]
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return json.dumps({**head, "choices": choices, **more}).encode()


def chunks(stream: bytes) -> list[Any]:
    """The chunks of a stream that ends properly."""
    assert stream.endswith(DONE), stream
    assert stream.count(DONE) == 1, stream
    return [json.loads(block[6:]) for block in stream[: -len(DONE)].split(b"\n\n")[:-1]]


def said(stream: bytes, field: str = "content") -> str:
    """One of the texts of a stream."""
    return "".join(c["choices"][0]["delta"].get(field) or "" for c in chunks(stream) if c["choices"])
