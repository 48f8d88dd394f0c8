"""``gpt-5.1-codex:res-high:sum-auto`` becomes ``gpt-5.1-codex``; what the name asked for is kept with the request."""

from __future__ import annotations

from zope.interface import implementer

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ApiRequest, ModelChoice, PortKind
from oaiproxy.interfaces import IRequestTransform, ITransformContext
from oaiproxy.models import Capabilities, Catalogue, parse_alias
from oaiproxy.models.alias import SETTINGS


@implementer(IRequestTransform)
class ModelAlias:
    """Resolves model aliases; see `oaiproxy.models.alias` for their grammar."""

    name = "model-alias"
    phase = "identify"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ports = frozenset({PortKind.BRIDGE})
    paths = frozenset({"/chat/completions", "/completions"})

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        model = request.model
        if model is None or ":" not in model:
            return request
        base, choice = resolve(model, context.models)
        return request if base == model else request.with_fields(model=base).with_choice(choice)


def resolve(model: str, models: Catalogue) -> tuple[str, ModelChoice]:
    """Take a model's name apart, and refuse one that was surely meant as an alias but is none.

    A segment such as ``res-hihg`` may be a real part of another server's id, so it is refused only after a model that
    we know.

    @return: the model, and what its name asked for.
    @raise BadRequest: the alias is wrong; its `param` is ``model``.
    """
    base, choice = parse_alias(model)
    known, *rest = base.split(":")
    for segment in rest:
        key, _, value = segment.lower().partition("-")
        if key in SETTINGS and models.get(PortKind.BRIDGE, base) is None and _is_known(known, models):
            raise BadRequest(
                f"The model name ends in '{key}-{value[:32]}', which is no setting of an alias. "
                f"'{key}-' takes one of {', '.join(SETTINGS[key])}.",
                param="model",
                code="invalid_model_alias",
            )
    return base, choice


def _is_known(model: str, models: Catalogue) -> bool:
    return any(models.get(kind, model) for kind in PortKind) or models.capabilities(model) != Capabilities()


model_alias = ModelAlias()
