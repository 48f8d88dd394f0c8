"""What passes from the request half of the bridge to its answer half."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.notes import Note
from oaiproxy.api.request import JsonObject


class AnswerPlan(msgspec.Struct, frozen=True):
    """What a chat request said about how its answer has to look.

    @ivar stream: the client wants chunks, not one completion.
    @ivar include_usage: the client wants the usage chunk at the end of a stream.
    @ivar legacy_functions: the client speaks ``functions``/``function_call``, so a call is answered in that form.
    @ivar functions: names of the function tools that the client declared (as it wrote them).
    @ivar custom_tools: names of the custom (free-form) tools that the client declared in Chat's form.
    @ivar hosted_tools: types of the hosted tools that the client itself asked for (``local_shell``, ``computer``, ...).
    @ivar names: upstream's name of a tool -> the client's, for those names that upstream would not have taken.
    @ivar logprobs: the client asked for log probabilities.
    @ivar stop: the text ends before the first of these; upstream knows nothing of them.
    @ivar reasoning_field: where reasoning summaries go.
    @ivar max_tokens_field: the field in which the client named its token limit, so that an upstream's complaint about
        ``max_output_tokens`` names that one.
    @ivar choices: how many answers the client wants; each is a request of its own.
    @ivar model: the model that was asked for upstream; it stands in an answer where the upstream does not say its own.
    @ivar created: Unix time in seconds, in an answer where the upstream does not say it.
    @ivar keep: is given the items of a finished answer (`oaiproxy.bridge.slots.Slots`), and returns what the client is
        to carry of them.
    """

    stream: bool = False
    include_usage: bool = False
    legacy_functions: bool = False
    functions: frozenset[str] = frozenset()
    custom_tools: frozenset[str] = frozenset()
    hosted_tools: frozenset[str] = frozenset()
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    logprobs: bool = False
    stop: tuple[str, ...] = ()
    reasoning_field: ReasoningField = ReasoningField.REASONING_CONTENT
    max_tokens_field: str = "max_completion_tokens"
    choices: int = 1
    model: str = ""
    created: int = 0
    keep: Callable[[Any], list[JsonObject]] | None = None

    @property
    def asks_stream(self) -> bool:
        """Whether upstream is asked for a stream: also for a client that wants none, where the answer may have to be
        cut short."""
        return self.stream or bool(self.stop)


class Translation(msgspec.Struct, frozen=True):
    """A chat request, translated.

    @ivar body: the JSON bytes of the Responses request; the same history always gives the same bytes.
    @ivar plan: how the answer has to look.
    @ivar notes: what was dropped or changed.
    """

    body: bytes
    plan: AnswerPlan
    notes: tuple[Note, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the notes, for the ``x-oaiproxy-warning`` response header."""
        return tuple(note.text for note in self.notes)
