"""What the tests of kept turns share: items of answers, messages of histories, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import AnswerPlan, translate
from oaiproxy.bridge.answer import ChatAnswer
from oaiproxy.bridge.continuity import (
    KeptTurn,
    SaidTurn,
    Scope,
    converse,
    kept_items,
    kept_turn,
    recall,
)
from oaiproxy.bridge.slots import Slots
from oaiproxy.models import Catalogue

Item = dict[str, Any]

SCOPE = Scope(b"tenant", b"account", "gpt-5.1")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look", "add")]


def thought(blob: str = "sealed", **further: Any) -> Item:
    return {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "content": None,
        "encrypted_content": blob,
        "status": "completed",
        **further,
    }


def message(text: str, **further: Any) -> Item:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [{"token": "a"}]}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part], **further}


def call(id: str = "call_1", name: str = "look", arguments: str = '{"at": 1}', **further: Any) -> Item:
    return {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": id,
        "name": name,
        "arguments": arguments,
        **further,
    }


#: What goes back of those.
THOUGHT = {
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "sealed",
}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": 1}'}


def said_message(text: str) -> Item:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def keep(*output: Item, status: str = "completed", prefix: bytes = b"prefix", **plan: Any) -> KeptTurn | None:
    """What is kept of a response."""
    found: list[KeptTurn | None] = []

    def kept(slots: Slots) -> list[Item]:
        made = kept_items(slots)
        found.append(None if made is None else kept_turn(made, SCOPE, prefix))
        return []

    translator = ChatAnswer(AnswerPlan(keep=kept, functions=frozenset(("look", "add")), **plan))
    response = {"object": "response", "id": "resp_1", "status": status, "output": list(output)}
    translator.feed(json.dumps(response).encode())
    translator.end()
    (turn,) = found
    return turn


def items(*output: Item, **further: Any) -> list[Item] | None:
    turn = keep(*output, **further)
    return None if turn is None else turn.items


def assistant(content: Any = None, *calls: tuple[str, str, str], **further: Any) -> Item:
    made = [{"id": id, "type": "function", "function": {"name": n, "arguments": a}} for id, n, a in calls]
    return {"role": "assistant", "content": content, **({"tool_calls": made} if made else {}), **further}


LOOK = ("call_1", "look", '{"at": 1}')


def user(text: Any) -> Item:
    return {"role": "user", "content": text}


def system(text: str) -> Item:
    return {"role": "system", "content": text}


def result(id: str, text: str = "found") -> Item:
    return {"role": "tool", "tool_call_id": id, "content": text}


def turns(*messages: Item) -> Sequence[SaidTurn]:
    conversation = converse(list(messages))
    assert conversation is not None
    return conversation.turns


def back(messages: Sequence[Item], kept: Mapping[int, KeptTurn | None], scope: Scope = SCOPE) -> list[Item]:
    """The input that upstream gets for a history, with turns that are found for some of its messages."""
    conversation = converse(list(messages))
    assert conversation is not None
    recalled = recall(conversation, {index: turn for index, turn in kept.items() if turn is not None}, scope)
    request = ApiRequest(
        port=PortKind.BRIDGE,
        method="POST",
        path="/chat/completions",
        headers=(),
        body=Body.of({"model": "gpt-5.1", "messages": list(messages), "tools": TOOLS}),
    )
    capabilities = Catalogue.builtin().capabilities("gpt-5.1")
    body = json.loads(translate(request, capabilities, kept=recalled.turns).body)
    found: list[Item] = body["input"]
    return found
