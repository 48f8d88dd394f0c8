"""What the upstream of these tests says: turns as values, and the shapes that turns of real models have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Thought:
    """A reasoning item.

    @ivar summary: the texts of its summary.
    @ivar text: the model's own words, which only open models show.
    @ivar sealed: it has encrypted content where the request asks for it.
    """

    summary: tuple[str, ...] = ("Hm.",)
    text: str = ""
    sealed: bool = True


@dataclass(frozen=True)
class Say:
    """A message.

    @ivar texts: its content parts.
    @ivar whole: the text is not cut off.
    """

    text: str
    phase: str | None = None
    whole: bool = True
    more: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text, *self.more)


@dataclass(frozen=True)
class Refuse:
    """A message that is a refusal."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of a function; `arguments` as the model writes them."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Custom:
    """A call of a custom tool."""

    name: str
    input: str


@dataclass(frozen=True)
class Search:
    """A web search that the upstream runs itself."""

    query: str
    action: str = "search"


Part: TypeAlias = Thought | Say | Refuse | Call | Custom | Search


class Ending(str, Enum):
    """How a response ends."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"  # the output tokens were used up
    FAILED = "failed"
    CUT = "cut"  # a stream is cut before its closing event; what does not stream fails


@dataclass(frozen=True)
class Turn:
    """What one response says."""

    parts: tuple[Part, ...]
    ending: Ending = Ending.COMPLETED

    def said_again(self, times: int) -> Turn:
        """The turn as a model would say it another time: its texts differ."""
        if not times:
            return self
        parts = (replace(part, text=f"{part.text} [{times}]") if isinstance(part, Say) else part for part in self.parts)
        return replace(self, parts=tuple(parts))

    def without_thoughts(self) -> Turn:
        """The turn as a model says it that does not reason."""
        return replace(self, parts=tuple(part for part in self.parts if not isinstance(part, Thought)))


@dataclass(frozen=True)
class Asked:
    """What a script knows of a request.

    @ivar rounds: how often the model has spoken in the conversation so far.
    @ivar again: how often the very same was asked before.
    @ivar model: the request's model.
    """

    rounds: int
    again: int
    model: str


@dataclass(frozen=True)
class Play:
    """A script: the turns of a conversation in their order, and one for everything after them.

    @ivar same_words: what is asked again gets the same words again.
    """

    turns: Sequence[Turn]
    last: Turn = Turn((Thought(), Say("That is all.")))
    same_words: bool = False

    def __call__(self, asked: Asked) -> Turn:
        turn = self.turns[asked.rounds] if asked.rounds < len(self.turns) else self.last
        return turn if self.same_words else turn.said_again(asked.again)


# the tools that the shapes use, as a chat client declares them
LOOK_UP: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a country up.",
        "parameters": {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]},
    },
}
ADD: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}
PATCH: Mapping[str, Any] = {"type": "custom", "custom": {"name": "patch", "description": "Applies a patch."}}
TOOLS: tuple[Mapping[str, Any], ...] = (LOOK_UP, ADD, PATCH)

_LOOK = Call("look_up", '{"country":"Pundora"}')
_ADD = Call("add", '{"a":1,"b":2}')
_PATCH = Custom("patch", "*** Begin Patch\n+ä\n*** End Patch")
_SEARCHES = tuple(
    part
    for n in range(6)
    for part in (Thought(()), Search(f"news {n}", ("search", "open_page", "find_in_page")[n % 3]))
)

#: Turns that end with calls, and turns that end with words, by name.
SHAPES: Mapping[str, Turn] = {
    "text": Turn((Thought(), Say("It is blue."))),
    "text without reasoning": Turn((Say("Yes."),)),
    "text with space around it": Turn((Thought(), Say("\n It is blue. \n"))),
    "text in two parts": Turn((Thought(), Say("It is ", more=("blue.",)))),
    "final answer": Turn((Thought(("One.", "Two.")), Say("It is green.", "final_answer"))),
    "several messages": Turn((Thought(), Say("First."), Thought(()), Say("Second."))),
    "commentary and answer": Turn((Thought(), Say("I look.", "commentary"), Thought(), Say("Done.", "final_answer"))),
    "refusal": Turn((Thought(), Refuse("I will not."))),
    "searches": Turn((*_SEARCHES, Thought(), Say("Here is the news."))),
    "call": Turn((Thought(), _LOOK)),
    "call without reasoning": Turn((_LOOK,)),
    "call without arguments": Turn((Thought(), Call("add", "{}"))),
    "parallel calls": Turn((Thought(), _LOOK, _ADD, Call("look_up", '{"country":"Elbonia"}'))),
    "the same call twice": Turn((Thought(), _ADD, _ADD)),
    "custom call": Turn((Thought(), _PATCH)),
    "calls of both kinds": Turn((Thought(), _PATCH, _LOOK)),
    "text and call": Turn((Thought(), Say("I look it up."), _LOOK)),
    "commentary and calls": Turn((Thought(), Say("I look.", "commentary"), Thought(()), _LOOK, _ADD)),
    "call between thoughts": Turn((Thought(("Two.",)), Thought(("Three.",)), _LOOK)),
    "thought before each call": Turn((Thought(), _LOOK, Thought(), _ADD)),
    "search and call": Turn((Thought(), Search("x"), Thought(()), _ADD)),
}

#: Shapes that end oddly: what of them may come back differs, and none of it may ever be refused.
ODD_SHAPES: Mapping[str, Turn] = {
    "text after a call": Turn((Thought(), _LOOK, Say("While you look."))),
    "thought after a call": Turn((Thought(), _LOOK, Thought(), Say("While you look."))),
    "thought at the end": Turn((Thought(), Say("Well."), Thought())),
    "nothing but a thought": Turn((Thought(),), Ending.INCOMPLETE),
    "cut text": Turn((Thought(), Say("It is bl", whole=False)), Ending.INCOMPLETE),
    "whole text, then cut": Turn((Thought(), Say("It is blue."), Thought()), Ending.INCOMPLETE),
    "not sealed": Turn((Thought(sealed=False), _LOOK)),
    "partly sealed": Turn((Thought(), Say("I look."), Thought(sealed=False), _LOOK)),
    "wrapped calls": Turn(
        (
            Thought(),
            Call(
                "parallel",
                '{"tool_uses":[{"recipient_name":"functions.look_up","parameters":{"country":"Pundora"}},'
                '{"recipient_name":"functions.add","parameters":{"a":1,"b":2}}]}',
            ),
        )
    ),
    "nothing at all": Turn(()),
}

#: Turns of open models: their reasoning is there to read, and nothing is sealed.
OPEN_SHAPES: Mapping[str, Turn] = {
    "open text": Turn((Thought((), "The user asks.", sealed=False), Say("It is blue."))),
    "open call": Turn((Thought((), "I have to look.", sealed=False), _LOOK)),
}
