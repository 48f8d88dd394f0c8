"""Which model a request is for, and whose rules hold."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.rules.patterns import best_match, is_glob
from oaiproxy.rules.route import Route, find_route, own_models, routes_any, rules_any, rules_of


def base_of(model: str) -> str:
    """A model's name without what stands behind its first colon."""
    return model.partition(":")[0]


def rules(name: str) -> ParameterRules:
    return ParameterRules(drop=(name,))


class PatternTests(SynchronousTestCase):
    def test_an_exact_name_comes_before_a_glob_and_a_longer_glob_before_a_shorter(self) -> None:
        patterns = ("*", "gpt-*", "gpt-5*", "gpt-5", "o[13]", "gpt-?")
        for name, expected in (
            ("gpt-5", "gpt-5"),
            ("gpt-5.1", "gpt-5*"),
            ("gpt-4o", "gpt-*"),
            ("gpt-4", "gpt-*"),  # the first of two that are as long
            ("o3", "o[13]"),
            ("claude", "*"),
        ):
            found = best_match(patterns, (name,))
            self.assertEqual(None if found is None else patterns[found], expected, name)

    def test_nothing_may_fit(self) -> None:
        self.assertIsNone(best_match(("gpt-5", "GPT-*"), ("gpt-4",)))
        self.assertIsNone(best_match((), ("gpt-4",)))

    def test_the_first_name_that_a_pattern_is_counts(self) -> None:
        self.assertEqual(best_match(("b", "a"), ("a", "b")), 1)
        self.assertEqual(best_match(("b", "a"), ("a",), exact=("b",)), 0)
        self.assertEqual(best_match(("x*", "a"), ("a",), exact=("xyz",)), 1)

    def test_a_name_with_the_signs_of_a_glob_is_a_name_as_well(self) -> None:
        self.assertEqual(best_match(("m[1]", "*"), ("m[1]",)), 0)
        self.assertEqual([is_glob(name) for name in ("m*", "m?", "m[1]", "m")], [True, True, True, False])


class ModelTests(SynchronousTestCase):
    def route(self, book: RuleBook, named: str | None, default: bool = True) -> Route:
        return find_route(book, named, base_of, default=default)

    def test_without_rules_a_model_is_itself(self) -> None:
        self.assertEqual(self.route(RuleBook(), "gpt-5:x"), Route("gpt-5:x"))
        self.assertEqual(self.route(RuleBook(), None), Route(None))

    def test_the_map_says_which_model_is_meant(self) -> None:
        book = RuleBook(model_map={"gpt-4o": "gpt-5", "gpt-4o:x": "other"})
        self.assertEqual(self.route(book, "gpt-4o"), Route("gpt-5", told=True))
        self.assertEqual(self.route(book, "gpt-4o:y"), Route("gpt-5", ("gpt-4o:y",), told=True))
        self.assertEqual(self.route(book, "gpt-4o:x"), Route("other", (), told=True))
        self.assertEqual(self.route(book, "gpt-4"), Route("gpt-4"))

    def test_the_map_is_looked_at_once(self) -> None:
        book = RuleBook(model_map={"a": "b", "b": "a"})
        self.assertEqual((self.route(book, "a").model, self.route(book, "b").model), ("b", "a"))

    def test_a_request_that_names_none_is_for_the_default_one_which_may_be_mapped(self) -> None:
        book = RuleBook(default_model="gpt-4o", model_map={"gpt-4o": "gpt-5"})
        self.assertEqual(self.route(book, None).model, "gpt-5")
        self.assertFalse(self.route(book, None).told)
        self.assertEqual(self.route(book, None, default=False), Route(None))
        self.assertEqual(self.route(book, "o3"), Route("o3"))

    def test_a_model_of_its_own(self) -> None:
        table = ModelRules("fast", rules("t"), upstream_model="gpt-5:low")
        book = RuleBook(models=(table,))
        self.assertEqual(self.route(book, "fast"), Route("gpt-5:low", (), table))
        self.assertEqual(self.route(book, "fast:high"), Route("gpt-5:low", ("fast:high",), table))
        self.assertEqual(self.route(book, "gpt-5"), Route("gpt-5"))

    def test_a_glob_may_have_an_upstream_model_which_is_news_to_the_client(self) -> None:
        table = ModelRules("gpt-4*", upstream_model="gpt-5")
        self.assertEqual(
            self.route(RuleBook(models=(table,)), "gpt-4o:x"), Route("gpt-5", ("gpt-4o:x",), table, told=True)
        )

    def test_the_model_of_the_parameters_is_a_model_too(self) -> None:
        for book, named, model in (
            (RuleBook(everywhere=ParameterRules(defaults={"model": "d"})), None, "d"),
            (RuleBook(everywhere=ParameterRules(defaults={"model": "d"})), "m", "m"),
            (RuleBook(everywhere=ParameterRules(overrides={"model": "o"}), model_map={"o": "x"}), "m", "o"),
            (RuleBook(everywhere=ParameterRules(overrides={"model": "o"})), None, "o"),
            (RuleBook(unnamed=ParameterRules(overrides={"model": "u"}), default_model="d"), None, "u"),
            (RuleBook(models=(ModelRules("m", ParameterRules(overrides={"model": "o"})),)), "m", "o"),
        ):
            self.assertEqual(self.route(book, named).model, model, book)
            self.assertTrue(routes_any(book))


