"""The operator's rules on requests: where which of them hold, and what the client is told."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.notes import Dropped
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.plugins.parameter_rules import parameter_rules
from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline, discover, order
from tests.plugins.support import chat, context


def run(request: ApiRequest, book: RuleBook) -> ApiRequest:
    """The request after the transforms that a port with these rules has, up to the rules themselves."""
    settings = Settings(rules=book)
    found = [each for each in order(discover().transforms) if each.phase in ("identify", "rules")]
    return Pipeline(found).for_settings(settings).run(request, context(rules=book))


def post(path: str, kind: PortKind = PortKind.PASSTHROUGH, **body: Any) -> ApiRequest:
    return ApiRequest(kind, "POST", path, (), Body.of(body))


class RulesTests(SynchronousTestCase):
    def test_all_rules_at_work(self) -> None:
        book = RuleBook(
            everywhere=ParameterRules(defaults={"temperature": 0.7, "top_p": 0.9}, drop=("user",)),
            models=(
                ModelRules("gpt-4*", ParameterRules(overrides={"seed": 4})),
                ModelRules("gpt-5*", ParameterRules(drop=("temperature",), overrides={"seed": 5}, append="!")),
            ),
            unnamed=ParameterRules(overrides={"seed": 0}),
            model_map={"gpt-4o": "gpt-5"},
        )
        hi = [{"role": "user", "content": "Hi"}]
        result = run(chat(model="gpt-4o", user="u", temperature=1, seed=1, messages=hi), book)
        self.assertEqual(
            result.json,
            {"model": "gpt-5", "seed": 5, "messages": [{"role": "user", "content": "Hi!"}], "top_p": 0.9},
        )
        self.assertEqual(result.demanded, {"seed", "top_p"})
        self.assertEqual(result.added, frozenset())
        self.assertEqual(
            result.warnings,
            (
                "changed model to gpt-5 (a rule of this proxy)",
                "dropped user (a rule of this proxy)",
                "dropped temperature (a rule of this proxy)",
                "changed seed to 5 (a rule of this proxy)",
                "appended text to the last user message (a rule of this proxy)",
            ),
        )
        # the operator wants it so, which even a strict port lets pass
        self.assertFalse([note for note in result.notes if isinstance(note, Dropped)])
        self.assertEqual(run(chat(model="gpt-4"), book).json["seed"], 4)
        self.assertEqual(run(chat(), book).json, {"temperature": 0.7, "top_p": 0.9, "seed": 0})

    def test_a_request_that_no_rule_is_about_goes_on_as_it_is(self) -> None:
        book = RuleBook(models=(ModelRules("other", ParameterRules(drop=("seed",))),))
        request = chat(model="gpt-5", seed=1)
        self.assertIs(run(request, book), request)
        book = RuleBook(ParameterRules(drop=("seed",), rename={"a": "b"}))
        request = chat(model="gpt-5")
        self.assertIs(run(request, book), request)

    def test_the_rules_of_requests_that_name_no_model(self) -> None:
        book = RuleBook(
            unnamed=ParameterRules(overrides={"seed": 0}),
            models=(ModelRules("gpt-5", ParameterRules(defaults={"top_p": 1})),),
        )
        for model in (None, ""):
            self.assertEqual(run(chat(model=model), book).json, {"model": model, "seed": 0})
        self.assertEqual(run(chat(model="m"), book).json, {"model": "m"})
        self.assertEqual(run(chat(model=5), book).json, {"model": 5})
        book = RuleBook(models=book.models, unnamed=book.unnamed, default_model="gpt-5")
        self.assertEqual(run(chat(), book).json, {"model": "gpt-5", "seed": 0, "top_p": 1})
        self.assertEqual(run(chat(model="gpt-5"), book).json, {"model": "gpt-5", "top_p": 1})

    def test_a_model_of_its_own_has_rules_of_its_own(self) -> None:
        book = RuleBook(
            models=(
                ModelRules("Qwen3-Thinking", ParameterRules(overrides={"top_k": 20}, append="\n/think"), "Qwen3"),
                ModelRules("Qwen3", ParameterRules(overrides={"top_k": 1})),
            )
        )
        hi = [{"role": "user", "content": "Hi"}]
        for path in ("/chat/completions", "/responses"):
            field = "messages" if path == "/chat/completions" else "input"
            asked: dict[str, Any] = {"model": "Qwen3-Thinking", field: hi}
            self.assertEqual(
                run(post(path, **asked), book).json,
                {"model": "Qwen3", field: [{"role": "user", "content": "Hi\n/think"}], "top_k": 20},
            )

    def test_the_rules_of_a_model_hold_for_its_aliases_where_there_are_aliases(self) -> None:
        book = RuleBook(models=(ModelRules("gpt-5", ParameterRules(overrides={"seed": 5})),))
        self.assertEqual(run(chat(model="gpt-5:res-low"), book).json, {"model": "gpt-5", "seed": 5})
        self.assertEqual(run(post("/chat/completions", model="gpt-5:res-low"), book).json, {"model": "gpt-5:res-low"})

    def test_embeddings_have_the_rules_of_their_own_model_alone(self) -> None:
        book = RuleBook(
            everywhere=ParameterRules(defaults={"temperature": 1}, append="!"),
            unnamed=ParameterRules(overrides={"seed": 1}),
            models=(ModelRules("embed*", ParameterRules(defaults={"dimensions": 256})),),
            limit_field="max_completion_tokens",
        )
        self.assertEqual(run(post("/embeddings", input="Hi"), book).json, {"input": "Hi"})
        self.assertEqual(
            run(post("/embeddings", model="embed-1", input="Hi"), book).json,
            {"model": "embed-1", "input": "Hi", "dimensions": 256},
        )

    def test_a_prompt_has_no_user_message_to_append_to(self) -> None:
        book = RuleBook(ParameterRules(append="!"))
        request = post("/completions", model="m", prompt="Once")
        self.assertIs(run(request, book), request)

    def test_the_limit_on_tokens_is_renamed_where_the_port_passes_on(self) -> None:
        book = RuleBook(limit_field="max_completion_tokens")
        for request, name in (
            (post("/chat/completions", max_tokens=5), "max_completion_tokens"),
            (post("/responses", max_tokens=5), "max_output_tokens"),
            (post("/responses", PortKind.BRIDGE, max_tokens=5), "max_output_tokens"),
            (post("/completions", max_completion_tokens=5), "max_tokens"),
            (post("/completions", PortKind.BRIDGE, max_completion_tokens=5), "max_tokens"),
            (post("/chat/completions", PortKind.BRIDGE, max_tokens=5), "max_tokens"),
        ):
            result = run(request, book)
            self.assertEqual((result.json, result.warnings), ({name: 5}, ()))

    def test_what_the_model_s_name_says_comes_before_a_default(self) -> None:
        low = {"reasoning_effort": "low"}
        result = run(chat(model="gpt-5:res-high"), RuleBook(ParameterRules(defaults=low)))
        self.assertEqual((result.json, result.warnings), ({"model": "gpt-5"}, ()))
        result = run(chat(model="gpt-5:res-high"), RuleBook(ParameterRules(overrides=low)))
        self.assertEqual(result.json, {"model": "gpt-5", **low})
        self.assertEqual(result.warnings, ("changed res-high (a rule of this proxy)",))

    def test_values_that_may_be_private_are_not_told(self) -> None:
        book = RuleBook(ParameterRules(overrides={"user": "team-7", "metadata": {"a": "b"}, "stop": None, "n": 2}))
        result = run(chat(model="m", user="me", metadata={"a": "c"}, stop="x", n=1), book)
        self.assertEqual(
            result.warnings,
            (
                "changed user (a rule of this proxy)",
                "changed metadata (a rule of this proxy)",
                "changed stop to null (a rule of this proxy)",
                "changed n to 2 (a rule of this proxy)",
            ),
        )


class WantedTests(SynchronousTestCase):
    def test_it_is_wanted_where_there_are_rules(self) -> None:
        drop = ParameterRules(drop=("seed",))
        for book, wanted in (
            (RuleBook(), False),
            (RuleBook(default_model="m", model_map={"a": "b"}, models=(ModelRules("a", upstream_model="b"),)), False),
            (RuleBook(drop), True),
            (RuleBook(unnamed=drop), True),
            (RuleBook(models=(ModelRules("a", drop),)), True),
            (RuleBook(limit_field="max_tokens"), True),
        ):
            self.assertIs(parameter_rules.wanted(Settings(rules=book)), wanted)
