"""Think tags: what is done with a model's thoughts where its server leaves them in the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


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
    """

    mode: ThinkMode = ThinkMode.OFF
    start: str = "<think>"
    end: str = "</think>"


@dataclass(frozen=True, slots=True)
class ThinkBook:
    """The think rules of a port.

    @ivar everywhere: the rules for all models.
    @ivar models: pattern (a model's name or a glob) and rules; the first that fits is taken.
    """

    everywhere: ThinkRules = field(default_factory=ThinkRules)
    models: tuple[tuple[str, ThinkRules], ...] = ()
