"""Reasoning that is filled in, case by case."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.request import ModelChoice
from oaiproxy.models import Capabilities
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.reasoning_default import effective_effort, has_less_than, reasoning_default
from tests.plugins.support import chat, context

#: (model or alias, what else the body holds, the ``reasoning`` that goes on or None for none)
CASES: list[tuple[str, dict[str, Any], Any]] = [
    # the default
    ("gpt-5.1", {}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5.6-sol", {}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5.1-codex", {}, {"effort": "medium", "summary": "auto"}),
    ("o3", {}, {"effort": "medium", "summary": "auto"}),
    ("openai/gpt-5-mini", {}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5.1", {"reasoning": None, "reasoning_effort": None}, {"effort": "medium", "summary": "auto"}),
    # never where the model does not reason, or is not known
    ("gpt-4o", {}, None),
    ("gpt-4.1-mini", {}, None),
    ("gpt-5-chat-latest", {}, None),
    ("llama-3.3", {}, None),
    # another effort where medium is not taken
    ("gpt-5-pro", {}, {"effort": "high", "summary": "auto"}),
    ("gpt-5.1-chat-latest", {}, {"effort": "medium", "summary": "auto"}),
    # the alias says it
    ("gpt-5.1:res-high:sum-concise", {}, {"effort": "high", "summary": "concise"}),
    ("gpt-5.1:res-high", {}, {"effort": "high", "summary": "auto"}),
    ("gpt-5.1:sum-detailed", {}, {"effort": "medium", "summary": "detailed"}),
    ("gpt-5.1:sum-none", {}, {"effort": "medium"}),
    ("gpt-5.1:res-none", {}, {"effort": "none"}),
    ("gpt-5.1:res-none:sum-auto", {}, {"effort": "none"}),
    # ... as near as the model can
    ("gpt-5.1:res-max", {}, {"effort": "high", "summary": "auto"}),
    ("gpt-5:res-none", {}, {"effort": "minimal", "summary": "auto"}),
    ("gpt-5.3-chat-latest:res-low", {}, {"effort": "medium", "summary": "auto"}),
    # the client says the effort: only a summary is missing
    ("gpt-5.1", {"reasoning_effort": "low"}, {"summary": "auto"}),
    ("gpt-5.1:res-high:sum-concise", {"reasoning_effort": "low"}, {"summary": "concise"}),
    ("gpt-5.1:res-high:sum-none", {"reasoning_effort": "low"}, None),
    ("gpt-5.1", {"reasoning_effort": "none"}, None),
    ("gpt-5.1:sum-auto", {"reasoning_effort": "none"}, None),
    ("gpt-5.1", {"reasoning_effort": "low", "max_tokens": 100}, None),
    ("gpt-4o", {"reasoning_effort": "low"}, None),
    ("gpt-5.1", {"reasoning_effort": "low", "temperature": 0.2}, {"summary": "auto"}),
    # the client says it all: nothing but what its alias names is filled in
    ("gpt-5.1", {"reasoning": {"effort": "low"}}, {"effort": "low"}),
    ("gpt-5.1", {"reasoning": {}}, {}),
    ("gpt-5.1:res-high:sum-auto", {"reasoning": {"effort": "low"}}, {"effort": "low", "summary": "auto"}),
    ("gpt-5.1:res-high", {"reasoning": {"summary": "concise"}}, {"summary": "concise", "effort": "high"}),
    ("gpt-5.1:sum-detailed", {"reasoning": {"summary": "concise"}}, {"summary": "concise"}),
    ("gpt-5.1:sum-none", {"reasoning": {"effort": "low"}}, {"effort": "low"}),
    ("gpt-5.1:res-none:sum-auto", {"reasoning": {}}, {"effort": "none"}),
    ("gpt-5.6-sol:sum-auto", {"reasoning": {"effort": "none"}}, {"effort": "none"}),
    ("gpt-5.6-sol:res-high", {"reasoning": {}, "reasoning_effort": "low"}, {}),
    # OpenRouter's form of it
    ("gpt-5.1:res-high", {"reasoning": {"max_tokens": 2000}}, {"max_tokens": 2000}),
    ("gpt-5.1:res-high", {"reasoning": {"enabled": False}}, {"enabled": False}),
    ("gpt-5.1:res-high", {"reasoning": {"enabled": True}}, {"enabled": True, "effort": "high"}),
    ("gpt-5.6-sol:sum-auto", {"reasoning": {"exclude": True}}, {"exclude": True}),
    # not for us to judge
    ("gpt-5.1:res-high", {"reasoning": "high"}, "high"),
    # sampling that reasoning would rule out, on a model that reasons only on demand
    ("gpt-5.1", {"temperature": 0.2}, None),
    ("gpt-5.4-mini", {"top_p": 0.9}, None),
    ("gpt-5.2", {"logprobs": True}, None),
    ("gpt-5.2", {"top_logprobs": 3}, None),
    ("gpt-5.1:sum-auto", {"temperature": 0}, None),
    ("gpt-5.1:res-low", {"temperature": 0.2}, {"effort": "low", "summary": "auto"}),
    # ... but not what an absent field means anyway
    ("gpt-5.1", {"temperature": None, "top_p": None}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5.1", {"temperature": 1, "top_p": 1, "logprobs": False}, {"effort": "medium", "summary": "auto"}),
    # ... nor where the model reasons anyway
    ("gpt-5", {"temperature": 0.2}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5.5", {"temperature": 0.2}, {"effort": "medium", "summary": "auto"}),
    # small budgets
    ("gpt-5.1", {"max_tokens": 1023}, {"effort": "low"}),
    ("gpt-5.1", {"max_tokens": 1024}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5", {"max_completion_tokens": 50}, {"effort": "minimal"}),
    ("gpt-5-pro", {"max_completion_tokens": 50}, {"effort": "high"}),
    ("gpt-5", {"max_output_tokens": 50}, {"effort": "minimal"}),
    ("gpt-5", {"max_completion_tokens": 5000, "max_tokens": 50}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5", {"max_tokens": None}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5", {"max_tokens": "50"}, {"effort": "medium", "summary": "auto"}),
    ("gpt-5:res-high:sum-auto", {"max_tokens": 50}, {"effort": "high", "summary": "auto"}),
    ("gpt-5:res-high", {"max_tokens": 50}, {"effort": "high"}),
]


class ReasoningTests(SynchronousTestCase):
    def run_on(self, model: str, **body: Any) -> Any:
        request = model_alias.transform(chat(model=model, messages=[], **body), context())
        return reasoning_default.transform(request, context())

    def test_cases(self) -> None:
        for model, body, expected in CASES:
            result = self.run_on(model, **body)
            self.assertEqual(result.json.get("reasoning"), expected, (model, body))
            # all else is as it was
            others = {k: v for k, v in result.json.items() if k not in ("reasoning", "model", "messages")}
            self.assertEqual(others, {k: v for k, v in body.items() if k != "reasoning"}, (model, body))

    def test_what_is_filled_in_is_noted_and_what_the_client_sent_is_not(self) -> None:
        self.assertEqual(self.run_on("gpt-5.1").added, {"reasoning"})
        self.assertEqual(self.run_on("gpt-5.1", reasoning_effort="low").added, {"reasoning"})
        self.assertEqual(self.run_on("gpt-5.1:res-high", reasoning={"summary": "auto"}).added, frozenset())
        self.assertEqual(self.run_on("gpt-4o").added, frozenset())

    def test_a_request_with_nothing_to_fill_in_goes_on_as_it_is(self) -> None:
        for body in ({"model": "gpt-4o"}, {"model": "gpt-5.1", "reasoning": {"effort": "low"}}, {"model": None}, {}):
            request = chat(**body)
            self.assertIs(reasoning_default.transform(request, context()), request)

    def test_the_clients_own_object_is_not_changed_in_place(self) -> None:
        own = {"summary": "auto"}
        self.run_on("gpt-5.1:res-high", reasoning=own)
        self.assertEqual(own, {"summary": "auto"})

    def test_settings_of_a_model_that_does_not_reason_are_dropped_with_a_warning(self) -> None:
        result = self.run_on("gpt-4o:res-high:sum-auto")
        self.assertEqual(result.json, {"model": "gpt-4o", "messages": []})
        self.assertEqual(
            result.warnings,
            ("dropped res-high (the model does not reason)", "dropped sum-auto (the model does not reason)"),
        )

    def test_settings_that_ask_for_nothing_are_dropped_in_silence(self) -> None:
        self.assertEqual(self.run_on("gpt-4o:res-none:sum-none").warnings, ())

    def test_an_effort_that_had_to_be_changed_is_told(self) -> None:
        self.assertEqual(
            self.run_on("gpt-5.1:res-max").warnings, ("changed res-max to res-high (the model does not take it)",)
        )
        # the client's own effort counts, so there is nothing to tell
        self.assertEqual(self.run_on("gpt-5.1:res-max", reasoning_effort="low").warnings, ())
        self.assertEqual(self.run_on("gpt-5.1:res-high").warnings, ())

    def test_a_choice_without_an_alias_is_no_hindrance(self) -> None:
        request = chat(model="gpt-5.1").with_choice(ModelChoice("gpt-5.1"))
        result = reasoning_default.transform(request, context())
        self.assertEqual(result.json["reasoning"], {"effort": "medium", "summary": "auto"})


class ReadingTests(SynchronousTestCase):
    def test_the_effective_effort(self) -> None:
        can = Capabilities(reasoning=True, efforts=frozenset({"low"}), default_effort="low")
        for body, effort in (
            ({}, "low"),
            ({"reasoning_effort": "high"}, "high"),
            ({"reasoning": {"effort": "high"}}, "high"),
            ({"reasoning": {"effort": "high"}, "reasoning_effort": "minimal"}, "minimal"),
            ({"reasoning": {"enabled": False, "effort": "high"}}, "none"),
            ({"reasoning": {"summary": "auto"}}, "low"),
            ({"reasoning": "high"}, "low"),
        ):
            self.assertEqual(effective_effort(body, can), effort, body)

    def test_the_newer_budget_counts(self) -> None:
        for body, less in (
            ({}, False),
            ({"max_tokens": 99}, True),
            ({"max_tokens": 100}, False),
            ({"max_tokens": 99.5}, True),
            ({"max_completion_tokens": 500, "max_tokens": 5}, False),
            ({"max_completion_tokens": 5, "max_tokens": 500}, True),
            ({"max_completion_tokens": None, "max_tokens": 5}, True),
            ({"max_tokens": "5"}, False),
        ):
            self.assertEqual(has_less_than(body, 100), less, body)
