"""Text behind the last user message, in every form that a conversation may have."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rules.append import append_text, unescaped

TEXT = "\n/no_think"
NEW = {"role": "user", "content": TEXT}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


class MessagesTests(SynchronousTestCase):
    def check(self, before: list[Any], after: list[Any] | None) -> None:
        body = {"model": "m", "messages": before, "seed": 1}
        expected = None if after is None else {"model": "m", "messages": after, "seed": 1}
        kept = repr(body)
        self.assertEqual(append_text(body, TEXT), expected)
        self.assertEqual(repr(body), kept)

    def test_a_string(self) -> None:
        self.check([user("a"), user("b")], [user("a"), user("b\n/no_think")])

    def test_the_last_text_of_several_parts(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:"}}
        first, last = {"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {}}
        self.check([user([first, last, image])], [user([first, {**last, "text": "b\n/no_think"}, image])])

    def test_parts_without_a_text_get_one(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:"}}
        self.check([user([image])], [user([image, {"type": "text", "text": TEXT}])])
        self.check([user([])], [user([{"type": "text", "text": TEXT}])])

    def test_a_message_without_content_gets_one(self) -> None:
        self.check([{"role": "user"}], [NEW])
        self.check([user(None)], [NEW])

    def test_where_the_last_message_is_none_of_the_user_s_one_follows(self) -> None:
        for last in (
            {"role": "assistant", "content": "Well"},
            {"role": "tool", "tool_call_id": "c", "content": "4"},
            {"role": "system", "content": "Be brief."},
        ):
            self.check([user("a"), last], [user("a"), last, NEW])

    def test_where_there_is_no_user_message_at_all_one_follows(self) -> None:
        self.check([{"role": "system", "content": "Be brief."}], [{"role": "system", "content": "Be brief."}, NEW])
        self.check([], [NEW])

    def test_content_that_nobody_knows_stays_as_it_is(self) -> None:
        self.check([user(5)], None)
        self.check([user({"text": "a"})], None)

    def test_a_request_without_a_conversation_gets_none(self) -> None:
        for body in ({"model": "m"}, {"messages": "hi"}, {"messages": None}, {"prompt": "Once"}):
            self.assertIsNone(append_text(body, TEXT))


class InputTests(SynchronousTestCase):
    def check(self, before: Any, after: Any) -> None:
        self.assertEqual(append_text({"input": before}, TEXT), {"input": after})

    def test_a_string(self) -> None:
        self.check("a", "a\n/no_think")

    def test_a_message(self) -> None:
        self.check([user("a")], [user("a\n/no_think")])
        self.check([{"type": "message", **user("a")}], [{"type": "message", **user("a\n/no_think")}])

    def test_parts(self) -> None:
        part, image = {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:"}
        self.check([user([part, image])], [user([{**part, "text": "a\n/no_think"}, image])])
        self.check([user([image])], [user([image, {"type": "input_text", "text": TEXT}])])

    def test_an_item_that_is_no_message_is_followed_by_one(self) -> None:
        output = {"type": "function_call_output", "call_id": "c", "output": "4"}
        self.check([user("a"), output], [user("a"), output, NEW])
        self.check([], [NEW])

    def test_a_chat_request_whose_conversation_stands_in_input(self) -> None:
        body = {"messages": [], "input": [user([{"type": "text", "text": "a"}])]}
        self.assertEqual(
            append_text(body, TEXT), {"messages": [], "input": [user([{"type": "text", "text": "a\n/no_think"}])]}
        )


class EscapeTests(SynchronousTestCase):
    def test_each_escape_and_what_is_none(self) -> None:
        self.assertEqual(unescaped(r"a\nb\rc\td\\e\\nf\x\\"), "a\nb\rc\td\\e\\nf\\x\\")
