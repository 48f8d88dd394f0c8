"""The models that the demo lists, and what a model of some name takes (any name is answered)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oaiproxy.api.errors import BadRequest, NotFound
from oaiproxy.demo.checks import unsupported

#: The ids in ``GET /v1/models``, in this order.
MODELS = (
    "gpt-5.5",
    "gpt-5.1",
    "gpt-5.1-codex",
    "gpt-5-mini",
    "gpt-5-chat-latest",
    "o3",
    "gpt-4.1",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "gpt-4o-transcribe",
    "whisper-1",
    "tts-1",
)

#: When all of them came to be (2026-01-01, in Unix seconds): a list that is the same at every start.
_CREATED = 1767225600


def model(name: str) -> dict[str, object]:
    """A model object (schema ``Model``).

    @raise NotFound: it is not in the list.
    """
    if name not in MODELS:
        raise NotFound(f"The model '{name}' does not exist", param="model", code="model_not_found")
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "oaiproxy-demo"}


def model_list() -> dict[str, object]:
    """All models (schema ``ListModelsResponse``)."""
    return {"object": "list", "data": [model(name) for name in MODELS]}


@dataclass(frozen=True, slots=True)
class Kind:
    """What the models of a family take.

    @ivar reasons: the model can reason.
    @ivar by_default: it does so without being asked.
    @ivar none: it takes the effort ``none``.
    @ivar sampling: it takes ``temperature`` and ``top_p`` while it does not reason.
    @ivar always_sampling: it takes them while it reasons, too.
    """

    reasons: bool = True
    by_default: bool = False
    none: bool = True
    sampling: bool = True
    always_sampling: bool = False


_PLAIN = Kind(reasons=False)
_THINKER = Kind(by_default=True, none=False, sampling=False)

#: Patterns of a model's id, from the special to the general; the first that matches is it.
_KINDS = (
    (r"gpt-(4|3\.5)|chatgpt-|gpt-5-chat", _PLAIN),
    (r"o[134](-|$)|gpt-5(\.\d+)?-(mini-|nano-)?(codex|pro|chat)|gpt-5(-|$)", _THINKER),
    (r"gpt-5\.[1-4]", Kind()),
    (r"gpt-5", Kind(by_default=True)),
    (r"", Kind(always_sampling=True)),
)


def kind_of(model: str) -> Kind:
    """What the model of this id takes; a fine-tuned one (``ft:gpt-4o:...``) what its base does."""
    base = model.removeprefix("ft:")
    return next(kind for pattern, kind in _KINDS if re.match(pattern, base))


def check_reasoning(model: str, asked: Mapping[str, object | None], effort: str) -> str | None:
    """Whether the model reasons for this request.

    @param asked: path of each field about reasoning -> its value; null counts as not there.
    @param effort: the path of the effort among them.
    @return: the effort it reasons with, or None where it does not.
    @raise BadRequest: the model does not take one of the fields, or not that effort.
    """
    kind = kind_of(model)
    given = [path for path, value in asked.items() if value is not None]
    if not kind.reasons:
        if given:
            raise unsupported(given[0])
        return None
    wanted = asked.get(effort)
    if wanted == "none" and not kind.none:
        raise BadRequest(
            f"Unsupported value: 'none' is not supported with the '{model}' model. "
            "Supported values are: 'low', 'medium', and 'high'.",
            param=effort,
            code="unsupported_value",
        )
    if isinstance(wanted, str):
        return None if wanted == "none" else wanted
    return "medium" if kind.by_default else None


def check_sampling(model: str, given: Mapping[str, object | None], reasoning: bool) -> None:
    """See that the model takes the sampling parameters.

    @param given: name of each -> its value; null counts as not there.
    @param reasoning: the model reasons for this request.
    @raise BadRequest: it does not take one of them.
    """
    kind = kind_of(model)
    if kind.always_sampling or (kind.sampling and not reasoning):
        return
    for name, value in given.items():
        if value is not None:
            raise unsupported(name)
