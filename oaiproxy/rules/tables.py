"""What an operator says of one model, or of a glob of them, wherever it is said."""

from __future__ import annotations

from dataclasses import dataclass, field

from oaiproxy.rules.params import ParameterRules
from oaiproxy.rules.think import ThinkMode


@dataclass(frozen=True, slots=True)
class ModelTable:
    """What is said of a model.

    @ivar pattern: the model's name, or a glob; None for requests that name no model.
    @ivar rules: the rules for its requests.
    @ivar upstream_model: what it is called upstream; the pattern is a model of its own then.
    @ivar think: what is done with its thoughts, or None where that is said for all.
    @ivar think_tag: the tag that begins a thought, or None.
    @ivar think_end_tag: the tag that ends it, or None.
    @ivar think_opened: whether its answers begin inside a block, or None where that is said for all.
    """

    pattern: str | None
    rules: ParameterRules = field(default_factory=ParameterRules)
    upstream_model: str | None = None
    think: ThinkMode | None = None
    think_tag: str | None = None
    think_end_tag: str | None = None
    think_opened: bool | None = None
