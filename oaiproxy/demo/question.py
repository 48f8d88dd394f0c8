"""A request to either API, as far as the demo's answer depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from oaiproxy.demo.directives import Directives


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the client would run.

    @ivar schema: the JSON schema of its arguments; None for a custom tool, whose input is text.
    @ivar strict: every property gets a value, not only the required ones.
    """

    name: str
    schema: Mapping[str, Any] | None
    strict: bool = False


class Mode(Enum):
    """Whether tools are to be called."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Received:
    """How much of what came in.

    @ivar tools: the names of all tools, or their types where they have no name.
    """

    messages: int = 0
    images: int = 0
    files: int = 0
    audio: int = 0
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """What an answer in JSON has to be: what `schema` allows, or any object where it is None."""

    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    @ivar model: the model's name as sent.
    @ivar text: the last message of the user.
    @ivar received: how much of what came in.
    @ivar input_tokens: the size of it.
    @ivar directives: what the text asks of the demo itself.
    @ivar outputs: what the tools gave whose outputs end the conversation; empty where the user has the last word.
    @ivar tools: the tools that may be called: none of those that ``tool_choice`` leaves out.
    @ivar mode: whether they are to be called.
    @ivar parallel: several may be called at once.
    @ivar search: the web may be searched.
    @ivar must_search: it has to be.
    @ivar format: the JSON to answer with, or None for text.
    @ivar effort: the effort to reason with, or None for no reasoning.
    @ivar summary: how to sum the reasoning up (``auto``, ``concise``, ``detailed``), or None for not at all.
    @ivar limit: the most output tokens, reasoning included, or None for no limit.
    @ivar stop: where text ends before its end.
    """

    model: str
    text: str = ""
    received: Received = field(default_factory=Received)
    input_tokens: int = 0
    directives: Directives = field(default_factory=Directives)
    outputs: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    mode: Mode = Mode.AUTO
    parallel: bool = True
    search: bool = False
    must_search: bool = False
    format: Format | None = None
    effort: str | None = None
    summary: str | None = None
    limit: int | None = None
    stop: tuple[str, ...] = ()
