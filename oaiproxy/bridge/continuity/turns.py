"""A turn of the model's as it is kept: the items that upstream gave, ready to be given back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from oaiproxy.bridge.continuity.conversation import DIGEST, SaidTurn, squeezed
from oaiproxy.bridge.items import ITEMS, Place, place_of
from oaiproxy.bridge.slots import Kind, Slot

#: An output item, as JSON.
Item = dict[str, Any]

#: The form of a kept turn; one of another form is as good as none.
FORM = 1

#: What stands in a turn for calls that the client makes in another form than upstream's, with their ``ids``: the
#: client's own words are sent for those.
CLIENT_CALLS = "oaiproxy.calls"

#: What stands in a turn for the client's own text, as the only message of the turn; it may have a ``phase``.
CLIENT_TEXT = "oaiproxy.text"

#: Calls that go back as they came.
PLAIN_CALLS = frozenset({"function_call", "custom_tool_call"})

#: Items whose ``status`` tells upstream nothing; of those that upstream ran itself the schema demands it.
_WITHOUT_STATUS = frozenset({"message", "reasoning", *PLAIN_CALLS})

#: What a translation of the client's own words would give as well.  A call is not among it: clients write its arguments
#: in other ways, and of a prompt with other bytes in it newer models drop the reasoning that follows (R10).
_ORDINARY = frozenset({"message", CLIENT_CALLS})

#: Fields of such items that it would not give.
_EXTRAORDINARY = ("phase", "namespace", "caller")


#: The date of a snapshot at the end of a model's name.
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$", re.ASCII)


def family(model: str) -> str:
    """What a model has in common with those that can read its reasoning: all but the date of its snapshot."""
    return _DATE.sub("", model)


class Scope(msgspec.Struct, frozen=True):
    """For whom turns are kept, and for what.

    @ivar tenant: stands for whoever asks; nobody else finds the turn.
    @ivar account: stands for the upstream's account: it alone can read its reasoning.
    @ivar model: the `family` of the model: others cannot read its reasoning.
    """

    tenant: bytes
    account: bytes
    model: str


class KeptTurn(msgspec.Struct, frozen=True, array_like=True):
    """What a response was.

    @ivar form: the number of this form.
    @ivar account: whose reasoning it is; see `Scope`.
    @ivar model: which model's.
    @ivar prefix: stands for the conversation that it was an answer to.
    @ivar items: its items in order, without null fields, and without ids where upstream would look for what goes by
        them; the last one is no reasoning.
    """

    form: int
    account: bytes
    model: str
    prefix: bytes
    items: list[Item]

    @property
    def text(self) -> str:
        """What it says, as it is compared."""
        return squeezed("".join(_texts(self.items)))

    @property
    def call_id(self) -> str | None:
        """The id of its first call; None where it has none that the client knows by its id."""
        for item in open_calls(self.items):
            return str(item["ids"][0] if item["type"] == CLIENT_CALLS else item["call_id"])
        return None

    @property
    def has_text(self) -> bool:
        """Whether its text is known, and not the client's to say."""
        return all(item["type"] != CLIENT_TEXT for item in self.items)

    def encoded(self) -> bytes | None:
        """Bytes of which `decoded` makes the turn; None where it holds what no such bytes can say."""
        try:
            return msgspec.msgpack.encode(self)
        except (OverflowError, RecursionError, UnicodeError):
            return None

    @classmethod
    def decoded(cls, data: bytes) -> KeptTurn | None:
        """The turn, or None where the bytes are none of this form."""
        try:
            turn = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return turn if turn.form == FORM else None

    def key(self, tenant: bytes, since: bytes) -> bytes:
        """By what it is found; see `turn_key`.

        @param since: see `Before`.
        """
        call_id = self.call_id
        return _call_key(tenant, call_id, since) if call_id else _text_key(tenant, self.text, self.prefix)


_decode = msgspec.msgpack.Decoder(KeptTurn).decode


def turn_key(tenant: bytes, said: SaidTurn) -> bytes | None:
    """By what an assistant's turn of a history is found: the id of its first call and what was said since the user's
    last words, or else its text and all that was said before it.

    A call's id alone would not do: there are servers that count calls from 0 in every conversation.

    @return: None where it says nothing.
    """
    for call in said.calls:
        if call.id:
            return _call_key(tenant, call.id, said.before.since)
    return _text_key(tenant, said.text, said.before.prefix) if said.text else None


def _call_key(tenant: bytes, call_id: str, since: bytes) -> bytes:
    return _key(tenant, b"call", since, call_id.encode("utf-8", "surrogatepass"))


def _text_key(tenant: bytes, text: str, prefix: bytes) -> bytes:
    return _key(tenant, b"text", prefix, text.encode("utf-8", "surrogatepass"))


def _key(tenant: bytes, *parts: bytes) -> bytes:
    digest = hashlib.blake2b(tenant, digest_size=DIGEST, person=b"oaiproxy turn")
    for part in parts:
        digest.update(b"%d:%b" % (len(part), part))
    return b"turn:" + digest.hexdigest().encode()


def open_calls(items: Sequence[Item]) -> list[Item]:
    """The calls that the client has to answer: those of the proxy's own tools have their results in the turn."""
    answered = {item.get("call_id") for item in items if item["type"].endswith("_call_output")}
    return [
        item
        for item in items
        if item["type"] == CLIENT_CALLS or (item["type"] in PLAIN_CALLS and item["call_id"] not in answered)
    ]


