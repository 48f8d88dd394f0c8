"""What the tests of legacy completions share: requests, upstream answers, and what a client makes of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge.completions import (
    CompletionPlan,
    CompletionTranslation,
    completion_translator,
    translate_completion,
)
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.models import Capabilities
from tests.bridge.asking import ON_DEMAND
from tests.bridge.wire import Event, chunks, completed, created, sse, text

EVENTS, JSON = "text/event-stream", "application/json"


def completion(body: Mapping[str, Any], capabilities: Capabilities = ON_DEMAND, **how: Any) -> CompletionTranslation:
    """The translation of a legacy request with this body.

    @param how: ``added``, and what `translate_completion` takes.
    """
    added = frozenset(how.pop("added", ()))
    request = ApiRequest(PortKind.BRIDGE, "POST", "/completions", (), Body.of(body), added=added)
    return translate_completion(request, capabilities, **how)


def complete(**fields: Any) -> CompletionTranslation:
    """The translation of a legacy request with these fields, and a model and a prompt unless given.

    `capabilities`, `added` and `strict` are no fields but what `completion` takes.
    """
    how = {name: fields.pop(name) for name in ("capabilities", "added", "strict") if name in fields}
    return completion({"model": "gpt-5.1", "prompt": "Once upon", **fields}, **how)


def sent(**fields: Any) -> list[dict[str, Any]]:
    """What `complete` sends upstream, decoded."""
    return [json.loads(body) for body in complete(**fields).bodies]


def plan(*prompts: str, stream: bool = False, include_usage: bool = False, **fields: Any) -> CompletionPlan:
    """A plan for these prompts; `logprobs` is asked of the chat answer as well."""
    logprobs = fields.get("logprobs") is not None or fields.get("made", 1) > fields.get("kept", 1)
    chat = AnswerPlan(stream=stream, include_usage=include_usage, logprobs=logprobs, stop=fields.pop("stop", ()))
    return CompletionPlan(chat=chat, prompts=prompts or ("Once upon",), **fields)


def token(text: str, logprob: float, *others: tuple[str, float]) -> Event:
    """A token's entry in the log probabilities of a response; it is the likeliest one itself."""
    top = [{"token": t, "logprob": value} for t, value in ((text, logprob), *others)]
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": top}


def usage(prompt: int, answer: int) -> Event:
    return {"input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer}


def response(*words: str, logprobs: Iterable[Event] | None = None, **fields: Any) -> Event:
    """A finished response that says `words`."""
    part: Event = {"type": "output_text", "text": "".join(words), "annotations": []}
    if logprobs is not None:
        part["logprobs"] = list(logprobs)
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    head = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "gpt-5.1", "status": "completed"}
    return {**head, "output": [item] if words else [], "usage": usage(10, len(words)), **fields}


def streamed(*words: str, logprobs: Iterable[Event] | None = None, **fields: Any) -> bytes:
    """The same response as a stream, a word at a time."""
    deltas = [text(word) for word in words]
    for delta, entry in zip(deltas, logprobs or (), strict=False):
        delta["logprobs"] = [entry]
    final = response(*words, logprobs=logprobs, **fields)
    return sse(created(id=final["id"]), *deltas, {**completed(), "response": final})


def answer(plan: CompletionPlan, *answers: bytes, content_type: str = EVENTS, size: int = 0) -> bytes:
    """What a client gets for these upstream answers, which come one after the other in pieces of `size` bytes."""
    joint = completion_translator(plan)
    for part in range(len(answers)):
        joint.open(part, content_type)
    out = b""
    for part, raw in enumerate(answers):
        for piece in [raw[i : i + size] for i in range(0, len(raw), size)] if size else [raw]:
            if not joint.over(part):
                out += joint.feed(part, piece)
        if not joint.over(part):
            out += joint.end(part)
    assert joint.finished
    return out


def whole(plan: CompletionPlan, *answers: Event) -> Any:
    """The completion that a client gets for these responses."""
    return json.loads(answer(plan, *(json.dumps(one).encode() for one in answers), content_type=JSON))


def folded(raw: bytes) -> Event:
    """The completion that a client makes of a stream of legacy chunks, which have to be of one kind."""
    found = chunks(raw)
    head = {key: found[0][key] for key in ("id", "object", "created", "model")}
    choices: dict[int, Event] = {}
    for chunk in found:
        assert {key: chunk[key] for key in head} == head, chunk
        for piece in chunk["choices"]:
            empty: Event = {"text": "", "index": piece["index"], "logprobs": None, "finish_reason": None}
            choice = choices.setdefault(piece["index"], empty)
            assert choice["finish_reason"] is None, f"a piece after the end: {chunk}"
            choice["text"] += piece["text"]
            choice["finish_reason"] = piece["finish_reason"]
            if piece["logprobs"] is not None:
                known = choice["logprobs"] or {}
                choice["logprobs"] = {key: known.get(key, []) + value for key, value in piece["logprobs"].items()}
    last = {} if found[-1].get("usage") is None else {"usage": found[-1]["usage"]}
    return {**head, "choices": [choice for _, choice in sorted(choices.items())], **last}
