"""The Responses request in the making, which the steps of the translation share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from oaiproxy.api.chat import ReasoningField
from oaiproxy.bridge.names import ToolNames
from oaiproxy.bridge.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oaiproxy.models import Capabilities

_T = TypeVar("_T")


class Draft(msgspec.Struct):
    """A chat request, and what has been made of it so far.

    @ivar given: the client's body; shared, not to be changed.
    @ivar added: the top-level fields in it that the proxy put there; no warning tells the client of those.
    @ivar leave_out: the fields of the translated request that must not be added where the client has not named them.
    @ivar capabilities: what the model can do.
    @ivar reasoning_field: where the answer shows reasoning summaries.
    @ivar empty_messages: messages without content are left out.
    @ivar body: the Responses request, field by field, in no order.
    @ivar notes: collects warnings.
    @ivar names: the request's tool names.
    @ivar effort: the effort at which the model will reason; ``none`` if it will not, None if nobody knows.
    @ivar functions: names of the function tools that the client declares.
    @ivar custom_tools: names of the custom tools that the client declares.
    @ivar hosted_tools: types of the hosted tools that the client itself asks for.
    @ivar legacy_functions: the client speaks ``functions`` rather than ``tools``.
    @ivar logprobs: the answer has to have log probabilities.
    @ivar max_tokens_field: the name under which the client set a limit on tokens.
    @ivar stop: the client's stop sequences.
    @ivar kept: what goes back in place of assistant messages; None where no turns are kept.
    @ivar choices: how many answers the client wants.
    @ivar stream: the client wants chunks.
    @ivar include_usage: the client wants the usage chunk.
    """

    given: Mapping[str, Any]
    added: frozenset[str]
    capabilities: Capabilities
    reasoning_field: ReasoningField = ReasoningField.REASONING_CONTENT
    empty_messages: bool = False
    body: dict[str, Any] = msgspec.field(default_factory=dict)
    notes: Notes = msgspec.field(default_factory=Notes)
    names: ToolNames = msgspec.field(default_factory=ToolNames)
    effort: str | None = None
    functions: frozenset[str] = frozenset()
    custom_tools: frozenset[str] = frozenset()
    hosted_tools: frozenset[str] = frozenset()
    legacy_functions: bool = False
    logprobs: bool = False
    max_tokens_field: str = "max_completion_tokens"
    leave_out: frozenset[str] = frozenset()
    stop: tuple[str, ...] = ()
    kept: Mapping[int, Sequence[dict[str, Any]]] | None = None
    choices: int = 1
    stream: bool = False
    include_usage: bool = False

    def read(self, name: str, check: Callable[[Any, str], _T]) -> _T | None:
        """The client's top-level field `name`, or None where it is absent or null.

        @param check: one of `oaiproxy.bridge.checks`.
        @raise BadRequest: it is of the wrong type.
        """
        value = self.given.get(name)
        return None if value is None else check(value, name)

    def by_client(self, name: str) -> bool:
        """Whether the client itself sent the field."""
        return self.given.get(name) is not None and name not in self.added

    def dropped(self, name: str, why: str) -> None:
        """Tell the client that its field was left out; nobody is told of what the proxy had added."""
        if self.by_client(name):
            self.notes.dropped(name, why)
