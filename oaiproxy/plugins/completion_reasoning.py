"""As little reasoning as the model allows where a client of legacy completions asked for none.

That API has no place for a summary, its limit on tokens is one on the text, and its users expect text at once.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.interfaces import IRequestTransform, ITransformContext
from oaiproxy.plugins.reasoning_default import NO_CHOICE, names_effort, settings_of


@implementer(IRequestTransform)
class CompletionReasoning:
    """Adds ``reasoning`` to legacy completions requests for models that would reason without it, or reason more.

    Precedence: the client's own fields, then the alias, then the least effort that the model takes.
    """

    name = "completion-reasoning"
    phase = "defaults"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ports = frozenset({PortKind.BRIDGE})
    paths = frozenset({"/completions"})

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        choice = request.choice or NO_CHOICE
        can = context.models.capabilities(request.model)
        if not can.reasoning:
            for setting in settings_of(choice):
                request = request.warn_dropped(setting, "the model does not reason", "model")
            return request
        if choice.summary not in (None, "none"):
            request = request.warn_dropped(f"sum-{choice.summary}", "a text completion has no place for it", "model")
        own: Any = request.json.get("reasoning")
        if names_effort(request.json) or (own is not None and (choice.effort is None or not isinstance(own, dict))):
            return request
        if choice.effort is None:
            effort = "none" if "none" in can.efforts else can.lowest_effort
        else:
            effort = can.nearest_effort(choice.effort)
            if effort != choice.effort:
                request = request.warn(f"changed res-{choice.effort} to res-{effort} (the model does not take it)")
        if own is not None:
            # completed, not added: it is the client's own field, and must not be taken out again
            return request.with_fields(reasoning={**own, "effort": effort})
        if effort in (None, can.default_effort):
            return request
        return request.with_added(reasoning={"effort": effort})


completion_reasoning = CompletionReasoning()
