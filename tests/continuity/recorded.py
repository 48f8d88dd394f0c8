"""Recorded conversations of several turns: what a chat client would have had of them, and what was really sent on.

The recordings are third-party data and stand beside the checkout; without them there is nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.bridge.test_recordings import RECORDINGS, Case, cases, final_of
from tests.continuity.canonical import CALLS, OUTPUTS, Item, canonical, is_text, kind_of, made_by_model, text_of
from tests.continuity.chatclient import ChatClient, Message
from tests.continuity.upstream import Answer


@dataclass
class RecordedUpstream:
    """Gives recorded answers, one a request, and keeps what it was asked.

    @ivar answers: what it has still to give; the last one again and again.
    @ivar bodies: the requests, as JSON values.
    """

    answers: list[bytes]
    bodies: list[Any] = field(default_factory=list)

    def answer(self, body: bytes, account: str) -> Answer:
        """Give the next answer."""
        self.bodies.append(json.loads(body))
        return Answer(200, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    @property
    def input(self) -> list[Item]:
        """The items of the last request."""
        items: list[Item] = self.bodies[-1]["input"]
        return items


@dataclass(frozen=True)
class FollowUp:
    """A recorded request that goes on with what was answered before.

    @ivar name: the case, and the number of the request in it.
    @ivar client: a chat client with the first question.
    @ivar answers: the recorded answers before it.
    @ivar between: after each of them, what the client says to it: results of calls, questions.
    @ivar sent: the input that was really sent then.
    """

    name: str
    client: ChatClient
    answers: Sequence[bytes]
    between: Sequence[Sequence[Message]]
    sent: Sequence[Item]


def follow_ups() -> list[FollowUp]:
    """All recorded requests that send back what was answered before them.

    @raise SkipTest: there are none.
    """
    found: list[FollowUp] = []
    for folder in sorted(RECORDINGS.iterdir()) if RECORDINGS.exists() else ():
        meta = folder / "meta.json"
        if meta.exists() and json.loads(meta.read_text())["api"] == "responses":
            exchanges = sorted(path for path in folder.iterdir() if (path / "request.json").exists())
            found += _follow_ups(folder.name, exchanges)
    if not found:
        raise SkipTest("../shared/recordings is absent")
    return found


def _follow_ups(name: str, exchanges: Sequence[Path]) -> Iterator[FollowUp]:
    requests = [json.loads((path / "request.json").read_text()) for path in exchanges]
    answers = [_answer(path) for path in exchanges]
    for count in range(1, len(requests)):
        first, now = requests[0], requests[count]
        chained = any(request.get("previous_response_id") for request in requests[: count + 1])
        between = [] if chained else [_new(before, after) for before, after in pairwise(requests[: count + 1])]
        if chained or not all(between) or not isinstance(now["input"], list):
            continue
        client = ChatClient(
            tuple(_message(item) for item in first["input"]),
            first["model"],
            [_tool(tool) for tool in first.get("tools") or () if tool["type"] in ("function", "custom")],
            searches=any(str(tool["type"]).startswith("web_search") for tool in first.get("tools") or ()),
        )
        yield FollowUp(f"{name}/{exchanges[count].name}", client, answers[:count], between, now["input"])


def _answer(path: Path) -> bytes:
    stream = path / "response.sse"
    return (stream if stream.exists() else path / "response.json").read_bytes()


def _new(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Message]:
    """What a request says that the one before it did not, but for the model's own words.

    @return: nothing where it does not begin with what that one said.
    """
    old, items = before["input"], after["input"]
    if not isinstance(old, list) or not isinstance(items, list) or items[: len(old)] != old or len(items) == len(old):
        return []
    rest = items[len(old) :]
    if not made_by_model(rest[0]):
        return []
    return [_message(item) for item in rest if not made_by_model(item)]


def _message(item: Item) -> Message:
    """An item that is not the model's, as a chat message."""
    if kind_of(item) in OUTPUTS:
        return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
    content = item["content"]
    return {"role": item["role"], "content": content if isinstance(content, str) else text_of(item)}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = tool["type"]
    return {"type": kind, kind: {name: value for name, value in tool.items() if name != "type" and value is not None}}


# ---------------------------------------------------------------- single answers


def answered() -> list[Case]:
    """All recorded answers that are whole.

    @raise SkipTest: there are none.
    """
    return [case for case in cases() if case.final is not None and case.final["status"] == "completed"]


def asking(case: Case) -> ChatClient:
    """A chat client that could have got a recorded answer."""
    assert case.final is not None
    made = {item["name"]: item["type"] for item in case.final["output"] if item["type"] in CALLS}
    declared = [_tool(tool) for tool in case.final.get("tools") or () if tool["type"] in ("function", "custom")]
    known = {tool[tool["type"]]["name"] for tool in declared}
    declared += [
        {"type": kind, kind: {"name": name}}
        for name, type_ in sorted(made.items())
        for kind in ["function" if type_ == "function_call" else "custom"]
        if name not in known
    ]
    return ChatClient(model=case.final["model"], tools=declared, searches=False).says("Hello")


def as_said(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Items as they are compared with what other clients sent: arguments as values, and no empty messages."""
    found = []
    for item in items:
        value = canonical(item)
        if is_text(item) and not text_of(item):
            continue
        if value["type"] == "function_call":
            value["arguments"] = json.loads(value["arguments"])
        found.append(value)
    return found


def final_items(answer: bytes) -> list[Item]:
    """The output items of a recorded answer; those of a stream as their ``response.output_item.done`` has them."""
    final = json.loads(answer) if answer.lstrip()[:1] == b"{" else final_of(answer)
    items: list[Item] = (final or {}).get("output") or []
    return items
