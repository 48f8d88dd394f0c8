"""What parameter rules make of a body: order, names that mean the same, and what the client is told."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rules.apply import Outcome, apply_rules
from oaiproxy.rules.params import ParameterRules

CHAT, RESPONSES, COMPLETIONS = "/chat/completions", "/responses", "/completions"


def apply(body: dict[str, Any], *rules: ParameterRules, path: str = CHAT, **more: Any) -> Outcome:
    return apply_rules(body, rules, path, **more)


class OrderTests(SynchronousTestCase):
    def test_rename_then_drop_then_defaults_then_overrides(self) -> None:
        outcome = apply(
            {"a": 1, "b": 2, "c": 3},
            ParameterRules(
                rename={"a": "b2", "b": "a"}, drop=("a", "c"), defaults={"c": 4, "d": 5}, overrides={"d": 6}
            ),
        )
        self.assertEqual(outcome.body, {"b2": 1, "c": 4, "d": 6})
        self.assertEqual((outcome.set, outcome.changed, outcome.dropped), ({"c", "d"}, {}, ("b", "c")))

    def test_what_comes_later_has_the_last_word(self) -> None:
        for first, second, body in (
            (ParameterRules(overrides={"t": 1}), ParameterRules(overrides={"t": 2}), {"t": 2}),
            (ParameterRules(overrides={"t": 1}), ParameterRules(drop=("t",)), {}),
            (ParameterRules(drop=("t",)), ParameterRules(defaults={"t": 2}), {"t": 2}),
            (ParameterRules(overrides={"t": 1}), ParameterRules(defaults={"t": 2}), {"t": 1}),
            (ParameterRules(overrides={"t": 1}), ParameterRules(rename={"t": "u"}), {"u": 1}),
        ):
            self.assertEqual(apply({"t": 0}, first, second).body, body)

    def test_a_model_s_default_wins_over_a_default_for_all(self) -> None:
        rules = (ParameterRules(defaults={"t": 1, "u": 1}), ParameterRules(defaults={"t": 2}))
        self.assertEqual(apply({}, *rules).body, {"t": 2, "u": 1})
        self.assertEqual(apply({"t": 0}, *rules).body, {"t": 0, "u": 1})

    def test_a_default_holds_where_the_client_says_nothing_and_null_says_nothing(self) -> None:
        rules = ParameterRules(defaults={"a": 1, "b": 2, "c": 3, "d": 4})
        outcome = apply({"a": 0, "b": None, "c": False}, rules)
        self.assertEqual(outcome.body, {"a": 0, "b": 2, "c": False, "d": 4})
        self.assertEqual((outcome.set, outcome.changed, outcome.dropped), ({"b", "d"}, {}, ()))

    def test_what_there_was_is_not_changed_and_nothing_to_do_returns_it(self) -> None:
        body = {"a": {"b": 1}, "messages": [{"role": "user", "content": "Hi"}]}
        before = copy.deepcopy(body)
        apply(body, ParameterRules(overrides={"a": 1}, append="x", rename={"a": "b"}))
        self.assertEqual(body, before)
        for rules in (ParameterRules(drop=("x",), rename={"y": "z"}), ParameterRules(overrides={"a": {"b": 1}})):
            self.assertIs(apply(body, rules).body, body)


class RenameTests(SynchronousTestCase):
    def test_two_names_may_change_places(self) -> None:
        outcome = apply({"a": 1, "b": 2}, ParameterRules(rename={"a": "b", "b": "a"}))
        self.assertEqual((outcome.body, outcome.changed, outcome.dropped), ({"a": 2, "b": 1}, {}, ()))

    def test_what_has_the_new_name_already_wins_unless_it_is_null(self) -> None:
        rules = ParameterRules(rename={"old": "new"})
        for body, expected, changed in (
            ({"old": 1, "new": 2}, {"new": 2}, {"old": 2}),
            ({"new": 2, "old": 1}, {"new": 2}, {"old": 2}),
            ({"old": 1, "new": None}, {"new": 1}, {}),
            ({"old": None, "new": 2}, {"new": 2}, {}),
            ({"old": 1, "new": 1}, {"new": 1}, {}),
        ):
            outcome = apply(body, rules)
            self.assertEqual((outcome.body, outcome.changed, outcome.dropped), (expected, changed, ()))

    def test_the_client_s_field_wins_over_a_default(self) -> None:
        outcome = apply({"old": 1}, ParameterRules(defaults={"new": 2}), ParameterRules(rename={"old": "new"}))
        self.assertEqual((outcome.body, outcome.set, outcome.changed), ({"new": 1}, frozenset(), {}))

    def test_a_renamed_field_is_the_same_wish_and_keeps_its_place(self) -> None:
        outcome = apply({"a": 1, "max_tokens": 5, "b": 2}, ParameterRules(rename={"max_tokens": "limit"}))
        self.assertEqual(list(outcome.body.items()), [("a", 1), ("limit", 5), ("b", 2)])
        self.assertEqual((outcome.changed, outcome.dropped), ({}, ()))

    def test_a_renamed_field_that_is_set_is_told_in_the_client_s_words(self) -> None:
        outcome = apply({"a": 1, "c": 2}, ParameterRules(rename={"a": "b", "c": "d"}, overrides={"b": 3}, drop=("d",)))
        self.assertEqual((outcome.body, outcome.changed, outcome.dropped), ({"b": 3}, {"a": 3}, ("c",)))


class SynonymTests(SynchronousTestCase):
    def test_a_limit_under_another_name_has_been_said(self) -> None:
        rules = ParameterRules(defaults={"max_tokens": 100})
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            self.assertEqual(apply({name: 5}, rules).body, {name: 5})

    def test_an_override_takes_the_place_of_all_names(self) -> None:
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            outcome = apply({"max_completion_tokens": 5, "max_tokens": 6}, ParameterRules(overrides={name: 9}))
            self.assertEqual(outcome.body, {name: 9})
            self.assertEqual(outcome.changed, {"max_completion_tokens": 9, "max_tokens": 9})

    def test_a_default_for_the_model_takes_the_place_of_one_for_all_under_another_name(self) -> None:
        rules = (ParameterRules(defaults={"max_tokens": 1}), ParameterRules(defaults={"max_completion_tokens": 2}))
        self.assertEqual(apply({}, *rules).body, {"max_completion_tokens": 2})

    def test_dropping_one_name_drops_that_one(self) -> None:
        outcome = apply({"max_tokens": 1, "max_completion_tokens": 2}, ParameterRules(drop=("max_tokens",)))
        self.assertEqual((outcome.body, outcome.dropped), ({"max_completion_tokens": 2}, ("max_tokens",)))

    def test_tools_and_functions_are_one_thing(self) -> None:
        self.assertEqual(apply({"functions": [1]}, ParameterRules(defaults={"tools": [2]})).body, {"functions": [1]})
        self.assertEqual(apply({"functions": [1]}, ParameterRules(overrides={"tools": [2]})).body, {"tools": [2]})

    def test_the_effort_may_stand_in_two_places(self) -> None:
        for body, rules, expected in (
            ({"reasoning": {"effort": "high"}}, ParameterRules(defaults={"reasoning_effort": "low"}), None),
            ({"reasoning": {"enabled": False}}, ParameterRules(defaults={"reasoning_effort": "low"}), None),
            (
                {"reasoning": {"summary": "auto"}},
                ParameterRules(defaults={"reasoning_effort": "low"}),
                {"reasoning": {"summary": "auto"}, "reasoning_effort": "low"},
            ),
            (
                {"reasoning_effort": "high"},
                ParameterRules(defaults={"reasoning": {"effort": "low", "summary": "auto"}}),
                {"reasoning_effort": "high", "reasoning": {"summary": "auto"}},
            ),
            ({"reasoning_effort": "high"}, ParameterRules(defaults={"reasoning": {"effort": "low"}}), None),
            (
                {"reasoning": {"effort": "high", "summary": "auto"}},
                ParameterRules(overrides={"reasoning_effort": "low"}),
                {"reasoning": {"summary": "auto"}, "reasoning_effort": "low"},
            ),
            (
                {"reasoning": {"effort": "high"}},
                ParameterRules(overrides={"reasoning_effort": "low"}),
                {"reasoning_effort": "low"},
            ),
            (
                {"reasoning_effort": "high"},
                ParameterRules(overrides={"reasoning": {"effort": "low"}}),
                {"reasoning": {"effort": "low"}},
            ),
        ):
            self.assertEqual(apply(body, rules).body, body if expected is None else expected, (body, rules))

    def test_what_the_model_s_name_says_comes_before_a_default_and_not_before_an_override(self) -> None:
        both = {"effort": "low", "summary": "auto"}
        defaults = ParameterRules(defaults={"reasoning": both})
        self.assertEqual(apply({}, defaults, aliased=("effort",)).body, {"reasoning": {"summary": "auto"}})
        self.assertEqual(apply({}, defaults, aliased=("summary",)).body, {"reasoning": {"effort": "low"}})
        self.assertEqual(apply({}, defaults, aliased=("effort", "summary")).body, {})
        effort = {"reasoning_effort": "low"}
        self.assertEqual(apply({}, ParameterRules(defaults=effort), aliased=("effort",)).body, {})
        self.assertEqual(apply({}, ParameterRules(overrides=effort), aliased=("effort",)).body, effort)


class PathTests(SynchronousTestCase):
    def test_a_rule_s_limit_is_called_as_the_path_has_it(self) -> None:
        for kind in ("defaults", "overrides"):
            said: dict[str, Any] = {kind: {"max_tokens": 5}}
            rules = ParameterRules(**said)
            for path, name in ((CHAT, "max_tokens"), (RESPONSES, "max_output_tokens"), (COMPLETIONS, "max_tokens")):
                self.assertEqual(apply({}, rules, path=path).body, {name: 5})

    def test_a_rule_s_effort_stands_in_responses_where_they_have_it(self) -> None:
        low = {"reasoning_effort": "low"}
        for body, rules, expected in (
            ({}, ParameterRules(defaults=low), {"reasoning": {"effort": "low"}}),
            (
                {"reasoning": {"summary": "auto"}},
                ParameterRules(defaults=low),
                {"reasoning": {"summary": "auto", "effort": "low"}},
            ),
            ({"reasoning": {"effort": "high"}}, ParameterRules(defaults=low), {"reasoning": {"effort": "high"}}),
            ({"reasoning": None}, ParameterRules(overrides=low), {"reasoning": {"effort": "low"}}),
            (
                {"reasoning": {"effort": "high", "summary": "auto"}},
                ParameterRules(overrides=low),
                {"reasoning": {"summary": "auto", "effort": "low"}},
            ),
        ):
            outcome = apply(body, rules, path=RESPONSES)
            self.assertEqual(outcome.body, expected)
        self.assertEqual(outcome.changed, {"reasoning": {"summary": "auto", "effort": "low"}})

    def test_the_model_s_default_effort_wins_in_responses_too(self) -> None:
        rules = (ParameterRules(defaults={"reasoning_effort": each}) for each in ("low", "high"))
        outcome = apply({"reasoning": {"summary": "auto"}}, *rules, path=RESPONSES)
        self.assertEqual(outcome.body, {"reasoning": {"summary": "auto", "effort": "high"}})
        self.assertEqual((outcome.changed, outcome.set), ({}, {"reasoning"}))

    def test_every_limit_becomes_the_one_that_the_target_wants(self) -> None:
        for path, wanted in (
            (CHAT, "max_completion_tokens"),
            (RESPONSES, "max_output_tokens"),
            (COMPLETIONS, "max_tokens"),
        ):
            for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
                outcome = apply({"a": 1, name: 5, "b": 2}, path=path, limit_field="max_completion_tokens")
                self.assertEqual(list(outcome.body.items()), [("a", 1), (wanted, 5), ("b", 2)])
                self.assertEqual((outcome.changed, outcome.dropped), ({}, ()))

    def test_of_several_limits_the_one_that_is_called_so_wins(self) -> None:
        for body, limit, told in (
            ({"max_tokens": 5, "max_completion_tokens": 7}, 7, {"max_tokens": 7}),
            ({"max_tokens": 5, "max_completion_tokens": None}, 5, {}),
            ({"max_tokens": 5, "max_output_tokens": 6}, 6, {"max_tokens": 6}),
        ):
            outcome = apply(body, limit_field="max_completion_tokens")
            self.assertEqual((outcome.body, outcome.changed), ({"max_completion_tokens": limit}, told))

    def test_a_limit_that_a_rule_sets_becomes_it_too(self) -> None:
        outcome = apply({}, ParameterRules(defaults={"max_tokens": 5}), limit_field="max_completion_tokens")
        self.assertEqual((outcome.body, outcome.set), ({"max_completion_tokens": 5}, {"max_completion_tokens"}))


class ToldTests(SynchronousTestCase):
    def test_a_wish_that_is_fulfilled_or_was_none_is_not_told(self) -> None:
        outcome = apply(
            {"a": 1, "b": None, "c": None, "d": {"x": 1, "y": None}},
            ParameterRules(overrides={"a": 1, "b": 2, "d": {"x": 1, "z": 3}, "e": 4}, drop=("c",)),
        )
        self.assertEqual(outcome.body, {"a": 1, "b": 2, "d": {"x": 1, "z": 3}, "e": 4})
        self.assertEqual((outcome.changed, outcome.dropped), ({}, ()))
        self.assertEqual(outcome.set, {"a", "b", "d", "e"})

    def test_text_that_is_appended_is_told_as_such(self) -> None:
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        outcome = apply(body, ParameterRules(append="!"), ParameterRules(append="?"))
        self.assertEqual(outcome.body, {"messages": [{"role": "user", "content": "Hi!?"}]})
        self.assertEqual((outcome.changed, outcome.dropped, outcome.appended), ({}, (), True))

    def test_the_model_is_no_parameter(self) -> None:
        rules = ParameterRules(defaults={"model": "d"}, overrides={"model": "o"})
        self.assertEqual(apply({"model": "m"}, rules).body, {"model": "m"})
        self.assertEqual(apply({}, rules).body, {})
        self.assertEqual(
            apply({"model": "m"}, ParameterRules(rename={"model": "deployment"})).body, {"deployment": "m"}
        )


NAMES = st.sampled_from(
    ["a", "b", "model", "max_tokens", "max_completion_tokens", "max_output_tokens", "reasoning", "reasoning_effort"]
)
VALUES = st.sampled_from([None, 0, 1, "low", {}, {"effort": "high"}, {"summary": "auto"}, [1]])
FIELDS = st.dictionaries(NAMES, VALUES)
RULES = st.builds(
    ParameterRules,
    rename=st.dictionaries(NAMES, NAMES),
    drop=st.lists(NAMES).map(tuple),
    defaults=FIELDS,
    overrides=FIELDS,
)
PATHS = st.sampled_from([CHAT, RESPONSES, COMPLETIONS])
LIMIT_FIELDS = st.sampled_from([None, "max_tokens", "max_completion_tokens", "max_output_tokens"])


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(FIELDS, st.lists(RULES, max_size=3), PATHS, LIMIT_FIELDS)
    def test_no_wish_is_lost_in_silence(
        self, body: dict[str, Any], rules: list[ParameterRules], path: str, limit_field: str | None
    ) -> None:
        before = copy.deepcopy(body)
        outcome = apply_rules(body, rules, path, limit_field=limit_field)
        self.assertEqual(body, before)
        self.assertLessEqual(outcome.set, set(outcome.body))
        told = {*outcome.changed, *outcome.dropped}
        self.assertLessEqual(told, set(body))
        for name, wish in body.items():
            heeded = wish in list(outcome.body.values()) or wish is None or isinstance(wish, dict)
            self.assertTrue(heeded or name in told, (name, outcome))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(FIELDS, RULES, PATHS)
    def test_overrides_hold_whatever_the_client_says(
        self, body: dict[str, Any], rules: ParameterRules, path: str
    ) -> None:
        rules = ParameterRules(overrides={"a": 9, "max_tokens": 7}, rename=rules.rename, drop=rules.drop)
        outcome = apply_rules(body, [rules], path)
        limit = "max_output_tokens" if path == RESPONSES else "max_tokens"
        limits = {name: value for name, value in outcome.body.items() if name.endswith("_tokens")}
        self.assertEqual((outcome.body["a"], limits), (9, {limit: 7}))
