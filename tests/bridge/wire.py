"""What the bridge's tests share: events to bytes, chunks to a message, a finished response to the stream of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from oaiproxy.api.body import BodyTranslator
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream

#: The published schema and the recordings, beside the checkout; they are not part of the project.
SHARED = Path(__file__).resolve().parents[3] / "shared"

Event = dict[str, Any]

#: What a client that streams and asks for nothing else gets.
STREAM = AnswerPlan(stream=True)


def sse(*events: Event) -> bytes:
    """The bytes of a Responses stream."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def created(**fields: Any) -> Event:
    """The event that begins a stream."""
    response = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "gpt-5.1", "output": []}
    return {"type": "response.created", "response": {**response, "status": "in_progress", **fields}}


def completed(*output: Event, **fields: Any) -> Event:
    """The event that ends a stream well."""
    response = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "gpt-5.1"}
    return {"type": "response.completed", "response": {**response, "status": "completed", "output": output, **fields}}


def run(translator: BodyTranslator, raw: bytes, size: int = 0) -> bytes:
    """Feed `raw` in pieces of `size` bytes (0: at once) and return all that comes out."""
    pieces = [raw[i : i + size] for i in range(0, len(raw), size)] if size else [raw]
    return b"".join(translator.feed(piece) for piece in pieces) + translator.end()


def chunks(raw: bytes) -> list[Event]:
    """The chunks in a chat stream, which has to end with ``[DONE]``."""
    blocks = raw.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""], blocks[-2:]
    assert all(block.startswith("data: ") for block in blocks[:-1])
    return [json.loads(block[len("data: ") :]) for block in blocks[:-2]]


def deltas(raw: bytes) -> list[Event]:
    """The deltas of a chat stream."""
    return [choice["delta"] for chunk in chunks(raw) for choice in chunk["choices"]]


def joined(raw: bytes, field: str) -> str:
    """All that a chat stream says in one text field."""
    return "".join(delta.get(field) or "" for delta in deltas(raw))


