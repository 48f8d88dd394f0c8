"""Which model a request is for, as the operator's rules say: the model map, the default model, models of their own."""

from __future__ import annotations

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, ModelChoice, PortKind
from oaiproxy.bridge.notes import shown
from oaiproxy.interfaces import IConditionalTransform, ITransformContext
from oaiproxy.models import parse_alias
from oaiproxy.rules.route import Route, find_route, routes_any
from oaiproxy.settings import Settings

#: Paths whose requests may name no model and are for the default one then.
MAKING = frozenset({"/chat/completions", "/completions", "/responses"})

#: Paths at which a bridge port understands aliases.
ALIASED = frozenset({"/chat/completions", "/completions"})


@implementer(IConditionalTransform)
class ModelRules:
    """Puts the name that a model has upstream in place of the one that the client wrote.

    The client's own name is kept with the request (`ModelChoice.requested`), as the rules for parameters go by it.
    Runs before aliases are resolved, so that a rule may name an alias, and holds for the aliases of a model.
    """

    name = "model-rules"
    phase = "identify"
    before = ("model-alias",)
    after: tuple[str, ...] = ()
    ports = frozenset(PortKind)
    paths = MAKING | {"/embeddings", "/responses/compact", "/responses/input_tokens"}

    def wanted(self, settings: Settings) -> bool:
        return routes_any(settings.rules)

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        named = request.model or None
        if named is None and request.json.get("model") not in (None, ""):
            return request  # it is of the wrong type; who reads it says so
        route = route_of(request, named, context.settings)
        if route.model is None or route.model == named:
            return request
        model, choice = route.model, ModelChoice(named or "")
        if has_aliases(request):
            model, choice = _resolved(route, choice)
        if route.told:
            request = request.warn(f"changed model to {shown(model)} (a rule of this proxy)")
        return request.with_fields(model=model).with_choice(choice)


def route_of(request: ApiRequest, named: str | None, settings: Settings) -> Route:
    """Which model a request is for.

    @param named: its model as the client wrote it, or None.
    @raise BadRequest: the name is an alias that sets something twice.
    """
    base_of = _base_of if has_aliases(request) else str
    return find_route(settings.rules, named, base_of, default=_wants_default(request))


def has_aliases(request: ApiRequest) -> bool:
    """Whether a model's name may carry settings there."""
    return request.port is PortKind.BRIDGE and request.path in ALIASED


def _wants_default(request: ApiRequest) -> bool:
    # a stored prompt has a model of its own
    return request.path in MAKING and not (request.path == "/responses" and request.json.get("prompt") is not None)


def _base_of(model: str) -> str:
    return parse_alias(model)[0]


def _resolved(route: Route, choice: ModelChoice) -> tuple[str, ModelChoice]:
    """The model without its alias's settings, and the settings: the client's own come before those of the rules."""
    assert route.model is not None
    model, own = parse_alias(route.model)
    said = [*(parse_alias(name)[1] for name in route.carried), own]
    effort = next((each.effort for each in said if each.effort is not None), None)
    summary = next((each.summary for each in said if each.summary is not None), None)
    return model, ModelChoice(choice.requested, effort, summary)


model_rules = ModelRules()
