"""What the Responses API demands of reasoning that comes back, and of the items around it (bridge.md 6.1).

R3, R10 and R11 refuse nothing; what they mean for a request is in `tests.continuity.ledger`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oaiproxy.api.errors import BadRequest, NotFound
from tests.continuity.canonical import CALLS, OUTPUTS, Item, is_text, kind_of, made_by_model
from tests.continuity.ledger import Ledger, Made, Opens
from tests.continuity.sealing import Contents

#: Types of calls and outputs in words, as the errors have them.
_WORDS = {"function_call": "function call", "custom_tool_call": "custom tool call"}


def family_of(model: str) -> str:
    """The family of a model: ``gpt-5.1`` for ``gpt-5.1-2025-11-13`` and ``gpt-5.1-codex``."""
    found = re.match(r"gpt-oss|gpt-\d+(?:\.\d+)?|o\d+", model)
    return found[0] if found else model


def is_open(model: str) -> bool:
    """Whether a model shows its reasoning itself, and seals nothing."""
    return family_of(model) == "gpt-oss"


def renders_all_turns(model: str, context: object) -> bool:
    """Whether the model is shown the reasoning of all turns (R11).

    @param context: the request's ``reasoning.context``.
    @raise BadRequest: the model does not take it.
    """
    found = re.match(r"gpt-(\d+)\.(\d+)", model)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if context == "all_turns" and version < (5, 4):
        raise BadRequest(
            f"Unsupported value: 'all_turns' is not supported with the '{model}' model. "
            "Supported values are: 'auto' and 'current_turn'.",
            param="reasoning.context",
            code="unsupported_value",
        )
    return version >= (5, 6) if context in (None, "auto") else context == "all_turns"


def check_chain(request: Mapping[str, Any]) -> None:
    """See that a request goes on with one thing only (R12).

    @raise BadRequest: it names two.
    """
    if request.get("conversation") is not None and request.get("previous_response_id") is not None:
        raise BadRequest(
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing "
            "one of: 'previous_response_id' or 'conversation'.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )


def check_reasoning_fields(items: Sequence[Item], model: str) -> None:
    """See that reasoning items have the fields that the API takes, and no others.

    @raise BadRequest: they have not.
    """
    for index, item in enumerate(items):
        if kind_of(item) != "reasoning":
            continue
        where = f"input[{index}]"
        if "summary" not in item:  # R9
            raise BadRequest(
                f"Missing required parameter: '{where}.summary'.",
                param=f"{where}.summary",
                code="missing_required_parameter",
            )
        if "status" in item:
            # openai/openai-python#3008
            raise BadRequest(f"Unknown parameter: '{where}.status'.", param=f"{where}.status", code="unknown_parameter")
        content = item.get("content") or ()
        if is_open(model):
            continue
        if content:
            raise BadRequest(
                f"Invalid '{where}.content': array too long. Expected an array with maximum length 0, but got an "
                f"array with length {len(content)} instead.",
                param=f"{where}.content",
                code="array_above_max_length",
            )
        if item.get("id") is None and item.get("encrypted_content") is None:
            raise BadRequest(
                f"Missing required parameter: '{where}.id'.", param=f"{where}.id", code="missing_required_parameter"
            )


def opened(items: Sequence[Item], opens: Opens, account: str, family: str) -> list[Contents | None]:
    """What is sealed in each of the items (R5, R8).

    @raise BadRequest: one is damaged, or another account's or family's.
    """
    return [_opened(item, opens, account, family) for item in items]


def _opened(item: Item, opens: Opens, account: str, family: str) -> Contents | None:
    blob = item.get("encrypted_content")
    if kind_of(item) != "reasoning" or blob is None:
        return None
    contents = opens(blob)
    if contents is None:
        raise _unverified(item, "Encrypted content could not be decrypted or parsed.")
    if contents.account != account:
        raise _unverified(item, "Encrypted content organization_id did not match the target organization.")
    if contents.family != family:
        raise _unverified(item, "Encrypted content could not be decrypted or parsed.")
    if item.get("id") not in (None, contents.item_id):
        raise _unverified(item, "Encrypted content item_id did not match the target item id.")
    return contents


def _unverified(item: Item, reason: str) -> BadRequest:
    blob, item_id = str(item["encrypted_content"]), item.get("id")
    named = f"for item {item_id}" if item_id is not None else f"{blob[:4]}...{blob[-4:]}"
    return BadRequest(
        f"The encrypted content {named} could not be verified. Reason: {reason}", code="invalid_encrypted_content"
    )


def check_known(items: Sequence[Item], ledger: Ledger, account: str, stored: bool) -> None:
    """See that what is only named is there (R4).

    @param stored: the request says ``store``.
    @raise NotFound: it is not.
    """
    for item in items:
        kind, item_id = kind_of(item), item.get("id")
        # servers of open models, which say what they thought, look nothing up
        says = item.get("encrypted_content") is not None or item.get("content")
        named = kind == "item_reference" or (kind == "reasoning" and not says)
        if not named or item_id is None:
            continue
        made = ledger.made(item_id)
        if made is None or not made.stored or made.account != account:
            hint = "" if stored else " Items are not persisted when `store` is set to false."
            raise NotFound(f"Item with id '{item_id}' not found.{hint}", param="input")


def check_once(conversation: Sequence[Item], sealed: Sequence[Contents | None]) -> None:
    """See that no item comes twice, be it in the chain and again in the input (R7, R12).

    @raise BadRequest: one does.
    """
    seen: set[str] = set()
    for item, contents in zip(conversation, sealed, strict=True):
        names = {str(item["id"])} if item.get("id") is not None else set[str]()
        if contents is not None:
            names.add(contents.item_id)
        if kind_of(item) in CALLS or kind_of(item) in OUTPUTS:
            names.add(f"{kind_of(item)} {item.get('call_id')}")
        for name in sorted(names & seen):
            raise BadRequest(
                f"Duplicate item found with id {name.split(' ')[-1]}. Remove duplicate items from your input and try "
                "again.",
                param="input",
            )
        seen |= names


def check_pairs(conversation: Sequence[Item]) -> None:
    """See that each call has its output and each output its call, the call first.

    @raise BadRequest: one has not.
    """
    open_calls: dict[tuple[str, object], None] = {}
    known: set[tuple[str, object]] = set()
    for item in conversation:
        kind, call_id = kind_of(item), item.get("call_id")
        if kind in CALLS:
            open_calls[kind, call_id] = None
            known.add((kind, call_id))
        elif kind in OUTPUTS:
            if (OUTPUTS[kind], call_id) not in known:
                words = _WORDS[OUTPUTS[kind]]
                raise BadRequest(f"No tool call found for {words} output with call_id {call_id}.", param="input")
            open_calls.pop((OUTPUTS[kind], call_id), None)
    for kind, call_id in open_calls:
        raise BadRequest(f"No tool output found for {_WORDS[kind]} {call_id}.", param="input")


def check_places(conversation: Sequence[Item], sealed: Sequence[Contents | None], ledger: Ledger, own: int = 0) -> None:
    """See that reasoning stands before what it led to (R1, R13), and that what it led to stands behind it (R2).

    @param own: from which item on the request says it itself, and does not go on with what is stored.
    @raise BadRequest: it does not.
    """
    before: set[str] = set()
    for index, (item, contents) in enumerate(zip(conversation, sealed, strict=True)):
        if kind_of(item) == "reasoning":
            item_id = contents.item_id if contents is not None else str(item.get("id"))
            before.add(item_id)
            following = conversation[index + 1] if index + 1 < len(conversation) else None
            if index >= own and (not _leads_to(item, following, ledger) or _behind_the_calls(conversation, index)):
                raise BadRequest(
                    f"Item '{item_id}' of type 'reasoning' was provided without its required following item.",
                    param="input",
                )
            continue
        made = ledger.made(item.get("id")) if index >= own else None
        if made is not None and made.reasoning is not None and made.reasoning not in before:
            raise BadRequest(
                f"Item '{item['id']}' of type '{kind_of(item)}' was provided without its required 'reasoning' item: "
                f"'{made.reasoning}'.",
                param="input",
            )


def _leads_to(reasoning: Item, following: Item | None, ledger: Ledger) -> bool:
    """Whether what follows a reasoning item is what may: what it led to, where it comes with its id."""
    if following is None or not made_by_model(following):
        return False
    made: Made | None = ledger.made(reasoning.get("id"))
    if made is None:
        return True
    expected = made.following
    if expected is None or kind_of(expected) != kind_of(following) or is_text(expected) != is_text(following):
        return False
    names = ("id", "call_id")
    return all(following.get(name) in (None, expected.get(name)) for name in names)


def _behind_the_calls(conversation: Sequence[Item], index: int) -> bool:
    """Whether an item stands behind the last call of its turn."""
    return any(kind_of(item) in CALLS for item in _backwards(conversation, index)) and not any(
        kind_of(item) in CALLS for item in _forwards(conversation, index)
    )


def _backwards(conversation: Sequence[Item], index: int) -> Iterator[Item]:
    while index > 0 and made_by_model(conversation[index - 1]):
        index -= 1
        yield conversation[index]


def _forwards(conversation: Sequence[Item], index: int) -> Iterator[Item]:
    while index + 1 < len(conversation) and made_by_model(conversation[index + 1]):
        index += 1
        yield conversation[index]