def _is_worth_keeping(items: Sequence[Item]) -> bool:
    """Whether an answer holds what the client's own words will not say.

    @param items: its items (`kept_items`).
    """
    return any(item["type"] not in _ORDINARY or is_extraordinary(item) for item in items) or _is_several(items)


def kept_turn(items: list[Item], scope: Scope, prefix: bytes) -> KeptTurn | None:
    """A finished answer as a turn to keep.

    @param items: its items (`kept_items`).
    @param prefix: stands for the conversation that it answers.
    @return: None where the client's own words will do as well.
    """
    if not _is_worth_keeping(items):
        return None
    return KeptTurn(FORM, scope.account, scope.model, prefix, items)


def says_more(slots: Iterable[Slot]) -> bool:
    """Whether there is more in a finished response than one message's text, which its client sends back anyway.

    Most answers are no more than that; this is soon found out.
    """
    return any(
        number or slot.kind is not Kind.MESSAGE or (slot.item is not None and "phase" in slot.item)
        for number, slot in enumerate(slots)
    )


def kept_items(slots: Iterable[Slot]) -> list[Item] | None:
    """What is kept of a finished response.

    @param slots: its items, with what became of them.
    @return: None where it is not whole.
    """
    known = list(slots)
    if all(slot.index is not None for slot in known):
        known.sort(key=lambda slot: slot.index or 0)
    items: list[Item] = []
    whole = any(map(_is_open, known))
    for slot in known:
        found = _kept_item(slot, whole)
        if found is None:
            return None
        items += found
    return _without_idle_reasoning(items)


def is_extraordinary(item: Mapping[str, Any]) -> bool:
    """Whether an item says something that a chat message has no field for."""
    return any(name in item for name in _EXTRAORDINARY)


def _is_several(items: Sequence[Item]) -> bool:
    """Whether there are messages whose order among the items a chat message does not tell."""
    return len([item for item in items if item["type"] == "message"]) > 1


def _is_open(slot: Slot) -> bool:
    """Whether an item is reasoning in an open model's own words.

    Servers of such models encrypt nothing, and keep nothing; some of them demand of each item all that the schema does.
    """
    item = slot.item
    return slot.kind is Kind.REASONING and item is not None and bool(item.get("content")) and not _blob(item)


def _blob(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("encrypted_content"), str)


def _kept_item(slot: Slot, whole: bool) -> list[Item] | None:
    """What is kept of an item: nothing, one item, or what stands for the client's calls.

    @param whole: ids and status are kept.
    @return: None where the turn cannot be kept for it.
    """
    item = slot.item
    if item is None:
        # only pieces of it came; without thoughts a turn is whole, without its words it is not
        return [] if slot.kind is Kind.REASONING else None
    if slot.kind is Kind.REASONING:
        readable = _blob(item) or item.get("content")
        return [_cleaned(item, whole)] if readable and item.get("status") != "incomplete" else []
    if slot.kind is Kind.CALL:
        if item.get("status") == "incomplete" or slot.call is None:
            return None
        if slot.call.index is not None and isinstance(item.get("call_id"), str):
            return [_cleaned(item, whole)]
        return [_client_calls(slot.shown)] if slot.shown else None
    if place_of(item) is Place.LOCAL_CALL:
        # a call that nobody answers is refused
        return [_client_calls(slot.shown)] if slot.shown else ([] if "call_id" not in item else None)
    # the schema knows nothing else as input; an approval that was asked for cannot be given
    kind = item.get("type")
    known = isinstance(kind, str) and kind in ITEMS and place_of(item) is not Place.NOTICE
    return [_cleaned(item, whole)] if known else []


def _client_calls(ids: Sequence[str]) -> Item:
    return {"type": CLIENT_CALLS, "ids": list(ids)}


def _cleaned(item: Mapping[str, Any], whole: bool) -> Item:
    """An output item as an input item: without what only an answer has."""
    kind = item["type"]
    left_out = () if whole else ("id", "status") if kind in _WITHOUT_STATUS else ("id",)
    made = {key: value for key, value in item.items() if value is not None and key not in left_out}
    if kind == "message":
        made["role"] = "assistant"
        content = made.get("content")
        if isinstance(content, list):
            made["content"] = [_cleaned_part(part) for part in content if isinstance(part, dict)]
    elif kind == "reasoning":
        made.setdefault("summary", [])  # which upstream wants to see, even empty
    elif kind == "function_call" and not made.get("arguments"):
        made["arguments"] = "{}"
    return made


def _cleaned_part(part: Mapping[str, Any]) -> Item:
    # log probabilities are many times the text, and tell upstream nothing
    return {key: [] if key == "logprobs" else value for key, value in part.items() if value is not None}


def _without_idle_reasoning(items: list[Item]) -> list[Item]:
    """Without reasoning of which nothing came any more: what has to follow it is refused to be missing."""
    last_call = max((i for i, item in enumerate(items) if item["type"] in (*PLAIN_CALLS, CLIENT_CALLS)), default=-1)
    end = last_call + 1 if last_call >= 0 else len(items)
    kept = items[:end] + [item for item in items[end:] if item["type"] != "reasoning"]
    while kept and kept[-1]["type"] == "reasoning":
        kept.pop()
    return kept


def _texts(items: Iterable[Item]) -> Iterable[str]:
    for item in items:
        if item["type"] != "message":
            continue
        content = item.get("content")
        if isinstance(content, str):
            yield content
        for part in (each for each in content if isinstance(each, dict)) if isinstance(content, list) else ():
            text = part.get("refusal" if part.get("type") == "refusal" else "text")
            if isinstance(text, str):
                yield text
