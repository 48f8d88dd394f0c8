"""Parameter rules: what an operator demands of the requests that pass, for all models or for some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ParameterRules:
    """What is done to the top-level fields of a request body, in this order.

    @ivar rename: old name -> new name.
    @ivar drop: the fields that are taken out.
    @ivar defaults: what a field is where the client says nothing.
    @ivar overrides: what a field is, whatever the client says.
    @ivar append: text that follows the last user message.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    append: str | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.rename or self.drop or self.defaults or self.overrides or self.append)


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The rules for some models.

    @ivar pattern: a model's name, or a glob of names (``gpt-5*``): see `oaiproxy.rules.route` for which names count.
    @ivar rules: what is done to their requests, after what is done to all.
    @ivar upstream_model: what the model is called upstream; a pattern that is a name is a model of its own then, and is
        listed.
    """

    pattern: str
    rules: ParameterRules = field(default_factory=ParameterRules)
    upstream_model: str | None = None


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All the rules of a port.

    @ivar everywhere: the rules for all models.
    @ivar models: the rules for some; an exact name comes before a glob, a longer glob before a shorter.
    @ivar unnamed: the rules for requests that name no model.
    @ivar model_map: model -> the model that is meant.
    @ivar default_model: the model of a request that names none.
    @ivar limit_field: what the limit on tokens is called upstream (``max_tokens``, ``max_completion_tokens``,
        ``max_output_tokens``), or None where the client's name is as good as any.
    """

    everywhere: ParameterRules = field(default_factory=ParameterRules)
    models: tuple[ModelRules, ...] = ()
    unnamed: ParameterRules = field(default_factory=ParameterRules)
    model_map: Mapping[str, str] = field(default_factory=dict)
    default_model: str | None = None
    limit_field: str | None = None
