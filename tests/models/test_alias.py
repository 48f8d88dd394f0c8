"""Model aliases, name by name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.models import EFFORTS, SUMMARIES, parse_alias
from oaiproxy.models.alias import aliases_of

#: name -> (model, effort, summary)
NAMES = {
    "gpt-5.1-codex:res-high:sum-auto": ("gpt-5.1-codex", "high", "auto"),
    "gpt-5.1-codex:sum-none:res-low": ("gpt-5.1-codex", "low", "none"),
    "gpt-5.6-sol:res-max": ("gpt-5.6-sol", "max", None),
    "gpt-5.1:sum-detailed": ("gpt-5.1", None, "detailed"),
    "gpt-5.1:RES-high:Sum-Auto": ("gpt-5.1", "high", "auto"),
    "gpt-5.1:res-HIGH": ("gpt-5.1", "high", None),
    "openai/gpt-5.1:res-none": ("openai/gpt-5.1", "none", None),
    # colons of the model's own
    "qwen3:8b": ("qwen3:8b", None, None),
    "qwen3:8b:res-high": ("qwen3:8b", "high", None),
    "gpt-5.1:free:sum-auto": ("gpt-5.1:free", None, "auto"),
    # what matches no setting ends the search, whatever is before it
    "gpt-5.1:res-high:free": ("gpt-5.1:res-high:free", None, None),
    "llama:res-foo": ("llama:res-foo", None, None),
    "llama:res-foo:sum-auto": ("llama:res-foo", None, "auto"),
    "gpt-5.1:res-": ("gpt-5.1:res-", None, None),
    "gpt-5.1:res": ("gpt-5.1:res", None, None),
    "gpt-5.1:web-on": ("gpt-5.1:web-on", None, None),
    "gpt-5.1:": ("gpt-5.1:", None, None),
    "gpt-5.1: res-high": ("gpt-5.1: res-high", None, None),
    # never without a model
    ":res-high": (":res-high", None, None),
    "res-high": ("res-high", None, None),
    "": ("", None, None),
    # fine-tuned models are never split
    "ft:gpt-4o:org::id": ("ft:gpt-4o:org::id", None, None),
    "ft:o4-mini:org:res-high": ("ft:o4-mini:org:res-high", None, None),
    "openai/ft:gpt-4o:org:sum-auto": ("openai/ft:gpt-4o:org:sum-auto", None, None),
}


class AliasTests(SynchronousTestCase):
    def test_names(self) -> None:
        for name, expected in NAMES.items():
            model, choice = parse_alias(name)
            self.assertEqual((model, choice.effort, choice.summary), expected, name)
            self.assertEqual(choice.requested, name)

    def test_every_effort_and_every_summary_can_be_named(self) -> None:
        for effort in EFFORTS:
            for summary in SUMMARIES:
                model, choice = parse_alias(f"m:res-{effort}:sum-{summary}")
                self.assertEqual((model, choice.effort, choice.summary), ("m", effort, summary))

    def test_a_setting_named_twice_is_an_error_that_names_both(self) -> None:
        error = self.assertRaises(BadRequest, parse_alias, "gpt-5.1:res-low:sum-auto:RES-high")
        self.assertEqual(error.message, "The model name says 'res-' twice, 'low' and 'high'. Name it once.")
        self.assertEqual((error.status, error.param, error.code), (400, "model", "invalid_model_alias"))

    def test_aliases_are_offered_only_for_efforts_that_the_model_takes(self) -> None:
        self.assertEqual(
            aliases_of("m", frozenset({"none", "low", "high", "max"})),
            ("m:res-low:sum-auto", "m:res-low:sum-none", "m:res-high:sum-auto", "m:res-high:sum-none"),
        )
        self.assertEqual(aliases_of("m", frozenset()), ())

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.text(alphabet="rsumefot-:hig/ ", max_size=24))
    def test_taking_a_name_apart_loses_nothing(self, name: str) -> None:
        try:
            model, choice = parse_alias(name)
        except BadRequest:
            return
        rest = name.removeprefix(model)
        self.assertEqual(model + rest, name)
        self.assertEqual(rest.count(":"), (choice.effort is not None) + (choice.summary is not None))
        # what is left is no alias
        self.assertEqual(parse_alias(model)[0], model)
