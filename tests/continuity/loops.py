"""Conversations that a test makes up: what the model says at each step, how it is asked, and what the client does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.continuity.bridge import KEY, Bridge, Heard
from tests.continuity.chatclient import ChatClient
from tests.continuity.misbehaviour import MISBEHAVIOURS
from tests.continuity.turns import ODD_SHAPES, SHAPES, Play, Turn

#: All shapes of turns, by name.
ALL_SHAPES: Mapping[str, Turn] = {**SHAPES, **ODD_SHAPES}

#: The keys that clients of made-up conversations may use; see `ACCOUNTS`.
KEYS = (KEY, "sk-two", "sk-three")

#: Key -> upstream's account: two clients may share one.
ACCOUNTS: Mapping[str, str] = {KEY: "acme", "sk-two": "umbrella", "sk-three": "acme"}

#: Changes after which it still says the same.
HARMLESS = tuple(name for name, known in MISBEHAVIOURS.items() if known.harmless)


@dataclass(frozen=True)
class Step:
    """One turn of a conversation.

    @ivar shape: the name of what the model says.
    @ivar stream: whether it is asked for a stream.
    @ivar changes: what the client does to its history before it asks: names of misbehaviours, each with where.
    @ivar key: the client's key.
    @ivar choices: how many choices it asks for; it goes on with the last.
    """

    shape: str
    stream: bool = False
    changes: tuple[tuple[str, int], ...] = ()
    key: str = KEY
    choices: int = 1


def steps(*shapes: str, stream: bool = False) -> list[Step]:
    """Steps without anything odd."""
    return [Step(shape, stream) for shape in shapes]


def play(conversation: Sequence[Step]) -> Play:
    """What the model says in a conversation."""
    return Play([ALL_SHAPES[step.shape] for step in conversation])


def begun(**settings: Any) -> ChatClient:
    """A chat client that has asked its first question.

    @param settings: fields of the client.
    """
    return ChatClient(**settings).says("Be brief.", "system").says("What is new?")


def converse(
    bridge: Bridge, conversation: Sequence[Step], client: ChatClient | None = None
) -> Iterator[tuple[Step, Heard, ChatClient]]:
    """Let a chat client go through a conversation.

    @param client: the client; its first question is asked.
    @return: for each step, what was heard, and the client with it in its history.
    """
    client = client or begun()
    for step in conversation:
        for name, at in step.changes:
            client = MISBEHAVIOURS[name].change(client, at)
        more = {"n": step.choices} if step.choices > 1 else {}
        heard = bridge.chat(client.request(stream=step.stream, **more), step.key)
        if heard.status == 200 and heard.whole:
            client = client.hears(heard.body, step.choices - 1)
        yield step, heard, client
        client = client.goes_on()


def faithful(least: int = 2, most: int = 7) -> st.SearchStrategy[list[Step]]:
    """Conversations of clients that send back what they were told, but for the reasoning."""
    step = st.builds(Step, st.sampled_from(sorted(SHAPES)), st.booleans())
    return st.lists(step, min_size=least, max_size=most)


#: Shapes of turns that hold reasoning: others are not kept, so that what a client writes anew in them stays as it wrote
#: it, and is another prefix.
THOUGHTFUL = tuple(name for name, turn in SHAPES.items() if turn != turn.without_thoughts())


def harmless(least: int = 2, most: int = 6) -> st.SearchStrategy[list[Step]]:
    """Conversations of clients that write their history in other ways, without changing what it says."""
    changes = st.lists(st.tuples(st.sampled_from(HARMLESS), st.integers(0, 7)), max_size=2).map(tuple)
    step = st.builds(Step, st.sampled_from(sorted(THOUGHTFUL)), st.booleans(), changes)
    return st.lists(step, min_size=least, max_size=most)


def unruly(least: int = 2, most: int = 8) -> st.SearchStrategy[list[Step]]:
    """Conversations of clients that do anything to their history, change models and keys, and are told odd things."""
    changes = st.lists(st.tuples(st.sampled_from(sorted(MISBEHAVIOURS)), st.integers(0, 7)), max_size=3).map(tuple)
    # who shares an account with another client must not get what is the other's: that is no loss, and has its own test
    keys = st.sampled_from(KEYS[:2])
    step = st.builds(Step, st.sampled_from(sorted(ALL_SHAPES)), st.booleans(), changes, keys, st.integers(1, 2))
    return st.lists(step, min_size=least, max_size=most)
