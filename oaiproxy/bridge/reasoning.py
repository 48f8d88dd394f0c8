"""How hard the model thinks, and the settings that depend on it: sampling and log probabilities.

Which model takes what is in its `Capabilities`.  What a model does not take is left out with a warning: upstream would
refuse the whole request for it ("Unsupported parameter: 'temperature'").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.checks import as_array, as_boolean, as_integer, as_number, as_object, as_string
from oaiproxy.bridge.draft import Draft
from oaiproxy.bridge.fields import FIELDS
from oaiproxy.models import Capabilities

#: How ``include`` asks for log probabilities.
LOGPROBS = "message.output_text.logprobs"

#: The effort for a client that asks for reasoning and does not say how much.
DEFAULT_EFFORT = "medium"

_UNKNOWN = Capabilities()

_READ_KEYS = frozenset({"effort", "summary", "generate_summary", "context", "mode", "enabled", "exclude", "max_tokens"})


def translate_reasoning(draft: Draft) -> None:
    """Read ``reasoning_effort`` and ``reasoning``, and write ``reasoning``.

    ``reasoning`` is Responses' object (``effort``, ``summary``, ``context``, ``mode``) or OpenRouter's (``effort``,
    ``enabled``, ``exclude``, ``max_tokens``), from the client or from the proxy's defaults.

    @raise BadRequest: one of them is of the wrong type.
    """
    # an empty string is what forms send for "not set"
    asked = draft.read("reasoning_effort", as_string) or None
    given = draft.read("reasoning", as_object) or {}
    effort, summary = _effort(draft, given, asked), _summary(draft, given)
    further = {key: as_string(given[key], f"reasoning.{key}") for key in ("context", "mode") if given.get(key)}
    for key in given:
        if key not in _READ_KEYS and draft.by_client("reasoning"):
            draft.notes.unknown(f"reasoning.{key}")
    if not draft.capabilities.reasoning and _is_known(draft.capabilities):
        draft.effort = "none"
        if asked not in (None, "none"):
            draft.dropped("reasoning_effort", "the model does not reason")
        if effort != "none" and (summary or further or given.get("effort") or given.get("enabled")):
            draft.dropped("reasoning", "the model does not reason")
        return
    draft.effort = effort or draft.capabilities.default_effort
    if draft.effort == "none" and summary:
        if draft.by_client("reasoning"):
            draft.notes.dropped("reasoning.summary", "with effort none there is nothing to sum up")
        summary = None
    reasoning: dict[str, str] = {}
    if effort is not None:
        reasoning["effort"] = effort
    if summary is not None:
        reasoning["summary"] = summary
    reasoning.update(further)
    if reasoning:
        draft.body["reasoning"] = reasoning


def _is_known(capabilities: Capabilities) -> bool:
    """Whether anything is known of the model.  An unknown one may reason, so the client's own wish is passed on to it:
    upstream knows better, and refuses what it has to as it does for Chat."""
    return capabilities != _UNKNOWN


def _effort(draft: Draft, given: Mapping[str, Any], asked: str | None) -> str | None:
    """The effort to send, or None to leave it to the model."""
    can = draft.capabilities
    effort = as_string(given["effort"], "reasoning.effort") or None if given.get("effort") is not None else None
    enabled = as_boolean(given["enabled"], "reasoning.enabled") if given.get("enabled") is not None else None
    budget = as_integer(given["max_tokens"], "reasoning.max_tokens") if given.get("max_tokens") is not None else None
    if budget is not None:
        draft.notes.dropped("reasoning.max_tokens", "Responses has efforts and no budgets")
    if "reasoning" in draft.added and can.efforts and effort not in can.efforts:
        effort = None  # the proxy's own wish, which the model would refuse
    if enabled is False:
        effort = "none"
        if "none" not in can.efforts and can.reasoning:
            effort = None
            draft.notes.dropped("reasoning.enabled", "the model always reasons")
    elif (enabled or budget) and effort is None and can.default_effort == "none":
        effort = DEFAULT_EFFORT
    if asked and effort and asked != effort and draft.by_client("reasoning"):
        draft.notes.dropped("reasoning.effort", "reasoning_effort wins")
    return asked or effort


def _summary(draft: Draft, given: Mapping[str, Any]) -> str | None:
    """The summary to ask for, or None for none."""
    summary = given.get("summary") if given.get("summary") is not None else given.get("generate_summary")
    if given.get("exclude") is not None and as_boolean(given["exclude"], "reasoning.exclude"):
        draft.reasoning_field = ReasoningField.NONE
        return None
    if summary is None:
        return None
    return None if as_string(summary, "reasoning.summary") in ("none", "") else summary


def translate_sampling(draft: Draft) -> None:
    """Read ``temperature``, ``top_p``, ``logprobs``, ``top_logprobs`` and ``include``; the effort is known by now.

    @raise BadRequest: one of them is of the wrong type.
    """
    sampling = draft.capabilities.sampling
    allowed = sampling == "always" or (sampling == "without_reasoning" and draft.effort == "none")
    why = "the model reasons" if sampling == "never" else "the model takes it only with reasoning effort none"
    for name in ("temperature", "top_p"):
        value = draft.read(name, as_number)
        if value is None:
            continue
        if allowed:
            draft.body[name] = value
        elif not FIELDS[name].asks_nothing(value):
            draft.dropped(name, why)
    included = enumerate(draft.read("include", as_array) or [])
    include = list(dict.fromkeys(as_string(value, f"include[{i}]") for i, value in included))
    wanted, top = draft.read("logprobs", as_boolean), draft.read("top_logprobs", as_integer)
    if top is not None and not 0 <= top <= 20:
        raise BadRequest(
            "'top_logprobs' has to be between 0 and 20.",
            param="top_logprobs",
            code="integer_above_max_value" if top > 20 else "integer_below_min_value",
        )
    if wanted and allowed:
        draft.logprobs = True
        if LOGPROBS not in include:
            include.append(LOGPROBS)
        if top is not None:
            draft.body["top_logprobs"] = top
    else:
        if wanted:
            draft.dropped("logprobs", why)
        if top and LOGPROBS in include:
            draft.body["top_logprobs"] = top
        elif top:
            draft.dropped("top_logprobs", why if wanted else "it needs logprobs")
    if include:
        draft.body["include"] = include
