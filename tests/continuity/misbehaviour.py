"""What chat clients do to their history, on purpose or not: each a function from a client to a client.

The second argument says where: it is counted round, so that any number finds a place where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tests.continuity.chatclient import ChatClient, Message

Change: TypeAlias = Callable[[ChatClient, int], ChatClient]


@dataclass(frozen=True)
class Misbehaviour:
    """Something that a client does to its history.

    @ivar change: does it.
    @ivar harmless: the history still says the same, so that all reasoning has its place in it.
    @ivar alike: upstream may see the same conversation in it, though the client says another: what was answered before
        the change need not be found by what now comes before it.
    """

    change: Change
    harmless: bool = False
    alike: bool = False


def composed(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def change(client: ChatClient, at: int) -> ChatClient:
        for one in changes:
            client = one(client, at)
        return client

    return change


# ---------------------------------------------------------------- places in a history


def _places(client: ChatClient, fits: Callable[[Message], object]) -> list[int]:
    return [index for index, message in enumerate(client.messages) if fits(message)]


def _is_text(message: Message) -> bool:
    return message["role"] == "assistant" and isinstance(message.get("content"), str) and bool(message["content"])


def _has_calls(message: Message) -> bool:
    return bool(message.get("tool_calls"))


def _at(client: ChatClient, at: int, fits: Callable[[Message], object]) -> int | None:
    places = _places(client, fits)
    return places[at % len(places)] if places else None


def _changed(client: ChatClient, index: int | None, *instead: Message, until: int | None = None) -> ChatClient:
    """The client with other messages in place of that at `index`, or of those from there to before `until`."""
    if index is None:
        return client
    messages = client.messages
    return replace(client, messages=(*messages[:index], *instead, *messages[until or index + 1 :]))


def _role(*roles: str) -> Callable[[Message], object]:
    return lambda message: message["role"] in roles


def _end_of_turn(client: ChatClient, index: int) -> int:
    """Where an assistant's message and the results of its calls end."""
    end = index + 1
    while end < len(client.messages) and client.messages[end]["role"] == "tool":
        end += 1
    return end


