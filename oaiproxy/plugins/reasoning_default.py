"""Reasoning where a chat client asked for none: medium effort and a summary, or what the model's alias says.

Precedence: the client's own fields, then the alias, then the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, ModelChoice, PortKind
from oaiproxy.bridge.fields import KNOWN_FIELDS
from oaiproxy.interfaces import IRequestTransform, ITransformContext
from oaiproxy.models import Capabilities

DEFAULT_EFFORT = "medium"
DEFAULT_SUMMARY = "auto"

#: Tokens.  The budget pays for reasoning as well as for the answer: with less than this, reasoning could leave nothing
#: for the answer.
SMALL_BUDGET = 1024

#: What a model that samples only without reasoning refuses as soon as it reasons.
SAMPLING_FIELDS = frozenset({"temperature", "top_p", "logprobs", "top_logprobs"})

#: The fields that limit the answer's tokens, the newer first.
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_LIMIT_FIELDS = frozenset(_LIMITS)

#: What a name that is no alias asks for.
NO_CHOICE = ModelChoice("")


@implementer(IRequestTransform)
class ReasoningDefault:
    """Adds ``reasoning`` to chat requests for models that reason."""

    name = "reasoning-default"
    phase = "defaults"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ports = frozenset({PortKind.BRIDGE})
    paths = frozenset({"/chat/completions"})

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        body = request.json
        choice = request.choice or NO_CHOICE
        can = context.models.capabilities(request.model)
        if not can.reasoning:
            for setting in settings_of(choice):
                request = request.warn_dropped(setting, "the model does not reason", "model")
            return request
        if choice.effort is not None and choice.effort not in can.efforts and not names_effort(body):
            nearest = can.nearest_effort(choice.effort)
            request = request.warn(f"changed res-{choice.effort} to res-{nearest} (the model does not take it)")
        if (own := body.get("reasoning")) is not None:
            completed = complete(own, body, choice, can)
            # set, not added: it is the client's own field, and must not be taken out again
            return request if completed == own else request.with_fields(reasoning=completed)
        added = reasoning_for(body, choice, can)
        return request.with_added(reasoning=added) if added else request


def reasoning_for(body: Mapping[str, Any], choice: ModelChoice, can: Capabilities) -> dict[str, str]:
    """What to add to a chat request without a ``reasoning`` of its own, for a model that reasons.

    @param body: the chat request.
    @param choice: what the model's alias asked for.
    @param can: what the model takes.
    @return: the ``reasoning`` object; empty where it is better to add none.
    """
    small = has_less_than(body, SMALL_BUDGET)
    effort: str | None
    if names_effort(body):
        effort = None
    elif choice.effort is not None:
        effort = can.nearest_effort(choice.effort)
    elif can.default_effort == "none" and can.sampling == "without_reasoning" and asks_for_sampling(body):
        # the model would reason only because of us, and then refuse what the client did ask for
        return {}
    else:
        effort = can.lowest_effort if small else can.nearest_effort(DEFAULT_EFFORT)
    added = {} if effort is None else {"effort": effort}
    summary = choice.summary or (None if small else DEFAULT_SUMMARY)
    if summary not in (None, "none") and "none" not in (effort, body.get("reasoning_effort")):
        added["summary"] = summary
    return added


def complete(own: Any, body: Mapping[str, Any], choice: ModelChoice, can: Capabilities) -> Any:
    """The client's own ``reasoning``, with what it leaves open filled in from the alias, never from the defaults.

    OpenRouter's fields (``enabled``, ``max_tokens``, ``exclude``) are other ways to name an effort or a summary.

    @return: `own` itself where nothing is filled in.
    """
    if not isinstance(own, dict):
        return own
    filled = dict(own)
    if choice.effort is not None and not names_effort(body):
        filled["effort"] = can.nearest_effort(choice.effort)
    effort = effective_effort({**body, "reasoning": filled}, can)
    says_summary = any(own.get(key) is not None for key in ("summary", "generate_summary", "exclude"))
    if choice.summary not in (None, "none") and effort != "none" and not says_summary:
        filled["summary"] = choice.summary
    return filled


def names_effort(body: Mapping[str, Any]) -> bool:
    """True if the client itself says how much to reason."""
    if body.get("reasoning_effort") is not None:
        return True
    own = body.get("reasoning")
    if not isinstance(own, dict):
        return False
    return own.get("effort") is not None or own.get("max_tokens") is not None or own.get("enabled") is False


def effective_effort(body: Mapping[str, Any], can: Capabilities) -> Any:
    """The effort at which a chat request will be answered: as it says, or the model's own default."""
    if (effort := body.get("reasoning_effort")) is not None:
        return effort
    own = body.get("reasoning")
    if isinstance(own, dict):
        if own.get("enabled") is False:
            return "none"
        if own.get("effort") is not None:
            return own["effort"]
    return can.default_effort


def asks_for_sampling(body: Mapping[str, Any]) -> bool:
    """True if a chat request sets a sampling field to something other than what an absent one means."""
    said = () if SAMPLING_FIELDS.isdisjoint(body) else SAMPLING_FIELDS & body.keys()
    return any(not KNOWN_FIELDS[name].asks_nothing(body[name]) and body[name] is not False for name in said)


def has_less_than(body: Mapping[str, Any], tokens: int) -> bool:
    """True if a chat request limits its answer to fewer tokens than that; the newer of the two fields counts."""
    for name in () if _LIMIT_FIELDS.isdisjoint(body) else _LIMITS:
        limit = body.get(name)
        if limit is not None:
            return isinstance(limit, (int, float)) and limit < tokens
    return False


def settings_of(choice: ModelChoice) -> list[str]:
    """The settings with which an alias asks for something, as it writes them."""
    named = (("res", choice.effort), ("sum", choice.summary))
    return [f"{key}-{value}" for key, value in named if value not in (None, "none")]


reasoning_default = ReasoningDefault()
