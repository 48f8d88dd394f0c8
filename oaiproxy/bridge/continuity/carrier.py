"""Turns that the client itself carries: ``reasoning_details`` of an assistant's message.

The form is the one that OpenRouter made a convention of: entries of the types ``reasoning.encrypted`` (``data`` is
upstream's blob) and ``reasoning.summary``, ``format`` ``openai-responses-v1``, ``index`` the entry's own place, by
which SDKs put the pieces of a stream together.  The item's place in the answer is ``output_index``.  What else a chat
message cannot say goes as an entry of its own with the whole item.  Every entry's ``id`` says for whom it was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.continuity.conversation import DIGEST, SaidTurn
from oaiproxy.bridge.continuity.turns import (
    CLIENT_CALLS,
    CLIENT_TEXT,
    FORM,
    PLAIN_CALLS,
    Item,
    KeptTurn,
    Scope,
    is_extraordinary,
)
from oaiproxy.bridge.items import ITEMS

_FORMAT = "openai-responses-v1"
_ENCRYPTED, _SUMMARY, _ITEM = "reasoning.encrypted", "reasoning.summary", "reasoning.item"

#: What the two common types of entry can say of an item.
_PLAIN_REASONING = {"type", "summary", "encrypted_content"}

#: More items than any answer has.
_LONGEST = 4096

#: Items that the message itself says.
_SAID = PLAIN_CALLS | {CLIENT_CALLS}


def carrier_id(scope: Scope) -> str:
    """What says for whom something was made, and tells nothing of them."""
    # without the account, whose key may be short and is not the client's to guess: upstream knows it anyway (R8)
    digest = hashlib.blake2b(scope.tenant, digest_size=DIGEST, person=b"oaiproxy carried")
    digest.update(scope.model.encode())
    return "oaiproxy_" + digest.hexdigest()


def details(turn: KeptTurn, scope: Scope) -> list[JsonObject]:
    """The ``reasoning_details`` for a turn: what of it the message beside them does not say."""
    id = carrier_id(scope)
    found: list[JsonObject] = []
    plain = [item for item in turn.items if item["type"] == "message"]
    for place, item in enumerate(turn.items):
        entries: list[JsonObject] = []
        if item["type"] == "reasoning" and item.keys() == _PLAIN_REASONING:
            texts = [part.get("text", "") for part in item["summary"] if isinstance(part, dict)]
            entries += [{"type": _SUMMARY, "summary": text} for text in texts]
            entries.append({"type": _ENCRYPTED, "data": item["encrypted_content"]})
        elif plain == [item] and not _refuses(item):
            if "phase" in item:
                entries.append({"type": _ITEM, "item": {"type": CLIENT_TEXT, "phase": item["phase"]}})
        elif item["type"] not in _SAID or is_extraordinary(item):
            entries.append({"type": _ITEM, "item": item})
        for entry in entries:
            found.append({**entry, "id": id, "format": _FORMAT, "index": len(found), "output_index": place})
    return found


def _refuses(message: Item) -> bool:
    """Whether a message has a refusal, which would come back as a text."""
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") == "refusal" for part in content)


def carried(said: SaidTurn, scope: Scope, *, own_account: bool) -> KeptTurn | None:
    """The turn that a client carries.

    @param said: the client's message.
    @param scope: whose request it is.
    @param own_account: the client has an account of its own upstream, which can read only its own reasoning: what
        others than this proxy made is taken, too.
    @return: None where there is none, or it was made for others.
    """
    id = carrier_id(scope)
    at: dict[int, Item] = {}
    items: dict[str, int] = {}  # the places of items that others name by their ids
    for entry in said.carried:
        place, name = entry.get("output_index", entry.get("index")), str(entry.get("id"))
        if not isinstance(place, int) or not 0 <= place < _LONGEST or entry.get("format") != _FORMAT:
            return None
        if name != id:
            if not own_account or name.startswith("oaiproxy_"):
                return None
            place = items.setdefault(name, place)
        _take(at, place, entry)
    if not at or not all(map(_is_whole, at.values())):
        return None
    return KeptTurn(FORM, scope.account, scope.model, said.before.prefix, list(_in_place(at, said)))


def _take(at: dict[int, Item], index: int, entry: Mapping[str, Any]) -> None:
    match entry:
        case {"type": "reasoning.item", "item": {"type": str(kind)} as item} if kind == CLIENT_TEXT or kind in ITEMS:
            at[index] = dict(item)
        case {"type": "reasoning.encrypted", "data": str(data)}:
            _reasoning(at, index)["encrypted_content"] = data
        case {"type": "reasoning.summary", "summary": str(text)}:
            _reasoning(at, index)["summary"].append({"type": "summary_text", "text": text})


def _reasoning(at: dict[int, Item], index: int) -> Item:
    return at.setdefault(index, {"type": "reasoning", "summary": []})


def _is_whole(item: Item) -> bool:
    if item["type"] in PLAIN_CALLS:
        return isinstance(item.get("call_id"), str)
    readable = isinstance(item.get("encrypted_content"), str) or isinstance(item.get("content"), list)
    return item["type"] != "reasoning" or readable


def _in_place(at: Mapping[int, Item], said: SaidTurn) -> Iterator[Item]:
    """What is carried, in the order of the answer; what is not is the message's own: its text, then its calls."""
    carried = list(at.values())
    own: list[Item] = []
    if said.text and not any(item["type"] in ("message", CLIENT_TEXT) for item in carried):
        own.append({"type": CLIENT_TEXT})
    known = {item["call_id"] for item in carried if item["type"] in PLAIN_CALLS}
    own += [{"type": CLIENT_CALLS, "ids": [call.id]} for call in said.calls if call.id not in known]
    left = iter(own)
    for index in range(max(at) + 1):
        item = at[index] if index in at else next(left, None)
        if item is not None:
            yield item
    yield from left
