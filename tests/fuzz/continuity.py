"""Fuzzed: answers that are kept, and histories into which they go back."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import AnswerPlan, translate
from oaiproxy.bridge.answer import ChatAnswer
from oaiproxy.bridge.continuity import (
    KeptTurn,
    Scope,
    carried,
    converse,
    details,
    kept_items,
    kept_turn,
    recall,
    turn_key,
)
from oaiproxy.bridge.slots import Slots
from oaiproxy.models import Catalogue
from tests.fuzz.answers import ITEMS, NAMES
from tests.fuzz.draw import Draw
from tests.fuzz.requests import MESSAGES

_SCOPE = Scope(b"tenant", b"account", "gpt-5.1")
_PLAN = AnswerPlan(
    functions=frozenset({"f"}), custom_tools=frozenset({"g"}), hosted_tools=frozenset({"local_shell"}), model="gpt-5.1"
)
_CARRIED = ("index", "output_index", "item", "data", "format", "summary", "encrypted_content", "arguments", "phase")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_CALLS = ("function_call", "custom_tool_call")


def kept_turns(draw: Draw) -> None:
    """What is kept of any answer goes back into any history so that upstream takes it."""
    history: list[Any] = [{"role": "user", "content": "Hello"}]
    store: dict[bytes, bytes | None] = {}
    for _ in range(1 + draw.below(3)):
        before = converse(history)
        message, turn = _answered(draw, b"" if before is None else before.before.prefix)
        if message is None:
            continue
        if turn is not None:
            data = turn.encoded()
            assert data is None or KeptTurn.decoded(data) == turn
            store[turn.key(_SCOPE.tenant, b"" if before is None else before.before.since)] = data
            if draw.flag():
                carried_by_client: Any = details(turn, _SCOPE)
                for _ in draw.some(3):
                    carried_by_client = draw.changed(carried_by_client, (*NAMES, *_CARRIED))
                message["reasoning_details"] = carried_by_client
        history.append(message)
        history += ({"role": "tool", "tool_call_id": c["id"], "content": "1"} for c in message.get("tool_calls", ()))
        history += (draw.choice(MESSAGES) for _ in draw.some(3))
    for _ in draw.some(4):
        history = draw.changed(history, NAMES)
    _sent(history, store)


def _answered(draw: Draw, prefix: bytes) -> tuple[dict[str, Any] | None, KeptTurn | None]:
    """A message, and what is kept of it."""
    found: list[KeptTurn | None] = []

    def keep(slots: Slots) -> list[Any]:
        items = kept_items(slots)
        found.append(None if items is None else kept_turn(items, _SCOPE, prefix))
        return []

    output = [draw.choice(ITEMS) for _ in range(1 + draw.below(5))]
    for _ in draw.some(3):
        output = draw.changed(output, NAMES)
    status = draw.choice(("completed", "incomplete"))
    data = json.dumps({"object": "response", "id": "resp_1", "status": status, "output": output}).encode()
    translator = ChatAnswer(replace(_PLAN, keep=keep))
    try:
        translator.feed(data)
        completion = json.loads(translator.end())
    except ApiError:
        return None, None
    return completion["choices"][0]["message"], found[0] if found else None


def _sent(history: Any, store: dict[bytes, bytes | None]) -> None:
    """Put what is found into a history, and look at what would be sent."""
    conversation = converse(history)
    if conversation is None:
        return
    found = {}
    for said in conversation.turns:
        key = turn_key(_SCOPE.tenant, said)
        turn = carried(said, _SCOPE, own_account=True) if said.carried else None
        data = None if key is None else store.get(key)
        turn = turn or (None if data is None else KeptTurn.decoded(data))
        if turn is not None:
            found[said.index] = turn
    recalled = recall(conversation, found, _SCOPE)
    body = Body.of({"model": "gpt-5.1", "messages": history})
    request = ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), body)
    try:
        made = translate(request, Catalogue.builtin().capabilities("gpt-5.1"), kept=recalled.turns)
    except BadRequest:
        return
    items = json.loads(made.body)["input"]
    assert not any(str(item.get("type")).startswith("oaiproxy.") for item in items), items
    calls = [item["call_id"] for item in items if item.get("type") in _CALLS]
    assert len(set(calls)) == len(calls), items
    assert sorted(calls) == sorted(item["call_id"] for item in items if item.get("type") in _OUTPUTS), items