def calls(raw: bytes) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call in a chat stream, put together by index as clients do."""
    found: dict[int, list[str]] = {}
    for delta in deltas(raw):
        for piece in delta.get("tool_calls", ()):
            call = found.setdefault(piece["index"], ["", "", ""])
            inner = piece.get("function") or piece.get("custom")
            call[0] += piece.get("id", "")
            call[1] += inner.get("name", "")
            call[2] += inner.get("arguments", "") + inner.get("input", "")
    assert sorted(found) == list(range(len(found)))
    return [(id, name, text) for _, (id, name, text) in sorted(found.items())]


def folded(raw: bytes) -> Event:
    """The completion that a client makes of a chat stream."""
    all_chunks = chunks(raw)
    message: Event = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    logprobs: list[Any] = []
    finish = None
    tools: dict[int, Event] = {}
    for chunk in all_chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for field in ("content", "refusal", "reasoning_content", "reasoning"):
                if delta.get(field):
                    message[field] = (message.get(field) or "") + delta[field]
            if "function_call" in delta:
                legacy = message.setdefault("function_call", {"name": "", "arguments": ""})
                for field, text in delta["function_call"].items():
                    legacy[field] += text
            for piece in delta.get("tool_calls", ()):
                inner = "custom" if "custom" in piece else "function"
                call = tools.setdefault(piece["index"], {k: v for k, v in piece.items() if k != "index"})
                if call.get(inner) is not piece[inner]:
                    for field, text in piece[inner].items():
                        call[inner][field] += text
            message["annotations"] += delta.get("annotations", [])
            if "file_annotations" in delta:
                message["file_annotations"] = delta["file_annotations"]
            if "images" in delta:
                message["images"] = message.get("images", []) + delta["images"]
            logprobs += (choice["logprobs"] or {}).get("content") or []
            finish = choice["finish_reason"] or finish
    if tools:
        message["tool_calls"] = [call for _, call in sorted(tools.items())]
    if message["content"] is None and not tools and "function_call" not in message and message["refusal"] is None:
        message["content"] = ""
    last = all_chunks[-1]
    return {
        "id": last["id"],
        "object": "chat.completion",
        "created": last["created"],
        "model": last["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
                "finish_reason": finish,
            }
        ],
        "usage": last.get("usage"),
    }


def stream_of(response: Mapping[str, Any], cut: Callable[[str], Iterable[str]]) -> Iterator[Event]:
    """The events in which api.openai.com would have streamed a response.

    Its log probabilities, if it has any, are of one character each.

    @param cut: cuts a text into deltas.
    """
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": [], "usage": None}}
    for index, item in enumerate(response["output"]):
        at: Event = {"output_index": index, "item_id": f"item_{index}"}
        empty: Event = {"content": [], "summary": [], "arguments": "", "input": "", "result": None}
        begun = {**item, **{k: v for k, v in empty.items() if k in item}, "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        for n, part in enumerate(item.get("summary") or ()):
            for text in cut(part["text"]):
                yield {"type": "response.reasoning_summary_text.delta", **at, "summary_index": n, "delta": text}
            yield {"type": "response.reasoning_summary_text.done", **at, "summary_index": n, "text": part["text"]}
        for n, part in enumerate(item.get("content") or ()):
            kind = {"output_text": "output_text", "refusal": "refusal", "reasoning_text": "reasoning_text"}[
                part["type"]
            ]
            whole = part["refusal" if kind == "refusal" else "text"]
            tokens = iter(part.get("logprobs") or ())
            for text in cut(whole):
                more = {"logprobs": list(islice(tokens, len(text)))} if kind == "output_text" else {}
                yield {"type": f"response.{kind}.delta", **at, "content_index": n, "delta": text, **more}
            for annotation in part.get("annotations", ()):
                kind_ = "response.output_text.annotation.added"
                yield {"type": kind_, **at, "content_index": n, "annotation": annotation}
        if item["type"] in ("function_call", "custom_tool_call"):
            field = "arguments" if item["type"] == "function_call" else "input"
            event = "function_call_arguments" if item["type"] == "function_call" else "custom_tool_call_input"
            for text in cut(item[field]):
                yield {"type": f"response.{event}.delta", **at, "delta": text}
            yield {"type": f"response.{event}.done", **at, field: item[field]}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response['status']}", "response": dict(response)}


def added(index: int | None, **item: Any) -> Event:
    """An item begins; without `index` as servers send it that know none."""
    event = {"type": "response.output_item.added", "item": item}
    return event if index is None else {**event, "output_index": index}


def done(index: int | None, **item: Any) -> Event:
    """An item is complete."""
    return {**added(index, **item), "type": "response.output_item.done"}


def text(delta: str, index: int = 0, **more: Any) -> Event:
    """A piece of text."""
    return {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": delta, **more}


def summary(delta: str, index: int = 0, part: int = 0) -> Event:
    """A piece of a reasoning summary."""
    kind = "response.reasoning_summary_text.delta"
    return {"type": kind, "output_index": index, "summary_index": part, "delta": delta}


def arguments(delta: str, index: int | None = 0, **more: Any) -> Event:
    """A piece of a call's arguments."""
    event = {"type": "response.function_call_arguments.delta", "delta": delta, **more}
    return event if index is None else {**event, "output_index": index}


def message(index: int | None, text: str, **more: Any) -> Event:
    """A message of one text is complete."""
    return done(index, type="message", content=[{"type": "output_text", "text": text, **more}])


def call(index: int | None, call_id: str, name: str, text: str = "", **more: Any) -> dict[str, Any]:
    """A function call, for `added` and `done`."""
    return {"index": index, "type": "function_call", "call_id": call_id, "name": name, "arguments": text, **more}


def stream(*events: Event, plan: AnswerPlan = STREAM) -> bytes:
    """What a client gets for these events after `created`, at once and byte by byte."""
    raw = sse(created(), *events)
    whole = run(ChatStream(plan), raw)
    assert run(ChatStream(plan), raw, size=1) == whole
    return whole
