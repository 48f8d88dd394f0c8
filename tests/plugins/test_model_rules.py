"""Which model a request goes to: maps, default models and models of their own, with aliases in them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ApiRequest, Body, ModelChoice, PortKind
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.model_rules import model_rules
from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline, order
from tests.plugins.support import chat, context

BOOK = RuleBook(
    model_map={"gpt-4o": "gpt-5", "quick": "gpt-5:res-low:sum-none"},
    models=(ModelRules("fast", upstream_model="gpt-5:res-low"), ModelRules("gpt-3*", upstream_model="gpt-5")),
)


def run(request: ApiRequest, book: RuleBook) -> ApiRequest:
    """The request after all that identifies its model."""
    return Pipeline(order((model_alias, model_rules))).run(request, context(rules=book))


def passed(path: str = "/chat/completions", **body: Any) -> ApiRequest:
    return ApiRequest(PortKind.PASSTHROUGH, "POST", path, (), Body.of(body))


class BridgeTests(SynchronousTestCase):
    def test_the_model_that_is_meant_and_what_the_names_say(self) -> None:
        for named, model, effort, summary in (
            ("gpt-4o", "gpt-5", None, None),
            ("gpt-4o:res-high", "gpt-5", "high", None),
            ("quick", "gpt-5", "low", "none"),
            ("quick:res-high", "gpt-5", "high", "none"),
            ("fast", "gpt-5", "low", None),
            ("fast:sum-auto", "gpt-5", "low", "auto"),
            ("fast:res-high:sum-none", "gpt-5", "high", "none"),
            ("gpt-3.5-turbo", "gpt-5", None, None),
            ("gpt-3.5-turbo:res-high", "gpt-5", "high", None),
        ):
            result = run(chat(model=named, seed=1), BOOK)
            self.assertEqual(result.json, {"model": model, "seed": 1})
            self.assertEqual(result.choice, ModelChoice(named, effort, summary))

    def test_a_model_that_no_rule_is_about_goes_on_as_it_is(self) -> None:
        request = chat(model="gpt-5.1")
        self.assertIs(run(request, BOOK), request)
        self.assertEqual(run(chat(model="gpt-5.1:res-low"), BOOK).choice, ModelChoice("gpt-5.1:res-low", "low"))

    def test_a_request_that_names_none_gets_the_default_one(self) -> None:
        book = RuleBook(default_model="gpt-5:res-low")
        for body in ({}, {"model": None}, {"model": ""}):
            result = run(chat(**body), book)
            self.assertEqual((result.json, result.choice), ({"model": "gpt-5"}, ModelChoice("", "low")))

    def test_a_model_of_the_wrong_type_is_left_to_who_reads_it(self) -> None:
        request = chat(model=5)
        self.assertIs(run(request, RuleBook(default_model="gpt-5")), request)

    def test_a_mistyped_alias_is_refused_as_ever(self) -> None:
        for named in ("gpt-4o:res-hihg", "gpt-4o:res-low:res-low"):
            self.assertEqual(self.assertRaises(BadRequest, run, chat(model=named), BOOK).param, "model")

    def test_the_client_is_told_of_another_model_than_it_named(self) -> None:
        for named, warnings in (
            ("gpt-4o:res-high", ("changed model to gpt-5 (a rule of this proxy)",)),
            ("gpt-3.5-turbo", ("changed model to gpt-5 (a rule of this proxy)",)),
            ("fast:res-high", ()),
            (None, ()),
        ):
            book = RuleBook(BOOK.everywhere, BOOK.models, model_map=BOOK.model_map, default_model="gpt-5")
            result = run(chat(**({} if named is None else {"model": named})), book)
            self.assertEqual((result.model, result.warnings), ("gpt-5", warnings))

    def test_a_model_for_all_requests(self) -> None:
        result = run(chat(model="gpt-4o:res-low"), RuleBook(ParameterRules(overrides={"model": "gpt-5:res-high"})))
        self.assertEqual((result.model, result.choice), ("gpt-5", ModelChoice("gpt-4o:res-low", "high")))


class PassthroughTests(SynchronousTestCase):
    def test_names_are_what_they_are_as_nobody_resolves_aliases_there(self) -> None:
        for named, model in (
            ("gpt-4o", "gpt-5"),
            ("gpt-4o:res-high", "gpt-4o:res-high"),
            ("fast", "gpt-5:res-low"),
            ("llama3:8b", "llama3:8b"),
        ):
            self.assertEqual(run(passed(model=named), BOOK).model, model)

    def test_the_paths_that_name_a_model(self) -> None:
        for path in (
            "/chat/completions",
            "/completions",
            "/responses",
            "/responses/compact",
            "/responses/input_tokens",
            "/embeddings",
        ):
            self.assertEqual(run(passed(path, model="gpt-4o"), BOOK).model, "gpt-5", path)
        request = passed("/images/generations", model="gpt-4o")
        self.assertIs(run(request, BOOK), request)

    def test_the_default_model_is_for_requests_that_make_a_text(self) -> None:
        book = RuleBook(default_model="gpt-5")
        for path, body, model in (
            ("/chat/completions", {}, "gpt-5"),
            ("/completions", {}, "gpt-5"),
            ("/responses", {"input": "Hi"}, "gpt-5"),
            ("/responses", {"prompt": {"id": "pmpt_1"}}, None),
            ("/responses/input_tokens", {}, None),
            ("/embeddings", {}, None),
        ):
            self.assertEqual(run(passed(path, **body), book).model, model, path)

    def test_on_a_bridge_port_responses_are_passed_on_too(self) -> None:
        request = ApiRequest(PortKind.BRIDGE, "POST", "/responses", (), Body.of({"model": "fast"}))
        self.assertEqual(run(request, BOOK).model, "gpt-5:res-low")


class WantedTests(SynchronousTestCase):
    def test_it_is_wanted_where_rules_are_about_models(self) -> None:
        for book, wanted in (
            (RuleBook(), False),
            (RuleBook(ParameterRules(drop=("seed",)), limit_field="max_tokens"), False),
            (RuleBook(models=(ModelRules("a", ParameterRules(drop=("seed",))),)), False),
            (RuleBook(default_model="m"), True),
            (RuleBook(model_map={"a": "b"}), True),
            (BOOK, True),
        ):
            self.assertIs(model_rules.wanted(Settings(rules=book)), wanted)
