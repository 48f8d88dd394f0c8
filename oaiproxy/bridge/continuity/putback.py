"""A kept turn in place of what was made of the client's words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from oaiproxy.bridge.continuity.turns import CLIENT_CALLS, CLIENT_TEXT, Item, open_calls
from oaiproxy.bridge.hybrid import NATIVE_CALLS


def put_back(made: Sequence[Item], kept: Sequence[Item]) -> list[Item] | None:
    """The items that go upstream for an assistant's message.

    @param made: what its translation made of it.
    @param kept: the items that upstream gave; the client's words agree with them.
    @return: None where `made` has to do: a call's id was used before, or its tool is of another kind now, and its
        result would go astray.
    """
    calls = iter([item for item in made if item.get("type") in NATIVE_CALLS])
    asked = {id(item) for item in open_calls(kept)}
    items: list[Item] = []
    for item in kept:
        if item["type"] == CLIENT_CALLS:
            items += islice(calls, len(item["ids"]))
        elif item["type"] == CLIENT_TEXT:
            items += [{**text, **item, "type": "message"} for text in made if text.get("role") == "assistant"]
        elif id(item) in asked:
            own = next(calls, None)
            if own is None or (own["type"], own["call_id"]) != (item["type"], item["call_id"]):
                return None
            items.append({**own, **item})
        else:
            items.append(item)
    # pictures are no item of the answer's that upstream takes
    items += (item for item in made if item.get("role") == "user")
    return items