class TableTests(SynchronousTestCase):
    def found(self, book: RuleBook, named: str | None) -> list[str]:
        route = find_route(book, named, base_of)
        return [each.drop[0] for each in rules_of(book, named, route)]

    def test_all_then_those_that_name_none_then_the_model_s(self) -> None:
        book = RuleBook(
            everywhere=rules("all"), unnamed=rules("unnamed"), models=(ModelRules("d", rules("d")),), default_model="d"
        )
        self.assertEqual(self.found(book, None), ["all", "unnamed", "d"])
        self.assertEqual(self.found(book, "d"), ["all", "d"])
        self.assertEqual(self.found(book, "m"), ["all"])

    def test_the_table_of_the_model_that_is_meant(self) -> None:
        book = RuleBook(
            models=(ModelRules("gpt-4*", rules("4")), ModelRules("gpt-5*", rules("5"))), model_map={"gpt-4o": "gpt-5"}
        )
        self.assertEqual(self.found(book, "gpt-4o"), ["5"])
        self.assertEqual(self.found(book, "gpt-4"), ["4"])

    def test_but_that_of_the_very_name_comes_first(self) -> None:
        book = RuleBook(
            models=(ModelRules("gpt-5", rules("5")), ModelRules("gpt-4o", rules("4o"))), model_map={"gpt-4o": "gpt-5"}
        )
        self.assertEqual(self.found(book, "gpt-4o"), ["4o"])
        self.assertEqual(self.found(book, "gpt-4o:x"), ["4o"])

    def test_a_model_of_its_own_has_its_own_table_and_not_that_of_what_it_is_upstream(self) -> None:
        book = RuleBook(models=(ModelRules("gpt-5", rules("5")), ModelRules("fast", rules("fast"), "gpt-5")))
        self.assertEqual(self.found(book, "fast"), ["fast"])

    def test_an_alias_counts_whole_first_and_then_as_its_model(self) -> None:
        book = RuleBook(
            models=(ModelRules("m", rules("m")), ModelRules("m:high", rules("high")), ModelRules("*:low", rules("low")))
        )
        self.assertEqual(
            [self.found(book, name) for name in ("m", "m:high", "m:x", "n:low")], [["m"], ["high"], ["m"], ["low"]]
        )

    def test_what_there_is_to_do_is_known(self) -> None:
        nothing = RuleBook(models=(ModelRules("m"),))
        self.assertEqual((routes_any(nothing), rules_any(nothing)), (False, False))
        for book in (
            RuleBook(limit_field="max_tokens"),
            RuleBook(everywhere=rules("a")),
            RuleBook(unnamed=rules("a")),
            RuleBook(models=(ModelRules("m", ParameterRules(append="x")),)),
        ):
            self.assertEqual((routes_any(book), rules_any(book)), (False, True), book)
        for book in (
            RuleBook(model_map={"a": "b"}),
            RuleBook(default_model="a"),
            RuleBook(models=(ModelRules("m", upstream_model="x"),)),
        ):
            self.assertEqual((routes_any(book), rules_any(book)), (True, False), book)

    def test_names_with_an_upstream_model_are_models_and_globs_are_none(self) -> None:
        book = RuleBook(
            models=(
                ModelRules("a", upstream_model="x"),
                ModelRules("b"),
                ModelRules("c*", upstream_model="x"),
                ModelRules("a", upstream_model="y"),
            )
        )
        self.assertEqual(own_models(book), {"a": "x"})
