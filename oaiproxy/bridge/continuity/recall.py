"""Which kept turns go back into a history: those with which the client's words still agree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from oaiproxy.api.errors import ApiError, UpstreamError
from oaiproxy.bridge.continuity.conversation import Conversation, SaidCall, SaidTurn, canonical
from oaiproxy.bridge.continuity.turns import CLIENT_CALLS, Item, KeptTurn, Scope, open_calls
from oaiproxy.bridge.names import ToolNames

#: The statuses with which an upstream refuses items of the input.
_REFUSALS = frozenset({400, 404, 422})

#: Its words, where the reason may be an item that the client knows nothing of (bridge.md 6.1, R1 to R9).
_BLAMES = re.compile(
    r"reasoning|encrypted|\bitems?\b|\binput\b|could not be verified|web_search|_call\b|phase|namespace|tool output",
    re.IGNORECASE,
)


class Recalled(msgspec.Struct, frozen=True):
    """What goes back into a history.

    @ivar turns: the index of an assistant's message -> the items in its place.
    @ivar asked: how many turns of the assistant's the history has.
    """

    turns: Mapping[int, Sequence[Item]]
    asked: int = 0


#: Nothing goes back.
NOTHING = Recalled({})


def recall(conversation: Conversation, found: Mapping[int, KeptTurn], scope: Scope) -> Recalled:
    """Choose what goes back.

    From the first turn on that the client has changed, a turn goes back only where all that was said before it is as it
    was when the turn was made: the models drop reasoning whose prefix has changed (R10).  What another account or
    another model thought cannot be read; the rest of such a turn goes back.

    @param conversation: the history.
    @param found: the index of an assistant's message -> what is kept of it.
    @param scope: whose request it is, and for which model.
    """
    turns: dict[int, Sequence[Item]] = {}
    used: set[object] = set()
    changed = False
    for said in conversation.turns:
        kept = found.get(said.index)
        if kept is None:
            continue
        if not agrees(said, kept):
            changed = True
            continue
        # upstream refuses reasoning that comes twice (R7), as it does where a client has doubled what it carries
        thoughts = [blob for item in kept.items if isinstance(blob := item.get("encrypted_content"), str)]
        if not used.isdisjoint(thoughts) or (changed and kept.prefix != said.before.prefix):
            continue
        used.update(thoughts)
        readable = kept.account == scope.account and kept.model == scope.model
        turns[said.index] = kept.items if readable else [item for item in kept.items if item["type"] != "reasoning"]
    return Recalled(turns, len(conversation.turns))


def agrees(said: SaidTurn, kept: KeptTurn) -> bool:
    """Whether a client's message says what the kept turn says.

    Its calls have to be the same ones.  Its text may be missing where there are calls: many clients drop it then.
    """
    calls, asked = list(said.calls), open_calls(kept.items)
    for item in asked:
        if item["type"] == CLIENT_CALLS:
            count = len(item["ids"])
            if [call.id for call in calls[:count]] != item["ids"]:
                return False
            del calls[:count]
        elif not (calls and _is_call(calls.pop(0), item)):
            return False
    return not calls and (bool(asked and not said.text) or not kept.has_text or said.text == kept.text)


def _is_call(said: SaidCall, item: Item) -> bool:
    if said.id != item["call_id"] or (
        item.get("name") != said.name and ToolNames().upstream(said.name) != item.get("name")
    ):
        return False
    if item["type"] == "function_call":
        kept = item.get("arguments")  # what a client carries may lack them
        return said.content == kept or (isinstance(kept, str) and canonical(said.content) == canonical(kept))
    # free text, or what a client has of it that keeps all calls in one form
    return said.content == item.get("input") or canonical(said.content) == canonical(
        msgspec.json.encode({"input": item.get("input")}).decode()
    )


#: Of those, where it is just these items that are refused, and not all of their kind.
_THESE = re.compile(
    r"could not be verified|invalid_encrypted_content|not found|required following|required 'reasoning'|duplicate item",
    re.IGNORECASE,
)


def blames_these(error: ApiError) -> bool:
    """Whether a refusal is of just these items: others like them may be taken."""
    return _THESE.search(f"{error.code or ''}\n{error.message}") is not None


def blames_recall(error: ApiError) -> bool:
    """Whether an upstream's refusal may be due to what was put back into the history."""
    if not isinstance(error, UpstreamError) or error.status not in _REFUSALS:
        return False
    param = error.upstream_param or ""
    return not param.startswith("include") and bool(_BLAMES.search(f"{param}\n{error.code or ''}\n{error.message}"))
