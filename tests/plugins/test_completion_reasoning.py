"""Reasoning in legacy completions, case by case."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.interfaces import IRequestTransform
from oaiproxy.plugins.completion_reasoning import completion_reasoning
from oaiproxy.plugins.model_alias import model_alias
from tests.plugins.support import context

#: (model or alias, what else the body holds, the ``reasoning`` that goes on or None for none)
CASES: list[tuple[str, dict[str, Any], Any]] = [
    # as little as the model takes: none at all where its default is that already
    ("gpt-5.1", {}, None),
    ("gpt-5.6-sol", {}, {"effort": "none"}),
    ("gpt-5-mini", {}, {"effort": "minimal"}),
    ("o3", {}, {"effort": "low"}),
    ("gpt-5-pro", {}, None),
    # never where the model does not reason, or is not known
    ("gpt-4o", {}, None),
    ("llama-3.3", {}, None),
    # the alias says it
    ("gpt-5.1:res-high:sum-none", {}, {"effort": "high"}),
    ("gpt-5.1:res-high:sum-auto", {}, {"effort": "high"}),
    ("gpt-5.1:res-none", {}, None),
    ("gpt-5-mini:res-none", {}, {"effort": "minimal"}),
    # the client says it
    ("gpt-5.6-sol", {"reasoning_effort": "low"}, None),
    ("gpt-5.1:res-high", {"reasoning_effort": "low"}, None),
    ("gpt-5.1:res-high", {"reasoning": {"effort": "low"}}, {"effort": "low"}),
    ("gpt-5.6-sol", {"reasoning": {"enabled": True}}, {"enabled": True}),
    ("gpt-5.6-sol", {"reasoning": {"enabled": False}}, {"enabled": False}),
    ("gpt-5.1:res-high", {"reasoning": {"enabled": True}}, {"enabled": True, "effort": "high"}),
    # not for us to judge
    ("gpt-5.1:res-high", {"reasoning": "high"}, "high"),
]


def completions(**body: Any) -> ApiRequest:
    """A legacy request on a bridge port, its alias resolved."""
    request = ApiRequest(PortKind.BRIDGE, "POST", "/completions", (), Body.of({"prompt": "x", **body}))
    return model_alias.transform(request, context())


class CompletionReasoningTests(SynchronousTestCase):
    def test_it_is_a_transform_for_legacy_completions_alone(self) -> None:
        verifyObject(IRequestTransform, completion_reasoning)
        self.assertEqual(completion_reasoning.paths, {"/completions"})
        self.assertIn("/completions", model_alias.paths)

    def test_the_cases(self) -> None:
        for model, body, wanted in CASES:
            result = completion_reasoning.transform(completions(model=model, **body), context())
            self.assertEqual(result.json.get("reasoning"), wanted, (model, body))

    def test_what_the_client_did_not_ask_for_is_marked_as_added(self) -> None:
        for body, added in (({}, {"reasoning"}), ({"reasoning": {"enabled": True}}, set())):
            result = completion_reasoning.transform(completions(model="gpt-5.1:res-high", **body), context())
            self.assertEqual(result.added, added)

    def test_what_an_alias_asks_for_in_vain_is_told(self) -> None:
        for model, told in (
            ("gpt-5.1:sum-auto", ("dropped sum-auto (a text completion has no place for it)",)),
            ("gpt-5.1:sum-none", ()),
            ("gpt-5-mini:res-none", ("changed res-none to res-minimal (the model does not take it)",)),
            ("gpt-4o:res-high", ("dropped res-high (the model does not reason)",)),
        ):
            result = completion_reasoning.transform(completions(model=model), context())
            self.assertEqual(result.warnings, told)
