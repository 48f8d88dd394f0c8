"""Reading profiles: every mistake in the data has an error of its own."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.clients import DEFAULT, ClientProfile, ErrorForm, KeepaliveForm, ModelListForm, OddBody
from oaiproxy.clients.book import ProfileBook, ProfileError

ENTRY = {"name": "ours", "title": "Ours", "sends": "`ours/1`", "evidence": ["a thread"]}


def parsed(*entries: Any, **more: Any) -> ProfileBook:
    return ProfileBook.parse(json.dumps({"profiles": list(entries), **more}).encode(), "ours.json")


class ParseTests(SynchronousTestCase):
    def test_what_is_left_out_is_as_in_the_default(self) -> None:
        book = parsed(ENTRY)
        self.assertEqual(book.names, ("default", "ours"))
        self.assertEqual(
            book.named("ours"), ClientProfile(name="ours", title="Ours", sends="`ours/1`", evidence=("a thread",))
        )

    def test_everything_can_be_said(self) -> None:
        found = parsed(
            {
                **ENTRY,
                "user_agents": ["^ours/"],
                "reasoning_field": "think",
                "keepalive": "none",
                "model_list": "models",
                "errors": "message",
                "accepts": ["empty_messages"],
                "notes": "Odd.",
            }
        ).fitting("Ours/1.0")
        self.assertEqual(
            found,
            ClientProfile(
                name="ours",
                title="Ours",
                user_agents=("^ours/",),
                sends="`ours/1`",
                reasoning_field=ReasoningField.THINK,
                keepalive=KeepaliveForm.NONE,
                model_list=ModelListForm.MODELS,
                errors=ErrorForm.MESSAGE,
                accepts=frozenset({OddBody.EMPTY_MESSAGES}),
                notes="Odd.",
                evidence=("a thread",),
            ),
        )

    def test_the_first_that_fits_is_taken(self) -> None:
        book = parsed({**ENTRY, "user_agents": ["ours/2"]}, {**ENTRY, "name": "older", "user_agents": ["ours/"]})
        self.assertEqual([book.fitting(f"ours/{n}").name for n in (1, 2)], ["older", "ours"])
        self.assertIs(book.fitting("theirs"), DEFAULT)

    def test_two_books_do_not_share_what_they_remember(self) -> None:
        self.assertIs(parsed(ENTRY).fitting("ours/1"), DEFAULT)
        self.assertEqual(parsed({**ENTRY, "user_agents": ["ours"]}).fitting("ours/1").name, "ours")

    MISTAKES: list[tuple[dict[str, Any], str]] = [
        ({"reasoning_field": "thoughts"}, "Invalid enum value 'thoughts' - at `$.profiles[0].reasoning_field`"),
        ({"keepalive": "ping"}, "Invalid enum value 'ping' - at `$.profiles[0].keepalive`"),
        ({"model_list": "long"}, "Invalid enum value 'long' - at `$.profiles[0].model_list`"),
        ({"errors": "loud"}, "Invalid enum value 'loud' - at `$.profiles[0].errors`"),
        ({"accepts": ["all"]}, "Invalid enum value 'all' - at `$.profiles[0].accepts["),
        ({"user_agents": "ours"}, "Expected `array`, got `str` - at `$.profiles[0].user_agents`"),
        ({"keep_alive": "chunk"}, "Object contains unknown field `keep_alive` - at `$.profiles[0]`"),
        ({"evidence": []}, "profile 'ours' has no evidence: name a thread or a document"),
        ({"evidence": [" "]}, "profile 'ours' has no evidence: name a thread or a document"),
        ({"name": "Our client"}, "'Our client' is no name for a profile: use small letters, digits and dashes"),
        ({"name": "default"}, "there are two profiles named 'default'"),
        ({"user_agents": ["("]}, "profile 'ours': user_agents: '(' is no regular expression: "),
        ({"user_agents": ["x*"]}, "profile 'ours': user_agents: 'x*' fits every client"),
    ]

    def test_each_mistake_is_named_with_its_place(self) -> None:
        for fields, said in self.MISTAKES:
            error = self.assertRaises(ProfileError, parsed, {**ENTRY, **fields})
            self.assertTrue(str(error).startswith(f"ours.json: {said}"), str(error))

    def test_what_has_to_be_there_is_asked_for(self) -> None:
        for key in ENTRY:
            error = self.assertRaises(ProfileError, parsed, {k: v for k, v in ENTRY.items() if k != key})
            self.assertEqual(
                str(error), f"ours.json: Object missing required field `{key}` - at `$.profiles[0]`", str(error)
            )

    def test_two_of_one_name_are_a_mistake(self) -> None:
        error = self.assertRaises(ProfileError, parsed, ENTRY, ENTRY)
        self.assertEqual(str(error), "ours.json: there are two profiles named 'ours'")

    def test_what_is_no_json_is_a_mistake(self) -> None:
        error = self.assertRaises(ProfileError, ProfileBook.parse, b"{", "ours.json")
        self.assertTrue(str(error).startswith("ours.json: "), str(error))

    def test_further_fields_of_the_file_are_a_mistake(self) -> None:
        error = self.assertRaises(ProfileError, parsed, ENTRY, version=1)
        self.assertIn("unknown field `version`", str(error))
