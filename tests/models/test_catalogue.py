"""What the catalogue lists, finds and knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.api.request import PortKind
from oaiproxy.models import EFFORTS, Capabilities, Catalogue
from oaiproxy.models.alias import parse_alias
from oaiproxy.models.capabilities import SAMPLING
from oaiproxy.models.catalogue import DEFAULT_OWNER, UNKNOWN_CREATED

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT.parent / "shared" / "spec" / "openai-api.json"

PASSTHROUGH, BRIDGE = PortKind.PASSTHROUGH, PortKind.BRIDGE

#: model -> (efforts, default effort, sampling, web search); the table of models that clients ask for by name
KNOWN = {
    "gpt-5.6-sol": ("none low medium high xhigh max", "medium", "without_reasoning", True),
    "gpt-5.6-luna-2026-07-09": ("none low medium high xhigh max", "medium", "without_reasoning", True),
    "gpt-5.5": ("none low medium high xhigh", "medium", "without_reasoning", True),
    "gpt-5.5-pro-2026-04-23": ("medium high xhigh", "medium", "never", True),
    "gpt-5.4": ("none low medium high xhigh", "none", "without_reasoning", True),
    "gpt-5.4-mini-2026-03-17": ("none low medium high xhigh", "none", "without_reasoning", True),
    "gpt-5.3-chat-latest": ("medium", "medium", "never", False),
    "gpt-5.2-2025-12-11": ("none low medium high xhigh", "none", "without_reasoning", True),
    "gpt-5.2-pro": ("medium high xhigh", "medium", "never", True),
    "gpt-5.1": ("none low medium high", "none", "without_reasoning", True),
    "gpt-5.1-mini": ("none low medium high", "none", "without_reasoning", True),
    "gpt-5.1-codex": ("low medium high", "medium", "never", True),
    "gpt-5.1-codex-max": ("low medium high xhigh", "medium", "never", True),
    "gpt-5.1-chat-latest": ("medium", "medium", "never", False),
    "gpt-5": ("minimal low medium high", "medium", "never", True),
    "gpt-5-mini-2025-08-07": ("minimal low medium high", "medium", "never", True),
    "gpt-5-pro": ("high", "high", "never", True),
    "gpt-5-codex": ("low medium high", "medium", "never", True),
    "gpt-5-chat-latest": ("", None, "always", False),
    "o4-mini": ("low medium high", "medium", "never", True),
    "o3-2025-04-16": ("low medium high", "medium", "never", True),
    "o3-mini": ("low medium high", "medium", "never", False),
    "o3-deep-research": ("medium", "medium", "never", True),
    "o1-2024-12-17": ("low medium high", "medium", "never", False),
    "o1-mini": ("", None, "never", False),
    "gpt-4.1": ("", None, "always", True),
    "gpt-4.1-nano-2025-04-14": ("", None, "always", False),
    "gpt-4o-2024-08-06": ("", None, "always", True),
    "gpt-4o-audio-preview": ("", None, "always", False),
    "gpt-4": ("", None, "always", False),
    "gpt-3.5-turbo": ("", None, "always", False),
}


#: Those that the built-in data has no family for: what they can do is what any model can.
UNTOLD = {"gpt-4", "gpt-3.5-turbo"}


def ids(catalogue: Catalogue, kind: PortKind) -> list[str]:
    return [entry["id"] for entry in catalogue.listed(kind)]


class BuiltinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.catalogue = Catalogue.builtin()

    def test_entries_have_exactly_the_four_fields_that_strict_clients_take(self) -> None:
        for kind in PortKind:
            for entry in self.catalogue.listed(kind):
                self.assertEqual([*entry], ["id", "object", "created", "owned_by"])
                self.assertEqual([type(value) for value in entry.values()], [str, str, int, str])
                self.assertEqual((entry["object"], entry["owned_by"]), ("model", "openai"))
                # between the API's first chat models and 2100
                self.assertTrue(1677610602 <= entry["created"] < 4102444800, entry)

    def test_no_id_is_listed_twice(self) -> None:
        for kind in PortKind:
            listed = ids(self.catalogue, kind)
            self.assertEqual(len(listed), len(set(listed)))

    def test_passthrough_lists_no_codex_model_and_no_alias(self) -> None:
        listed = ids(self.catalogue, PASSTHROUGH)
        self.assertIn("gpt-5.6-sol", listed)
        self.assertIn("gpt-4o", listed)
        self.assertEqual([id for id in listed if "codex" in id or "-pro" in id or ":" in id], [])

    def test_bridge_lists_codex_models_and_no_model_that_does_not_reason(self) -> None:
        listed = ids(self.catalogue, BRIDGE)
        for model in ("gpt-5.1-codex", "gpt-5.1-codex-max", "gpt-5.6-sol", "gpt-5.5-pro", "o3"):
            self.assertIn(model, listed)
        self.assertEqual([id for id in listed if not self.catalogue.capabilities(id).reasoning], [])

    def test_bridge_lists_a_models_aliases_after_it(self) -> None:
        listed = ids(self.catalogue, BRIDGE)
        start = listed.index("gpt-5.1-codex")
        self.assertEqual(
            listed[start : start + 7],
            [
                "gpt-5.1-codex",
                "gpt-5.1-codex:res-low:sum-auto",
                "gpt-5.1-codex:res-low:sum-none",
                "gpt-5.1-codex:res-medium:sum-auto",
                "gpt-5.1-codex:res-medium:sum-none",
                "gpt-5.1-codex:res-high:sum-auto",
                "gpt-5.1-codex:res-high:sum-none",
            ],
        )

    def test_a_model_with_one_effort_has_aliases_for_that_one_only(self) -> None:
        aliases = [id for id in ids(self.catalogue, BRIDGE) if id.startswith("gpt-5-pro:")]
        self.assertEqual(aliases, ["gpt-5-pro:res-high:sum-auto", "gpt-5-pro:res-high:sum-none"])

    def test_every_listed_entry_is_found_by_its_id(self) -> None:
        for kind in PortKind:
            for entry in self.catalogue.listed(kind):
                self.assertEqual(self.catalogue.get(kind, entry["id"]), entry)

    def test_any_alias_of_a_listed_model_is_found_on_a_bridge_port(self) -> None:
        self.assertEqual(
            self.catalogue.get(BRIDGE, "gpt-5.1:SUM-concise:res-none"),
            {"id": "gpt-5.1:SUM-concise:res-none", "object": "model", "created": 1762992000, "owned_by": "openai"},
        )
        self.assertEqual(self.catalogue.get(PASSTHROUGH, "gpt-5.1:res-high"), None)

    def test_what_is_not_listed_is_not_found(self) -> None:
        for id in ("gpt-4o", "nonesuch", "nonesuch:res-high", "gpt-5.1:res-foo", "gpt-5.1:res-low:res-low", ""):
            self.assertEqual(self.catalogue.get(BRIDGE, id), None, id)

    def test_a_listing_is_the_callers_own(self) -> None:
        self.catalogue.listed(PASSTHROUGH)[0]["id"] = "changed"
        self.assertNotIn("changed", ids(self.catalogue, PASSTHROUGH))

    def test_every_listed_model_is_named_in_the_published_schema(self) -> None:
        if not SCHEMA.exists():
            raise SkipTest("needs the published schema beside the checkout")
        schema = SCHEMA.read_text(encoding="utf-8")
        named = set(re.findall(r"[a-z0-9][a-z0-9.\-]*[a-z0-9]", schema))
        models = {parse_alias(id)[0] for kind in PortKind for id in ids(self.catalogue, kind)}
        self.assertEqual(models - named, set())

    def test_what_the_schema_calls_responses_only_is_on_no_passthrough_port(self) -> None:
        if not SCHEMA.exists():
            raise SkipTest("needs the published schema beside the checkout")
        kinds = json.loads(SCHEMA.read_text(encoding="utf-8"))["components"]["schemas"]["ModelIdsResponses"]["anyOf"]
        only = {id for kind in kinds for id in kind.get("enum", ())}
        self.assertIn("gpt-5-codex", only)
        self.assertEqual(only & set(ids(self.catalogue, PASSTHROUGH)), set())


class CapabilityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.catalogue = Catalogue.builtin()

    def test_known_models(self) -> None:
        for model, (efforts, default, sampling, web_search) in KNOWN.items():
            self.assertEqual(
                self.catalogue.capabilities(model),
                Capabilities(
                    bool(efforts), frozenset(efforts.split()), default, sampling, web_search, known=model not in UNTOLD
                ),
                model,
            )

    def test_a_model_of_a_family_is_known_and_no_other(self) -> None:
        for model in ("gpt-5.1", "gpt-4o-2024-08-06", "gpt-4.1-nano", "ft:gpt-4o:org::id", "openai/gpt-5:res-low"):
            self.assertTrue(self.catalogue.capabilities(model).known, model)
        for model in (None, "", "llama-3.1:8b", "gpt-5.7", "gpt-oss-20b"):
            self.assertFalse(self.catalogue.capabilities(model).known, model)

    def test_families_hold_together(self) -> None:
        for family, can in self.catalogue._families.items():
            self.assertTrue(can.efforts <= set(EFFORTS), family)
            self.assertIn(can.sampling, SAMPLING, family)
            self.assertEqual(can.default_effort is not None, can.reasoning, family)
            self.assertTrue(can.default_effort is None or can.default_effort in can.efforts, family)
            # what samples only without reasoning can be told not to reason
            self.assertTrue(can.sampling != "without_reasoning" or "none" in can.efforts, family)
            self.assertTrue(not can.reasoning or can.lowest_effort, family)

    def test_an_unknown_model_only_chats(self) -> None:
        for model in (None, "", "nonesuch", "gpt-5.1x", "gpt-55", "o33", "-", "ft:", "ft", "/", "gpt", "llama-3.1:8b"):
            self.assertEqual(self.catalogue.capabilities(model), Capabilities(), model)
        self.assertEqual(Capabilities().sampling, "always")

    def test_a_version_is_no_prefix_of_another(self) -> None:
        # ends at a dash or at the end, never at a dot
        self.assertEqual(self.catalogue.capabilities("gpt-5.7"), Capabilities())
        self.assertNotEqual(self.catalogue.capabilities("gpt-5"), self.catalogue.capabilities("gpt-5.1"))

    def test_names_that_mean_the_same_model(self) -> None:
        for model, same in {
            "openai/gpt-5.1": "gpt-5.1",
            "openrouter/openai/gpt-5.1-codex": "gpt-5.1-codex",
            "gpt-5.1:res-high:sum-auto": "gpt-5.1",
            "openai/gpt-5:res-low": "gpt-5",
            "ft:gpt-4.1-mini-2025-04-14:my-org::abc": "gpt-4.1-mini",
            "ft:o4-mini-2025-04-16:my/org:suffix:abc": "o4-mini",
            "openai/ft:gpt-4o:org::id": "gpt-4o",
        }.items():
            self.assertEqual(self.catalogue.capabilities(model), self.catalogue.capabilities(same), model)
            self.assertNotEqual(self.catalogue.capabilities(model), Capabilities(), model)


class LoadedTests(SynchronousTestCase):
    def load(self, document: Any) -> Catalogue:
        path = Path(self.mktemp())
        path.write_text(json.dumps(document), encoding="utf-8")
        return Catalogue.load(path)

    def test_the_example_loads_and_shows_every_key(self) -> None:
        path = ROOT / "models.example.json"
        catalogue = Catalogue.load(path)
        self.assertEqual(ids(catalogue, PASSTHROUGH), ["gpt-5.6-sol", "gpt-5.1-codex", "qwen3-thinking"])
        bases = [id for id in ids(catalogue, BRIDGE) if not re.search(":res-(low|medium|high):sum-(auto|none)$", id)]
        self.assertEqual(
            bases, ["gpt-5.6-sol", "gpt-5.1-codex", "gpt-5.5", "gpt-5.4:res-xhigh:sum-detailed", "qwen3-thinking"]
        )
        text = path.read_text(encoding="utf-8")
        for key in ("id", "created", "owned_by", "ports", "reasoning", "web_search"):
            self.assertIn(f'"{key}":', text)
            self.assertIn(f'"// {key}":', text)

    def test_both_kinds_of_port_list_a_plain_id(self) -> None:
        catalogue = self.load(["gpt-4o", "llama3.3:70b"])
        for kind in PortKind:
            self.assertEqual(ids(catalogue, kind), ["gpt-4o", "llama3.3:70b"])

    def test_only_what_the_file_names_is_listed(self) -> None:
        catalogue = self.load({"models": ["gpt-5-pro"]})
        self.assertEqual(
            ids(catalogue, BRIDGE), ["gpt-5-pro", "gpt-5-pro:res-high:sum-auto", "gpt-5-pro:res-high:sum-none"]
        )
        self.assertEqual(catalogue.get(BRIDGE, "gpt-5.1"), None)
        # what it can do is known all the same
        self.assertTrue(catalogue.capabilities("gpt-5.1").reasoning)

    def test_ports_say_where_a_model_is_listed(self) -> None:
        catalogue = self.load(
            [{"id": "a", "ports": ["passthrough"]}, {"id": "b", "ports": ["bridge"]}, {"id": "c", "ports": []}]
        )
        self.assertEqual((ids(catalogue, PASSTHROUGH), ids(catalogue, BRIDGE)), (["a"], ["b"]))

    def test_what_is_left_out_is_filled_in(self) -> None:
        catalogue = self.load([{"id": "gpt-5.5"}, {"id": "own"}, {"id": "gpt-5.1", "created": 7, "owned_by": "me"}])
        self.assertEqual(
            [(entry["id"], entry["created"], entry["owned_by"]) for entry in catalogue.listed(PASSTHROUGH)],
            [("gpt-5.5", 1776902400, DEFAULT_OWNER), ("own", UNKNOWN_CREATED, DEFAULT_OWNER), ("gpt-5.1", 7, "me")],
        )

    def test_a_date_is_its_first_second(self) -> None:
        catalogue = self.load([{"id": "a", "created": "2026-07-09"}])
        self.assertEqual(catalogue.listed(PASSTHROUGH)[0]["created"], 1783555200)

    def test_openais_own_list_is_taken_with_keys_that_we_do_not_know(self) -> None:
        catalogue = self.load(
            {
                "object": "list",
                "has_more": False,
                "data": [
                    {
                        "id": "gpt-5",
                        "object": "model",
                        "created": 1754425777,
                        "owned_by": "system",
                        "shutdown_date": "2026-12-10",
                    }
                ],
            }
        )
        self.assertEqual(
            catalogue.listed(PASSTHROUGH),
            [{"id": "gpt-5", "object": "model", "created": 1754425777, "owned_by": "system"}],
        )

    def test_a_listed_alias_stands_for_itself_on_bridge_ports(self) -> None:
        catalogue = self.load(["gpt-5.1:res-xhigh"])
        self.assertEqual((ids(catalogue, PASSTHROUGH), ids(catalogue, BRIDGE)), ([], ["gpt-5.1:res-xhigh"]))
        self.assertEqual(catalogue.capabilities("gpt-5.1:res-xhigh"), catalogue.capabilities("gpt-5.1"))
        self.assertEqual(catalogue.get(BRIDGE, "gpt-5.1:res-low"), None)

    def test_what_is_said_of_a_listed_alias_is_said_of_its_model(self) -> None:
        catalogue = self.load([{"id": "own:res-high", "reasoning": True}])
        self.assertTrue(catalogue.capabilities("own").reasoning)
        self.assertEqual(ids(catalogue, BRIDGE), ["own:res-high"])

    def test_an_alias_that_is_listed_by_hand_is_not_listed_again(self) -> None:
        catalogue = self.load(["gpt-5-pro", {"id": "gpt-5-pro:res-high:sum-auto", "owned_by": "me"}])
        self.assertEqual(
            ids(catalogue, BRIDGE), ["gpt-5-pro", "gpt-5-pro:res-high:sum-none", "gpt-5-pro:res-high:sum-auto"]
        )

    def test_a_model_of_ones_own_can_be_said_to_reason(self) -> None:
        catalogue = self.load([{"id": "own", "reasoning": True}])
        self.assertEqual(
            catalogue.capabilities("own"),
            Capabilities(True, frozenset({"low", "medium", "high"}), "medium", "always", False),
        )
        self.assertIn("own:res-high:sum-auto", ids(catalogue, BRIDGE))

    def test_a_known_model_that_is_said_to_reason_keeps_its_efforts(self) -> None:
        catalogue = self.load([{"id": "gpt-5-pro", "reasoning": True}])
        self.assertEqual(catalogue.capabilities("gpt-5-pro"), Catalogue.builtin().capabilities("gpt-5-pro"))

    def test_a_known_model_can_be_said_not_to_reason(self) -> None:
        catalogue = self.load([{"id": "gpt-5.1", "reasoning": False}])
        self.assertEqual(catalogue.capabilities("gpt-5.1"), Capabilities(web_search=True, known=True))
        self.assertEqual(catalogue.capabilities("openai/gpt-5.1"), Capabilities(web_search=True, known=True))
        self.assertEqual(ids(catalogue, BRIDGE), ["gpt-5.1"])

    def test_web_search_can_be_switched_for_a_model(self) -> None:
        catalogue = self.load([{"id": "gpt-4o", "web_search": False}, {"id": "own", "web_search": True}])
        self.assertFalse(catalogue.capabilities("gpt-4o").web_search)
        self.assertTrue(catalogue.capabilities("own").web_search)
        self.assertTrue(catalogue.capabilities("gpt-4.1").web_search)


class OwnModelsTests(SynchronousTestCase):
    """Models that are others by a name of their own, as the operator's rules make them."""

    def setUp(self) -> None:
        self.plain = Catalogue.builtin()
        self.models = self.plain.with_models({"fast": "gpt-5.1:res-low", "local": "Qwen3-32B", "gpt-5": "gpt-5.1"})

    def test_they_are_listed_last_and_once(self) -> None:
        for kind in PortKind:
            plain = [entry["id"] for entry in self.plain.listed(kind)]
            self.assertEqual([entry["id"] for entry in self.models.listed(kind)], [*plain, "fast", "local"])

    def test_they_are_as_old_as_the_model_that_they_are_where_that_is_known(self) -> None:
        like = self.plain.get(BRIDGE, "gpt-5.1")
        assert like is not None
        self.assertEqual(self.models.get(PASSTHROUGH, "fast"), {**like, "id": "fast"})
        self.assertEqual(
            self.models.get(BRIDGE, "local"),
            {"id": "local", "object": "model", "created": UNKNOWN_CREATED, "owned_by": DEFAULT_OWNER},
        )

    def test_their_aliases_are_found_and_not_listed(self) -> None:
        found = self.models.get(BRIDGE, "fast:res-high")
        assert found is not None
        self.assertEqual(found["id"], "fast:res-high")

    def test_they_can_what_the_model_that_they_are_can(self) -> None:
        self.assertEqual(self.models.capabilities("fast"), self.plain.capabilities("gpt-5.1"))
        self.assertEqual(self.models.capabilities("local"), Capabilities())

    def test_a_model_that_another_name_stands_for_stays_what_it_is(self) -> None:
        models = self.plain.with_models({"gpt-4o": "gpt-5", "old": "gpt-4o"})
        self.assertEqual(models.capabilities("gpt-4o"), self.plain.capabilities("gpt-4o"))

    def test_the_catalogue_that_it_was_made_of_is_as_it_was(self) -> None:
        self.assertIsNone(self.plain.get(BRIDGE, "fast"))
        self.assertIs(self.plain.with_models({}), self.plain)
