"""Aliases in requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ModelChoice
from oaiproxy.models import Catalogue
from oaiproxy.plugins.model_alias import model_alias, resolve
from tests.plugins.support import chat, context


class ModelAliasTests(SynchronousTestCase):
    def test_the_model_goes_on_without_its_settings_which_are_kept(self) -> None:
        request = chat(model="gpt-5.1-codex:res-high:sum-auto", messages=[])
        result = model_alias.transform(request, context())
        self.assertEqual(result.json, {"model": "gpt-5.1-codex", "messages": []})
        self.assertEqual(result.choice, ModelChoice("gpt-5.1-codex:res-high:sum-auto", "high", "auto"))
        self.assertEqual((result.added, result.warnings), (frozenset(), ()))

    def test_a_request_without_an_alias_goes_on_as_it_is(self) -> None:
        for model in ("gpt-5.1", "qwen3:8b", "ft:gpt-4o:org::id", "llama:res-foo", None, 5):
            request = chat(model=model)
            self.assertIs(model_alias.transform(request, context()), request)

    def test_a_request_without_a_model_goes_on_as_it_is(self) -> None:
        request = chat(messages=[])
        self.assertIs(model_alias.transform(request, context()), request)

    def test_a_mistyped_setting_of_a_known_model_is_refused_with_those_that_there_are(self) -> None:
        error = self.assertRaises(BadRequest, model_alias.transform, chat(model="gpt-5.1:res-hihg:sum-auto"), context())
        self.assertEqual(
            error.message,
            "The model name ends in 'res-hihg', which is no setting of an alias. "
            "'res-' takes one of none, minimal, low, medium, high, xhigh, max.",
        )
        self.assertEqual((error.status, error.param, error.code), (400, "model", "invalid_model_alias"))

    def test_a_setting_that_hides_behind_a_foreign_segment_is_refused(self) -> None:
        models = Catalogue.builtin()
        for model in ("gpt-5.1:res-high:free", "openai/gpt-5.1:sum-long", "gpt-4o:res-hihg", "o3-2025-04-16:SUM-x"):
            self.assertEqual(self.assertRaises(BadRequest, resolve, model, models).param, "model", model)

    def test_a_setting_named_twice_is_refused(self) -> None:
        error = self.assertRaises(BadRequest, model_alias.transform, chat(model="own:res-low:res-low"), context())
        self.assertEqual(error.param, "model")
