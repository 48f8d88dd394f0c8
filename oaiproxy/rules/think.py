"""Think tags: what is done with a model's thoughts where its server leaves them in the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from oaiproxy.rules.patterns import best_match


class ThinkMode(str, Enum):
    """What is done with the blocks."""

    OFF = "off"
    REMOVE = "remove"
    MOVE = "move"  # into ``reasoning_content``


@dataclass(frozen=True, slots=True)
class ThinkRules:
    """How thoughts are told from the answer.

    @ivar mode: what is done with them.
    @ivar start: the tag that begins a block.
    @ivar end: the tag that ends it.
    @ivar opened: the prompt ends with the start tag already, so that answers begin inside a block (as the chat
        templates of DeepSeek-R1 and QwQ have it).
    """

    mode: ThinkMode = ThinkMode.OFF
    start: str = "<think>"
    end: str = "</think>"
    opened: bool = False

    def __post_init__(self) -> None:
        if not self.start or not self.end:
            raise ValueError("a think tag must not be empty")


@dataclass(frozen=True, slots=True)
class ThinkBook:
    """The think rules of a port.

    @ivar everywhere: the rules for all models.
    @ivar models: pattern (a model's name or a glob) and rules; an exact name comes before a glob, a longer glob before
        a shorter, and of two that are as long the first.
    @ivar unnamed: the rules for requests that name no model, or None where those are as for all.
    @ivar on: whether anything is done with anyone's thoughts.
    """

    everywhere: ThinkRules = field(default_factory=ThinkRules)
    models: tuple[tuple[str, ThinkRules], ...] = ()
    unnamed: ThinkRules | None = None
    on: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = (self.everywhere, self.unnamed, *(rules for _, rules in self.models))
        on = any(each is not None and each.mode is not ThinkMode.OFF for each in rules)
        object.__setattr__(self, "on", on)  # for good, and not for every request

    def rules_for(self, named: str | None, sent: str | None = None) -> ThinkRules:
        """The rules for a request.

        @param named: the model as the client names it, or None.
        @param sent: what it is called upstream, or None where nobody knows.
        """
        if not self.on:
            return self.everywhere
        names = [name for name in (named, sent) if name is not None]
        found = best_match([pattern for pattern, _ in self.models], names)
        if found is not None:
            return self.models[found][1]
        return self.everywhere if named is not None or self.unnamed is None else self.unnamed