def _calls_changed(message: Message, change: Callable[[str], str]) -> Message:
    def one(call: Mapping[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        return {**call, "function": {**function, "arguments": change(function["arguments"])}} if function else {**call}

    return {**message, "tool_calls": [one(call) for call in message["tool_calls"]]}


# ---------------------------------------------------------------- the changes


def edits_text(client: ChatClient, at: int) -> ChatClient:
    """Edit an answer."""
    index = _at(client, at, _is_text)
    return client if index is None else _changed(client, index, {**client.messages[index], "content": "I never said."})


def edits_question(client: ChatClient, at: int) -> ChatClient:
    """Edit a question."""
    index = _at(client, at, _role("user"))
    return client if index is None else _changed(client, index, {**client.messages[index], "content": "And now?"})


def edits_result(client: ChatClient, at: int) -> ChatClient:
    """Edit what a tool said."""
    index = _at(client, at, _role("tool"))
    return client if index is None else _changed(client, index, {**client.messages[index], "content": "42"})


def spaces_arguments(client: ChatClient, at: int) -> ChatClient:
    """Write all arguments anew, as clients do that keep them parsed."""

    def spaced(arguments: str) -> str:
        return json.dumps(json.loads(arguments), indent=2)

    return replace(
        client,
        messages=tuple(
            _calls_changed(message, spaced) if _has_calls(message) else message for message in client.messages
        ),
    )


def edits_arguments(client: ChatClient, at: int) -> ChatClient:
    """Edit the arguments of a message's calls."""
    index = _at(client, at, _has_calls)
    if index is None:
        return client
    edited = _calls_changed(client.messages[index], lambda arguments: json.dumps({**json.loads(arguments), "c": 3}))
    return _changed(client, index, edited)


def renames_calls(client: ChatClient, at: int) -> ChatClient:
    """Give a message's calls other ids, and their results too."""
    index = _at(client, at, _has_calls)
    if index is None:
        return client
    ids = {call["id"]: f"mine_{n}_{at}" for n, call in enumerate(client.messages[index]["tool_calls"])}

    def renamed(message: Message) -> Message:
        if message.get("tool_call_id") in ids:
            return {**message, "tool_call_id": ids[message["tool_call_id"]]}
        calls = message.get("tool_calls")
        if not calls:
            return message
        return {**message, "tool_calls": [{**call, "id": ids.get(call["id"], call["id"])} for call in calls]}

    return replace(client, messages=tuple(renamed(message) for message in client.messages))


def _without_call(client: ChatClient, at: int, *, call: bool, result: bool) -> ChatClient:
    index = _at(client, at, _has_calls)
    if index is None:
        return client
    message = client.messages[index]
    gone = message["tool_calls"][at % len(message["tool_calls"])]
    left = [other for other in message["tool_calls"] if other is not gone]
    instead = {name: value for name, value in message.items() if name != "tool_calls"}
    if left:
        instead["tool_calls"] = left
    elif instead.get("content") is None:
        instead["content"] = ""
    found = _changed(client, index, instead) if call else client
    if not result:
        return found
    return replace(
        found, messages=tuple(one for one in found.messages if one.get("tool_call_id") != gone["id"] or _has_calls(one))
    )


def drops_call(client: ChatClient, at: int) -> ChatClient:
    """Drop a call and its result."""
    return _without_call(client, at, call=True, result=True)


def drops_call_alone(client: ChatClient, at: int) -> ChatClient:
    """Drop a call, and keep its result."""
    return _without_call(client, at, call=True, result=False)


def drops_result(client: ChatClient, at: int) -> ChatClient:
    """Drop the result of a call."""
    return _without_call(client, at, call=False, result=True)


def drops_turn(client: ChatClient, at: int) -> ChatClient:
    """Drop an answer, with the results of its calls."""
    index = _at(client, at, _role("assistant"))
    return client if index is None else _changed(client, index, until=_end_of_turn(client, index))


def doubles_turn(client: ChatClient, at: int) -> ChatClient:
    """Send an answer twice, with the results of its calls."""
    index = _at(client, at, _role("assistant"))
    if index is None:
        return client
    turn = client.messages[index : _end_of_turn(client, index)]
    return _changed(client, index, *turn, *turn, until=index + len(turn))


def reorders_turns(client: ChatClient, at: int) -> ChatClient:
    """Let an answer change places with the one before it, each with the results of its calls."""
    places = _places(client, _role("assistant"))
    if len(places) < 2:
        return client
    second = places[1:][at % (len(places) - 1)]
    first = places[places.index(second) - 1]
    after, end = _end_of_turn(client, first), _end_of_turn(client, second)
    messages = client.messages
    swapped = (*messages[second:end], *messages[after:second], *messages[first:after])
    return _changed(client, first, *swapped, until=end)


def reorders_results(client: ChatClient, at: int) -> ChatClient:
    """Give the results of an answer's calls in the opposite order."""
    index = _at(client, at, _has_calls)
    if index is None:
        return client
    end = _end_of_turn(client, index)
    return _changed(client, index, client.messages[index], *reversed(client.messages[index + 1 : end]), until=end)


def branches(client: ChatClient, at: int) -> ChatClient:
    """Go back to an answer, and ask something else."""
    index = _at(client, at, _role("assistant"))
    if index is None:
        return client
    end = _end_of_turn(client, index)
    return replace(client, messages=client.messages[:end]).says("What else?")


def asks_again(client: ChatClient, at: int) -> ChatClient:
    """Go back to a question, and have it answered anew."""
    index = _at(client, at, _role("user"))
    return client if index is None else replace(client, messages=client.messages[: index + 1])


def cuts_front(client: ChatClient, at: int) -> ChatClient:
    """Forget how it began, as clients do whose window is full."""
    return replace(client, messages=client.messages[1 + at % max(1, len(client.messages) - 1) :] or client.messages)


def trims_texts(client: ChatClient, at: int) -> ChatClient:
    """Take the space around all answers away."""
    return _texts(client, str.strip)


def pads_texts(client: ChatClient, at: int) -> ChatClient:
    """End all answers with a new line."""
    return _texts(client, lambda text: text + "\n")


def _texts(client: ChatClient, change: Callable[[str], str]) -> ChatClient:
    return replace(
        client,
        messages=tuple(
            {**message, "content": change(message["content"])} if _is_text(message) else message
            for message in client.messages
        ),
    )


def changes_system(client: ChatClient, at: int) -> ChatClient:
    """Say something else in the system message; begin to where there was none."""
    first: Message = {"role": "system", "content": f"It is {at} o'clock."}
    rest = [message for message in client.messages if message["role"] != "system"]
    return replace(client, messages=(first, *rest))


def _in_parts(client: ChatClient, role: str) -> ChatClient:
    def parts(message: Message) -> Message:
        if message["role"] != role or not isinstance(message.get("content"), str) or not message["content"]:
            return message
        return {**message, "content": [{"type": "text", "text": message["content"]}]}

    return replace(client, messages=tuple(parts(message) for message in client.messages))


def answers_in_parts(client: ChatClient, at: int) -> ChatClient:
    """Send answers as lists of parts."""
    return _in_parts(client, "assistant")


def questions_in_parts(client: ChatClient, at: int) -> ChatClient:
    """Send questions as lists of parts."""
    return _in_parts(client, "user")


def results_in_parts(client: ChatClient, at: int) -> ChatClient:
    """Send the results of calls as lists of parts."""
    return _in_parts(client, "tool")


def merges_answers(client: ChatClient, at: int) -> ChatClient:
    """Make one answer of two: the texts joined, and the calls; what was between them comes after."""
    places = _places(client, _role("assistant"))
    if len(places) < 2:
        return client
    first, second = next(iter(_pairs(places, at)))
    one, two = client.messages[first], client.messages[second]
    texts = [message["content"] for message in (one, two) if _is_text(message)]
    merged: Message = {"role": "assistant", "content": "\n".join(texts) or None}
    calls = [*(one.get("tool_calls") or ()), *(two.get("tool_calls") or ())]
    if calls:
        merged["tool_calls"] = calls
    elif merged["content"] is None:
        merged["content"] = ""
    return _changed(client, first, merged, *client.messages[first + 1 : second], until=second + 1)


def _pairs(places: list[int], at: int) -> Iterator[tuple[int, int]]:
    first = at % (len(places) - 1)
    yield places[first], places[first + 1]


def splits_answer(client: ChatClient, at: int) -> ChatClient:
    """Make two messages of an answer: its text, and its calls."""
    index = _at(client, at, lambda message: _is_text(message) and _has_calls(message))
    if index is None:
        return client
    message = client.messages[index]
    text = {"role": "assistant", "content": message["content"]}
    return _changed(client, index, text, {**message, "content": None})


def writes_answer(client: ChatClient, at: int) -> ChatClient:
    """Put an answer of its own into the history."""
    index = at % (len(client.messages) + 1)
    while 0 < index < len(client.messages) and client.messages[index]["role"] == "tool":
        index -= 1
    written: Message = {"role": "assistant", "content": "I say this myself."}
    return replace(client, messages=(*client.messages[:index], written, *client.messages[index:]))


def empties_answer(client: ChatClient, at: int) -> ChatClient:
    """Lose the text of an answer."""
    index = _at(client, at, _is_text)
    return client if index is None else _changed(client, index, {**client.messages[index], "content": ""})


def changes_nothing(client: ChatClient, at: int) -> ChatClient:
    """Ask the same as before, as a retry and a second tab do."""
    return client


def other_snapshot(client: ChatClient, at: int) -> ChatClient:
    """Ask another model of the family."""
    base = client.model.removesuffix("-2026-07-01")
    return replace(client, model=base if base != client.model else f"{base}-2026-07-01")


def other_family(client: ChatClient, at: int) -> ChatClient:
    """Ask a model of another family."""
    return replace(client, model=("gpt-5.1", "gpt-5.6", "o4-mini")[at % 3])


#: Everything, by name.
MISBEHAVIOURS: Mapping[str, Misbehaviour] = {
    "edits a text": Misbehaviour(edits_text),
    "edits a question": Misbehaviour(edits_question),
    "edits a result": Misbehaviour(edits_result),
    "spaces arguments": Misbehaviour(spaces_arguments, harmless=True),
    "edits arguments": Misbehaviour(edits_arguments),
    "renames calls": Misbehaviour(renames_calls),
    "drops a call": Misbehaviour(drops_call),
    "drops a call alone": Misbehaviour(drops_call_alone),
    "drops a result": Misbehaviour(drops_result),
    "drops a turn": Misbehaviour(drops_turn),
    "doubles a turn": Misbehaviour(doubles_turn),
    "reorders turns": Misbehaviour(reorders_turns),
    "reorders results": Misbehaviour(reorders_results),
    "branches": Misbehaviour(branches),
    "asks again": Misbehaviour(asks_again),
    "cuts the front": Misbehaviour(cuts_front),
    "trims texts": Misbehaviour(trims_texts, harmless=True),
    "pads texts": Misbehaviour(pads_texts, harmless=True),
    "changes the system message": Misbehaviour(changes_system),
    "answers in parts": Misbehaviour(answers_in_parts, harmless=True),
    "questions in parts": Misbehaviour(questions_in_parts),
    "results in parts": Misbehaviour(results_in_parts),
    "merges answers": Misbehaviour(merges_answers),
    "splits an answer": Misbehaviour(splits_answer, alike=True),
    "writes an answer": Misbehaviour(writes_answer),
    "empties an answer": Misbehaviour(empties_answer, alike=True),
    "changes nothing": Misbehaviour(changes_nothing, harmless=True),
    "other snapshot": Misbehaviour(other_snapshot),
    "other family": Misbehaviour(other_family),
}
