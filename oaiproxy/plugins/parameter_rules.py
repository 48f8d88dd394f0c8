"""The operator's rules for parameters: what is renamed, taken out, filled in, set, and appended to the question."""

from __future__ import annotations

import msgspec
from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.bridge.notes import shown
from oaiproxy.interfaces import IConditionalTransform, ITransformContext
from oaiproxy.plugins.model_rules import MAKING, route_of
from oaiproxy.plugins.reasoning_default import names_effort
from oaiproxy.rules.apply import Outcome, apply_rules
from oaiproxy.rules.params import ParameterRules, RuleBook
from oaiproxy.rules.route import Route, rules_any, rules_of
from oaiproxy.settings import Settings

#: How the client is told who did it.
BY = "(a rule of this proxy)"


@implementer(IConditionalTransform)
class ParameterRulesTransform:
    """Applies `Settings.rules` to the fields of a request; see `oaiproxy.rules.apply`.

    What becomes of the client's own wishes is told as a note, which a strict port lets pass: it is what its operator
    wants.  What the client did not ask for is not told.
    """

    name = "parameter-rules"
    phase = "rules"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ports = frozenset(PortKind)
    paths = MAKING | {"/embeddings"}

    def wanted(self, settings: Settings) -> bool:
        return rules_any(settings.rules)

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        book = context.settings.rules
        rules = _rules(request, context)
        limit_field = _limit_field(request, book)
        if not rules and limit_field is None:
            return request
        outcome = apply_rules(request.json, rules, request.path, limit_field=limit_field, aliased=_aliased(request))
        notes = _notes(request, outcome)
        request = request.with_demanded(outcome.body, outcome.set)
        return request.warn(*notes) if notes else request


def _rules(request: ApiRequest, context: ITransformContext) -> tuple[ParameterRules, ...]:
    book = context.settings.rules
    # the model's name as the client wrote it, which may be of the wrong type: then the rules for all hold
    named = request.json.get("model") if request.choice is None else request.choice.requested
    if named is not None and not isinstance(named, str):
        return rules_of(book, "", Route(None)) if request.path in MAKING else ()
    route = route_of(request, named or None, context.settings)
    if request.path not in MAKING:
        # what is said of all models is said of those that write; a sampling default would make an embedding fail
        return tuple(filter(None, [route.table.rules])) if route.table is not None else ()
    return rules_of(book, named or None, route)


def _limit_field(request: ApiRequest, book: RuleBook) -> str | None:
    if request.path not in MAKING or (request.port is PortKind.BRIDGE and request.path == "/chat/completions"):
        return None  # the bridge translates it, whatever it is called, and names it to the client as it wrote it
    return book.limit_field


def _aliased(request: ApiRequest) -> list[str]:
    """What the client has said by its model's name."""
    choice = request.choice
    if choice is None:
        return []
    said = (("effort", choice.effort), ("summary", choice.summary))
    return [what for what, value in said if value is not None]


def _notes(request: ApiRequest, outcome: Outcome) -> list[str]:
    notes = [f"dropped {shown(name)} {BY}" for name in outcome.dropped]
    for name, value in outcome.changed.items():
        plain = value is None or isinstance(value, bool | int | float)
        to = f" to {shown(msgspec.json.encode(value).decode())}" if plain else ""
        notes.append(f"changed {shown(name)}{to} {BY}")
    choice = request.choice
    if choice is not None and choice.effort is not None and names_effort(outcome.body) > names_effort(request.json):
        notes.append(f"changed res-{choice.effort} {BY}")
    if outcome.appended:
        notes.append(f"appended text to the last user message {BY}")
    return notes


parameter_rules = ParameterRulesTransform()
