"""Files of models that cannot be used, and what their owner is told."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.models import Catalogue, CatalogueError
from oaiproxy.models.modelfile import ModelEntry, parse_models

#: what a file holds -> what is said of it
WRONG = {
    b"": "line 1, column 1: not JSON (Expecting value)",
    b'{"models": [\n  "a",\n  "b"\n': "line 4, column 1: not JSON (Expecting ',' delimiter)",
    b"# models\n[]": "line 1, column 1: not JSON (Expecting value)",
    b"[\"a\", 'b']": "line 1, column 7: not JSON (Expecting value)",
    b'["\xff"]': "byte 2: it is not UTF-8 text",
    b"[" * 200_000: "it is nested too deeply",
    b'{"models": ["a"], "models": ["b"]}': "the key 'models' is there twice in one object",
    b'[{"id": "a", "id": "b"}]': "the key 'id' is there twice in one object",
    b'"gpt-5"': "must be a JSON object or array, not a string",
    b"null": "must be a JSON object or array, not null",
    b"{}": "has no 'models'",
    b'{"//": "nothing else"}': "has no 'models'",
    b'{"model": ["a"]}': "model: unknown key; the models are under 'models'",
    b'{"models": ["a"], "aliases": {}}': "aliases: unknown key; the models are under 'models'",
    b'{"a\\nb": 1}': "'a\\nb': unknown key; the models are under 'models'",
    b'{"models": ["a"], "data": ["b"]}': "data: unknown key; the models are under 'models'",
    b'{"models": "a"}': "models: must be an array, not a string",
    b'{"object": "list", "data": {}}': "data: must be an array, not an object",
    b'{"models": []}': "models: names no models",
    b"[]": "names no models",
    b'["a", 5]': "[1]: must be a model's id or an object, not a number",
    b'{"models": [null]}': "models[0]: must be a model's id or an object, not null",
    b'[{"owned_by": "me"}]': "[0]: has no 'id'",
    b'[""]': "[0]: must not be empty",
    b'[" a"]': "[0]: ' a' is no model's id",
    b'["a\\nb"]': "[0]: 'a\\nb' is no model's id",
    b'["\\ud800"]': "[0]: '\\ud800' is no model's id",
    b'[{"id": 5}]': "[0].id: must be a string, not a number",
    b'["a", {"id": "b"}, "b"]': "[2]: 'b' is named already, at [1]",
    b'{"data": [{"id": "b"}, {"id": "b"}]}': "data[1]: 'b' is named already, at data[0]",
    b'[{"id": "a", "name": "A"}]': (
        "[0].name: unknown key; known are id, object, created, owned_by, ports, reasoning, web_search"
    ),
    b'[{"id": "a", "object": "list"}]': "[0].object: must be 'model'",
    b'[{"id": "a", "created": true}]': ("[0].created: must be a Unix time in whole seconds or a date, not a boolean"),
    b'[{"id": "a", "created": 1.5}]': "[0].created: must be a Unix time in whole seconds or a date, not a number",
    b'[{"id": "a", "created": null}]': "[0].created: must be a Unix time in whole seconds or a date, not null",
    b'[{"id": "a", "created": -1}]': "[0].created: -1 is no Unix time",
    b'[{"id": "a", "created": "9.7.2026"}]': "[0].created: '9.7.2026' is no date such as 2026-07-09",
    b'[{"id": "a", "created": ' + b"9" * 5000 + b"}]": "not JSON (Exceeds the limit",
    b'[{"id": "a", "owned_by": ""}]': "[0].owned_by: must not be empty",
    b'[{"id": "a", "reasoning": "yes"}]': "[0].reasoning: must be true or false, not a string",
    b'[{"id": "a", "web_search": 1}]': "[0].web_search: must be true or false, not a number",
    b'[{"id": "a", "ports": "bridge"}]': "[0].ports: must be an array, not a string",
    b'{"models": [{"id": "a", "ports": ["bridge", "http"]}]}': "models[0].ports[1]: must be one of passthrough, bridge",
    b'[{"id": "a", "ports": [[]]}]': "[0].ports[0]: must be one of passthrough, bridge",
}


class WrongFileTests(SynchronousTestCase):
    def said_of(self, path: Path) -> str:
        said = str(self.assertRaises(CatalogueError, Catalogue.load, path))
        self.assertTrue(said.startswith(f"{path}: "), said)
        self.assertNotIn("\n", said)
        return said.removeprefix(f"{path}: ")

    def test_each_is_told_in_one_line_with_the_file_and_the_place(self) -> None:
        for raw, expected in WRONG.items():
            path = Path(self.mktemp())
            path.write_bytes(raw)
            said = self.said_of(path)
            self.assertEqual(said[: len(expected)] if "Exceeds" in expected else said, expected, raw[:60])

    def test_a_missing_file(self) -> None:
        self.assertEqual(self.said_of(Path(self.mktemp())), "there is no such file")

    def test_a_folder(self) -> None:
        path = Path(self.mktemp())
        path.mkdir()
        self.assertEqual(self.said_of(path), "it cannot be read (Is a directory)")

    def test_a_file_that_may_not_be_read(self) -> None:
        path = Path(self.mktemp())
        path.write_text("[]")
        path.chmod(0)
        self.addCleanup(path.chmod, 0o600)
        if os.access(path, os.R_OK):
            # root may read anything
            def refuse(path: Path) -> bytes:
                raise PermissionError(13, "Permission denied")

            self.patch(Path, "read_bytes", refuse)
        self.assertEqual(self.said_of(path), "it cannot be read (Permission denied)")

    def test_a_catalogue_error_is_a_value_error(self) -> None:
        self.assertTrue(issubclass(CatalogueError, ValueError))


class GoodFileTests(SynchronousTestCase):
    def test_a_byte_order_mark_is_no_harm(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b'\xef\xbb\xbf["a"]')
        self.assertEqual(Catalogue.load(path).capabilities("a").reasoning, False)

    def test_comments_are_left_unread_wherever_they_are(self) -> None:
        document = {
            "//": "one",
            "_comment": ["two"],
            "models": [{"//": 3, "_comment_id": None, "id": "a", "// ports": {}}],
        }
        self.assertEqual(parse_models(document, Path("x")), (ModelEntry("a"),))

    def test_one_comment_key_may_come_again(self) -> None:
        path = Path(self.mktemp())
        path.write_text('{"//": "one", "//": "two", "models": ["a"]}')
        Catalogue.load(path)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda values: (
                st.lists(values, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["models", "data", "id", "created", "owned_by", "ports", "reasoning", "//"]),
                    values,
                    max_size=4,
                )
            ),
        )
    )
    def test_any_json_is_taken_or_refused_in_one_line(self, document: object) -> None:
        try:
            entries = parse_models(document, Path("models.json"))
        except CatalogueError as e:
            self.assertTrue(str(e).startswith("models.json: "), e)
            self.assertEqual(len(str(e).splitlines()), 1)
        else:
            self.assertTrue(entries)
