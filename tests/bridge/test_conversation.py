"""What makes two chat histories the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.continuity import (
    carried,
    converse,
    turn_key,
)
from tests.bridge.keeping import (
    LOOK,
    SCOPE,
    Item,
    assistant,
    result,
    turns,
    user,
)


class ConversationTests(SynchronousTestCase):
    """What makes two histories the same."""

    def assertSame(self, one: Item, other: Item) -> None:
        self.assertEqual(converse([one]).before, converse([other]).before)  # type: ignore[union-attr]

    def assertDiffers(self, one: Item, other: Item) -> None:
        self.assertNotEqual(converse([one]).before, converse([other]).before)  # type: ignore[union-attr]

    def test_one_part_of_text_is_the_text(self) -> None:
        self.assertSame(user("Hi"), user([{"type": "text", "text": "Hi"}]))
        self.assertSame(assistant("Hi"), assistant([{"type": "text", "text": "Hi"}]))

    def test_white_space_in_an_answer_does_not_count(self) -> None:
        self.assertSame(assistant("Hello  you\n"), assistant("Hello you"))

    def test_white_space_in_a_question_does(self) -> None:
        self.assertDiffers(user("Hello  you"), user("Hello you"))

    def test_thoughts_in_an_answer_do_not_count(self) -> None:
        self.assertSame(assistant("<think>\nHm.\n</think>\n\nHi"), assistant("Hi"))
        self.assertSame(assistant('<details type="reasoning" done="true">Hm.</details>\nHi'), assistant("Hi"))

    def test_fields_that_say_nothing_do_not_count(self) -> None:
        self.assertSame(assistant("Hi", refusal=None, annotations=[], reasoning_content="Hm."), assistant("Hi"))

    def test_spaces_and_order_in_arguments_do_not_count(self) -> None:
        one, other = ("c", "look", '{"a":1,"b":2}'), ("c", "look", '{ "b": 2, "a": 1 }')
        self.assertSame(assistant(None, one), assistant(None, other))

    def test_values_of_arguments_do(self) -> None:
        self.assertDiffers(assistant(None, ("c", "look", '{"a":1}')), assistant(None, ("c", "look", '{"a":2}')))

    def test_what_is_said_where_does(self) -> None:
        self.assertDiffers(user("Hi"), {"role": "system", "content": "Hi"})
        self.assertDiffers(result("a"), result("b"))

    def test_a_call_in_anthropic_s_form_is_a_call(self) -> None:
        use = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}}
        self.assertSame(assistant([use]), assistant(None, LOOK))

    def test_a_prefix_is_all_that_was_said_before(self) -> None:
        first = converse([user("Hi")])
        assert first is not None
        self.assertEqual(turns(user("Hi"), assistant("Hello"), user("Bye"))[0].before, first.before)

    def test_what_cannot_be_read_is_for_the_translation_to_refuse(self) -> None:
        for odd in (
            None,
            "Hi",
            [1],
            [{"role": "assistant", "tool_calls": [{}]}],
            [{"role": "assistant", "content": 1}],
        ):
            found = converse(odd)
            self.assertTrue(found is None or found.turns[0].text == "", odd)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        (
                            "role",
                            "content",
                            "type",
                            "text",
                            "tool_calls",
                            "function",
                            "name",
                            "arguments",
                            "id",
                            "reasoning_details",
                        )
                    ),
                    inner,
                )
            ),
            max_leaves=12,
        )
    )
    @settings(max_examples=300, deadline=None, derandomize=True)
    def test_nothing_makes_the_reading_fail(self, odd: Any) -> None:
        for messages in (odd, [odd], [{"role": "assistant", "content": odd, "tool_calls": odd}]):
            found = converse(messages)
            for turn in found.turns if found else ():
                turn_key(b"tenant", turn)
                carried(turn, SCOPE, own_account=True)
