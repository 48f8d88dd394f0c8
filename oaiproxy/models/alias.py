"""Model aliases: a model's name that carries reasoning settings, ``gpt-5.1-codex:res-high:sum-auto``.

Grammar: ``BASE(:res-EFFORT | :sum-SUMMARY)*``, in any order and in any case.  Ids have colons of their own
(``qwen3:8b``, ``ft:gpt-4o:org::id``), so settings are read from the right, up to the first segment that is none, and
the id of a fine-tuned model is never split.
"""

from __future__ import annotations

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ModelChoice
from oaiproxy.models.capabilities import EFFORTS, SUMMARIES

#: The settings that an alias can carry: the word that begins a segment -> the values that may follow its dash.
SETTINGS = {"res": EFFORTS, "sum": SUMMARIES}

#: The settings of the aliases that are listed under each model.
LISTED_EFFORTS = ("low", "medium", "high")
LISTED_SUMMARIES = ("auto", "none")


def parse_alias(model: str) -> tuple[str, ModelChoice]:
    """Take a model's name apart.

    @return: the model itself, and what its name asked for (nothing, if it is no alias).
    @raise BadRequest: the name sets the same thing twice; its `param` is ``model``.
    """
    base = model
    found: dict[str, str] = {}
    while (setting := _last_setting(base)) is not None:
        base, key, value = setting
        if key in found:
            raise BadRequest(
                f"The model name says '{key}-' twice, '{value}' and '{found[key]}'. Name it once.",
                param="model",
                code="invalid_model_alias",
            )
        found[key] = value
    return base, ModelChoice(model, effort=found.get("res"), summary=found.get("sum"))


def _last_setting(model: str) -> tuple[str, str, str] | None:
    # -> (what is before it, key, value), or None where the name ends in something else
    base, colon, segment = model.rpartition(":")
    key, dash, value = segment.lower().partition("-")
    if not (base and colon and dash) or value not in SETTINGS.get(key, ()) or _is_fine_tuned(model):
        return None
    return base, key, value


def _is_fine_tuned(model: str) -> bool:
    return model.startswith("ft:") or "/ft:" in model


def aliases_of(model: str, efforts: frozenset[str]) -> tuple[str, ...]:
    """The aliases of a model that a list of models shows: every listed effort that the model takes, both with and
    without a summary."""
    return tuple(
        f"{model}:res-{effort}:sum-{summary}"
        for effort in LISTED_EFFORTS
        if effort in efforts
        for summary in LISTED_SUMMARIES
    )
