"""The tables: docs/bridge.md shows them as the code has them, and they lack nothing that the published schema has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.events import EVENTS
from oaiproxy.bridge.forms import FORMS
from oaiproxy.bridge.items import ANNOTATIONS, ITEMS, Place, place_of
from oaiproxy.bridge.toolcalls import HOSTED_CALLS
from tests import docs
from tests.bridge.asking import spec
from tests.bridge.published import Published


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not docs.PAGE.exists():
            self.skipTest("docs/ is not installed beside the tests")
        self.page = docs.PAGE.read_text(encoding="utf-8")

    def test_it_is_as_the_code_has_it(self) -> None:
        self.assertEqual(docs.updated(self.page), self.page, "run: python -m tests.docs")

    def test_it_shows_every_table(self) -> None:
        self.assertEqual(docs.shown(self.page), set(docs.tables()))

    def test_a_change_of_it_would_be_seen(self) -> None:
        changed = self.page.replace("| carried |", "| refused |")
        self.assertNotEqual(docs.updated(changed), changed)
        self.assertRaises(KeyError, docs.updated, "<!-- table: nothing -->\n<!-- end -->")

    def test_no_cell_breaks_its_table(self) -> None:
        for name, made in docs.tables().items():
            columns = {line.replace("\\|", "").count("|") for line in made.splitlines()}
            self.assertEqual(len(columns), 1, name)


class SchemaTests(SynchronousTestCase):
    """Needs the published description; skipped without it."""

    def test_output_items(self) -> None:
        self.assertEqual(set(ITEMS), set(Published().members("OutputItem")))

    def test_annotations(self) -> None:
        self.assertEqual(set(ANNOTATIONS), set(Published().members("Annotation")))

    def test_stream_events(self) -> None:
        published = set(Published().members("ResponseStreamEvent"))
        self.assertEqual({kind for kind, rule in EVENTS.items() if rule.published}, published)
        self.assertEqual({kind for kind, rule in EVENTS.items() if not rule.published} & published, set())

    def test_forms(self) -> None:
        expected = dict(_forms(spec()["components"]["schemas"]))
        self.assertEqual(set(expected), set(FORMS))
        for field, forms in FORMS.items():
            self.assertEqual({form.name for form in forms if form.chat}, expected[field], field)
            self.assertEqual({form.name for form in forms if not form.chat} & expected[field], set(), field)


def _forms(schemas: Any) -> Iterator[tuple[str, set[str]]]:
    """What the schema of a chat request has in each field of the table of forms."""
    published = Published()
    request = schemas["CreateChatCompletionRequest"]["allOf"][1]["properties"]

    def options(schema: Any, key: str = "type") -> set[str]:
        """The words of a union, and the values of `key` in its objects."""
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        found = set(schema.get("enum", ())) | set(schema.get("properties", {}).get(key, {}).get("enum", ()))
        return found.union(*(options(one, key) for one in schema.get("oneOf", ()) or schema.get("anyOf", ())))

    messages = [ref["$ref"].rpartition("/")[2] for ref in schemas["ChatCompletionRequestMessage"]["oneOf"]]
    yield "messages[].role", options(schemas["ChatCompletionRequestMessage"], "role")
    yield "messages[]", {name for message in messages for name in published.fields(message)} - {"role"}
    roles = ("System", "User", "Assistant", "Tool")
    parts = [schemas[f"ChatCompletionRequest{role}MessageContentPart"] for role in roles]
    yield "messages[].content[].type", {kind for part in parts for kind in options(part)}
    yield "tools[].type", options(request["tools"]["items"])
    custom = schemas["CustomToolChatCompletions"]["properties"]["custom"]["properties"]
    yield "tools[].custom.format.type", options(custom["format"])
    yield "tool_choice", options(request["tool_choice"])
    named = set(schemas["ChatCompletionFunctionCallOption"]["properties"])
    yield "function_call", options(request["function_call"]) | named
    yield "response_format.type", options(request["response_format"])
    yield "stream_options", set(schemas["ChatCompletionStreamOptions"]["anyOf"][0]["properties"])
    yield "modalities[]", set(schemas["ResponseModalities"]["anyOf"][0]["items"]["enum"])
    yield "web_search_options", set(request["web_search_options"]["properties"])


class TableTests(SynchronousTestCase):
    def test_every_entry_is_explained_in_one_line(self) -> None:
        notes = [
            *(shown.note for table in (ITEMS, ANNOTATIONS) for shown in table.values()),
            *(rule.note for rule in EVENTS.values()),
            *(form.note for forms in FORMS.values() for form in forms),
        ]
        for note in notes:
            self.assertTrue(note.endswith(".") and "\n" not in note, note)

    def test_a_form_is_in_the_table_once(self) -> None:
        for field, forms in FORMS.items():
            self.assertEqual(len({form.name for form in forms}), len(forms), field)

    def test_every_call_of_a_tool_that_may_run_at_the_client_has_a_form(self) -> None:
        self.assertEqual({kind for kind, v in ITEMS.items() if v.place is Place.LOCAL_CALL}, set(HOSTED_CALLS))

    def test_what_nobody_knows_is_nowhere(self) -> None:
        for kind in ("never_heard_of", None, 5, [], {}):
            self.assertIs(place_of({"type": kind}), Place.NOWHERE)
        self.assertIs(place_of({}), Place.NOWHERE)

    def test_what_is_said_to_give_nothing_has_no_handler(self) -> None:
        for kind, rule in EVENTS.items():
            self.assertEqual(rule.handler is None, rule.note.startswith("Nothing;") or rule.note == "Nothing.", kind)
