"""Which tool result answers which tool call.

Chat lets a history be loose about it; Responses refuses a result without its call and a call without its result
("No tool call found for function call output", "No tool output found for function call").  The book below gives every
call the id that upstream gets and finds the call that a result belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from oaiproxy.bridge.names import digest, short_id


@dataclass(slots=True)
class Call:
    """A call in the history.

    @ivar client_id: its id as the client sent it; empty where it sent none.
    @ivar call_id: its id as upstream gets it; unique in the request.
    @ivar name: the tool's name in the client's words.
    @ivar custom: whether it is a call of a custom (free-form) tool.
    @ivar batch: the number of the assistant message that made it.
    @ivar answered: whether its result was found.
    """

    client_id: str
    call_id: str
    name: str
    custom: bool
    batch: int
    answered: bool = False

    @property
    def output_type(self) -> str:
        """The type of the item that answers it."""
        return "custom_tool_call_output" if self.custom else "function_call_output"


def made_up_id(position: int, index: int, name: str, arguments: str) -> str:
    """An id for a call that came without one, from where it stands and what it says.

    @param position: the index of its message.
    @param index: its own index in the message.
    """
    return "call_" + digest(str(position), str(index), name, arguments)[:40]


class _Batch:
    """Calls of one message, the first of which may be answered."""

    __slots__ = ("_calls", "_first", "number")

    def __init__(self, call: Call) -> None:
        self.number = call.batch
        self._calls = [call]
        self._first = 0  # all before it are answered

    def add(self, call: Call) -> None:
        self._calls.append(call)

    def open(self) -> Call | None:
        calls = self._calls
        while self._first < len(calls):
            call = calls[self._first]
            if not call.answered:
                return call
            self._first += 1
        return None


class _Waiting:
    """Calls that wait for a result, by the message that made them."""

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches: list[_Batch] = []

    def add(self, call: Call) -> None:
        if self._batches and self._batches[-1].number == call.batch:
            self._batches[-1].add(call)
        else:
            self._batches.append(_Batch(call))

    def first_of_newest(self) -> Call | None:
        """The first open call of the newest message that has one.

        Answered calls are passed over once, so that a long history takes no more than linear time.
        """
        while self._batches:
            found = self._batches[-1].open()
            if found is not None:
                return found
            self._batches.pop()
        return None


class CallBook:
    """The calls of a history, in order, and which of them wait for a result."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._taken: set[str] = set()
        self._next_number: dict[str, int] = {}
        self._waiting = _Waiting()
        self._by_id: dict[str, _Waiting] = {}
        self._by_name: dict[str, list[Call]] = {}

    @property
    def unanswered(self) -> list[Call]:
        """The calls that got no result, in order."""
        return [c for c in self._calls if not c.answered]

    def call(self, client_id: str, name: str, custom: bool, batch: int, own_id: str) -> Call:
        """Enter a call.

        An id that the history has used already gets a number, the same on the result that belongs to it.

        @param client_id: the client's id for it, or an empty string.
        @param batch: the number of its message; it only grows.
        @param own_id: the same, or one that was made up where there is none.
        """
        entry = Call(client_id, self._unique(short_id(own_id)), name, custom, batch)
        self._calls.append(entry)
        self._waiting.add(entry)
        self._by_id.setdefault(client_id, _Waiting()).add(entry)
        self._by_name.setdefault(name, []).append(entry)
        return entry

    def _unique(self, wanted: str) -> str:
        call_id = wanted
        while call_id in self._taken:
            number = self._next_number.get(wanted, 2)
            self._next_number[wanted] = number + 1
            call_id = short_id(f"{wanted}_{number}")
        self._taken.add(call_id)
        return call_id

    def answer(self, client_id: str) -> Call | None:
        """The call that a tool message answers, or None; it is answered from now on.

        With an id it is the newest message's first open call of that id.  Without one it is the oldest open call of the
        newest message that has any.
        """
        waiting = self._by_id.get(client_id) if client_id else self._waiting
        found = waiting.first_of_newest() if waiting else None
        if found:
            found.answered = True
        return found

    def answer_function(self, name: str) -> Call | None:
        """The call that a message of the deprecated role ``function`` answers: the nearest open one of that name."""
        calls = self._by_name.get(name, [])
        while calls:
            found = calls.pop()
            if not found.answered:
                found.answered = True
                return found
        return None
