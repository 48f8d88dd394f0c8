"""Messages become input items."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.messages import NO_RESULT, STRAY_RESULT, History, input_items
from tests.bridge.asking import NEVER, ask, items

USER = {"role": "user", "content": "Hi"}
URL = "https://example.org/cat.png"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
INPUT_IMAGE = {"type": "input_image", "image_url": URL, "detail": "auto"}


def calling(*calls: tuple[str | None, str], **more: Any) -> dict[str, Any]:
    """An assistant message with calls of these ids and names."""
    tool_calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}} for id, name in calls]
    return {"role": "assistant", "tool_calls": tool_calls, **more}


def result(call_id: str | None, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def call_item(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output_item(call_id: str, output: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


class RoleTests(SynchronousTestCase):
    def test_a_system_message_is_the_developers_for_a_model_that_reasons(self) -> None:
        self.assertEqual(items({"role": "system", "content": "S"}), [{"role": "developer", "content": "S"}])

    def test_a_system_message_stays_one_for_a_model_that_does_not(self) -> None:
        made = items({"role": "system", "content": "S"}, capabilities=NEVER)
        self.assertEqual(made, [{"role": "system", "content": "S"}])

    def test_a_developer_message_stays_one(self) -> None:
        made = items({"role": "developer", "content": [{"type": "text", "text": "D"}]}, capabilities=NEVER)
        self.assertEqual(made, [{"role": "developer", "content": [{"type": "input_text", "text": "D"}]}])

    def test_every_message_stays_in_its_place(self) -> None:
        made = items(
            {"role": "system", "content": "1"},
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": "3"},
            {"role": "system", "content": "4"},
            {"role": "user", "content": "5"},
        )
        self.assertEqual(
            made,
            [
                {"role": "developer", "content": "1"},
                {"role": "user", "content": "2"},
                {"type": "message", "role": "assistant", "content": "3"},
                {"role": "developer", "content": "4"},
                {"role": "user", "content": "5"},
            ],
        )

    def test_a_system_message_may_hold_an_image(self) -> None:
        self.assertEqual(
            items({"role": "system", "content": [IMAGE]}), [{"role": "developer", "content": [INPUT_IMAGE]}]
        )


class NameTests(SynchronousTestCase):
    def test_one_name_in_a_role_is_dropped_with_a_warning(self) -> None:
        translation = ask(messages=[{**USER, "name": "Ann"}, {**USER, "name": "Ann"}])
        self.assertNotIn(b"Ann", translation.body)
        self.assertEqual(translation.warnings, ("dropped messages[].name (Responses has no names)",))

    def test_two_names_in_a_role_are_said_in_the_text(self) -> None:
        translation = ask(messages=[{**USER, "name": "Ann"}, {**USER, "name": "Bob"}, USER])
        self.assertEqual(translation.warnings, ())
        self.assertEqual(
            items({**USER, "name": "Ann"}, {**USER, "name": "Bob"}, USER),
            [
                {"role": "user", "content": "Ann: Hi"},
                {"role": "user", "content": "Bob: Hi"},
                {"role": "user", "content": "Hi"},
            ],
        )

    def test_the_name_is_put_before_the_first_text_part(self) -> None:
        made = items(
            {"role": "user", "name": "Ann", "content": [IMAGE, {"type": "text", "text": "Look"}]},
            {"role": "user", "name": "Bob", "content": [IMAGE]},
        )
        self.assertEqual(
            [item["content"] for item in made],
            [
                [INPUT_IMAGE, {"type": "input_text", "text": "Ann: Look"}],
                [{"type": "input_text", "text": "Bob:"}, INPUT_IMAGE],
            ],
        )

    def test_roles_are_counted_apart(self) -> None:
        made = items({"role": "system", "name": "A", "content": "x"}, {**USER, "name": "B"})
        self.assertEqual([item["content"] for item in made], ["x", "Hi"])

    def test_assistants_are_told_apart(self) -> None:
        made = items(
            USER, {"role": "assistant", "name": "A", "content": "1"}, {"role": "assistant", "name": "B", "content": "2"}
        )
        self.assertEqual([item["content"] for item in made], ["Hi", "A: 1", "B: 2"])


class AssistantTests(SynchronousTestCase):
    def test_a_message_says_that_it_is_one(self) -> None:
        made = items(USER, {"role": "assistant", "content": "Hi!"})
        self.assertEqual(made[1], {"type": "message", "role": "assistant", "content": "Hi!"})

    def test_text_comes_before_the_calls_of_the_same_message(self) -> None:
        made = items(USER, calling(("c1", "f"), ("c2", "g"), content="Let me see."), result("c1"), result("c2"))
        self.assertEqual(
            made[1:],
            [
                {"type": "message", "role": "assistant", "content": "Let me see."},
                call_item("c1", "f"),
                call_item("c2", "g"),
                output_item("c1"),
                output_item("c2"),
            ],
        )

    def test_calls_without_text_have_no_message(self) -> None:
        nothing: tuple[Any, ...] = (None, "", [])
        for content in nothing:
            made = items(USER, calling(("c", "f"), content=content), result("c"))
            self.assertEqual(made[1:], [call_item("c"), output_item("c")])

    def test_an_empty_message_is_left_out(self) -> None:
        self.assertEqual(items(USER, {"role": "assistant", "content": ""}), [{"role": "user", "content": "Hi"}])

    def test_text_parts_are_joined(self) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}]
        self.assertEqual(
            items(USER, {"role": "assistant", "content": parts})[1],
            {"type": "message", "role": "assistant", "content": "a\nb"},
        )

    def test_a_refusal_is_kept(self) -> None:
        refusal = {"type": "refusal", "refusal": "No."}
        for message in ({"refusal": "No."}, {"content": [refusal]}, {"content": None, "refusal": "No."}):
            made = items(USER, {"role": "assistant", **message})
            self.assertEqual(made[1], {"type": "message", "role": "assistant", "content": "No."})

    def test_a_refusal_follows_the_text(self) -> None:
        made = items(USER, {"role": "assistant", "content": "Hm.", "refusal": "No."})
        self.assertEqual(made[1], {"type": "message", "role": "assistant", "content": "Hm.\nNo."})

    def test_echoed_reasoning_is_ignored(self) -> None:
        message = {
            "role": "assistant",
            "content": "a",
            "reasoning_content": "r",
            "reasoning": "r",
            "reasoning_details": [],
        }
        self.assertEqual(items(USER, message)[1], {"type": "message", "role": "assistant", "content": "a"})

    def test_images_move_into_a_user_message_before_the_calls(self) -> None:
        message = calling(("c", "f"), content=[{"type": "text", "text": "Here:"}, IMAGE], images=[IMAGE])
        translation = ask(messages=[USER, message, result("c")])
        self.assertEqual(translation.warnings, ("moved images of messages[1] into a user message",))
        self.assertEqual(
            items(USER, message, result("c"))[1:],
            [
                {"type": "message", "role": "assistant", "content": "Here:"},
                {"role": "user", "content": [INPUT_IMAGE, INPUT_IMAGE]},
                call_item("c"),
                output_item("c"),
            ],
        )

    def test_a_phase_is_kept_where_the_client_has_one(self) -> None:
        made = items(USER, {"role": "assistant", "content": "a", "phase": "commentary"})
        self.assertEqual(made[1], {"type": "message", "role": "assistant", "content": "a", "phase": "commentary"})

    def test_what_is_no_phase_is_ignored(self) -> None:
        odd: tuple[Any, ...] = ("later", [], {}, 1)
        for phase in odd:
            made = items(USER, {"role": "assistant", "content": "a", "phase": phase})
            self.assertEqual(made[1], {"type": "message", "role": "assistant", "content": "a"})

    def test_a_leading_block_of_thoughts_is_stripped_in_think_mode_only(self) -> None:
        thoughts = "<think>\nSo...\n</think>\n\n"
        for text, stripped in (
            (thoughts + "Yes.", "Yes."),
            ('<details type="reasoning" done="true">\n> So\n</details>\nYes.', "Yes."),
            ("Yes. " + thoughts, "Yes. " + thoughts),
            ("<think>unclosed", "<think>unclosed"),
            (thoughts + thoughts + "Yes.", thoughts + "Yes."),
        ):
            message = {"role": "assistant", "content": text}
            self.assertEqual(items(USER, message, reasoning_field=ReasoningField.THINK)[1]["content"], stripped)
            self.assertEqual(items(USER, message)[1]["content"], text)

    def test_nothing_but_thoughts_is_no_message(self) -> None:
        made = items(USER, {"role": "assistant", "content": "<think>x</think>"}, reasoning_field=ReasoningField.THINK)
        self.assertEqual(made, [{"role": "user", "content": "Hi"}])


class ArgumentTests(SynchronousTestCase):
    def arguments(self, given: Any) -> Any:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": given}}
        return items(USER, {"role": "assistant", "tool_calls": [call]}, result("c"))[1]["arguments"]

    def test_text_stays_as_it_is(self) -> None:
        for text in ('{"b": 1,  "a":2}', '{"cut":', "not json"):
            self.assertEqual(self.arguments(text), text)

    def test_nothing_is_an_empty_object(self) -> None:
        for nothing in (None, ""):
            self.assertEqual(self.arguments(nothing), "{}")

    def test_an_object_is_encoded_in_its_order(self) -> None:
        self.assertEqual(self.arguments({"b": 1, "a": [None, "ä"]}), '{"b":1,"a":[null,"ä"]}')


class PairingTests(SynchronousTestCase):
    def test_results_stay_in_the_clients_order(self) -> None:
        made = items(USER, calling(("a", "f"), ("b", "f")), result("b", "2"), result("a", "1"))
        self.assertEqual(made[1:], [call_item("a"), call_item("b"), output_item("b", "2"), output_item("a", "1")])

    def test_text_between_a_call_and_its_result_stays(self) -> None:
        made = items(USER, calling(("a", "f")), {"role": "assistant", "content": "Wait."}, result("a"))
        self.assertEqual(
            made[1:], [call_item("a"), {"type": "message", "role": "assistant", "content": "Wait."}, output_item("a")]
        )

    def test_a_result_without_an_id_answers_the_oldest_call_of_the_newest_message(self) -> None:
        made = items(
            USER, calling(("old", "f")), calling(("a", "f"), ("b", "f")), result(""), result(None, "2"), result("old")
        )
        self.assertEqual(
            made[1:],
            [
                call_item("old"),
                call_item("a"),
                call_item("b"),
                output_item("a"),
                output_item("b", "2"),
                output_item("old"),
            ],
        )

    def test_a_result_without_its_call_becomes_the_users_words(self) -> None:
        translation = ask(messages=[USER, result("gone", "22 C")])
        self.assertEqual(translation.warnings, ("sent messages[1] as text (a tool result without its call)",))
        self.assertEqual(items(USER, result("gone", "22 C"))[1], {"role": "user", "content": f"{STRAY_RESULT}\n22 C"})

    def test_a_second_result_of_a_call_is_one_without_its_call(self) -> None:
        made = items(USER, calling(("a", "f")), result("a", "1"), result("a", "2"))
        self.assertEqual(made[2:], [output_item("a", "1"), {"role": "user", "content": f"{STRAY_RESULT}\n2"}])

    def test_an_image_without_its_call_is_still_seen(self) -> None:
        self.assertEqual(
            items(USER, result("gone", [IMAGE]))[1],
            {"role": "user", "content": [{"type": "input_text", "text": STRAY_RESULT}, INPUT_IMAGE]},
        )

    def test_an_empty_result_without_its_call_is_dropped(self) -> None:
        translation = ask(messages=[USER, result("gone", "")])
        self.assertEqual(translation.warnings, ("dropped messages[1] (an empty tool result without its call)",))
        self.assertEqual(items(USER, result("gone", "")), [{"role": "user", "content": "Hi"}])

    def test_a_result_for_a_call_that_upstream_holds_passes(self) -> None:
        for chain in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}):
            self.assertEqual(items(result("call_1"), **chain), [output_item("call_1")])

    def test_a_call_without_a_result_gets_one_behind_its_batch(self) -> None:
        made = items(USER, calling(("a", "f"), ("b", "f")), result("b"), USER)
        self.assertEqual(
            made[1:],
            [
                call_item("a"),
                call_item("b"),
                output_item("b"),
                output_item("a", NO_RESULT),
                {"role": "user", "content": "Hi"},
            ],
        )

    def test_the_client_is_told_of_added_results(self) -> None:
        translation = ask(messages=[USER, calling(("a", "f"), ("b", "f"))])
        self.assertEqual(translation.warnings, ("added a result for 2 tool call(s) that had none",))

    def test_a_result_that_comes_later_changes_only_the_end(self) -> None:
        before = items(USER, calling(("a", "f"), ("b", "f")), result("a"))
        after = items(USER, calling(("a", "f"), ("b", "f")), result("a"), result("b"))
        self.assertEqual(before[:-1], after[:-1])

    def test_an_id_used_twice_gets_a_number_on_both_sides(self) -> None:
        made = items(USER, calling(("a", "f")), result("a", "1"), calling(("a", "f")), result("a", "2"))
        self.assertEqual(made[1:], [call_item("a"), output_item("a", "1"), call_item("a_2"), output_item("a_2", "2")])

    def test_a_number_does_not_meet_a_real_id(self) -> None:
        made = items(
            USER, calling(("a_2", "f"), ("a", "f"), ("a", "f")), result("a", "1"), result("a", "2"), result("a_2", "3")
        )
        self.assertEqual([i["call_id"] for i in made[1:]], ["a_2", "a", "a_3", "a", "a_3", "a_2"])

    def test_of_calls_with_one_id_the_newest_is_answered(self) -> None:
        made = items(USER, calling(("a", "f")), USER, calling(("a", "f")), result("a"))
        self.assertEqual(
            made[1:],
            [
                call_item("a"),
                output_item("a", NO_RESULT),
                {"role": "user", "content": "Hi"},
                call_item("a_2"),
                output_item("a_2"),
            ],
        )

    def test_a_long_id_is_hashed_alike_on_both_sides(self) -> None:
        one, other = "x" * 70 + "1", "x" * 70 + "2"
        made = items(USER, calling((one, "f"), (other, "f")), result(other, "2"), result(one, "1"))
        ids = [i["call_id"] for i in made[1:]]
        self.assertEqual(ids, [ids[0], ids[1], ids[1], ids[0]])
        self.assertNotEqual(ids[0], ids[1])
        self.assertTrue(all(len(i) <= 64 for i in ids))

    def test_calls_without_ids_get_some(self) -> None:
        made = items(USER, calling((None, "f"), ("", "f")), result(None, "1"), result("", "2"))
        ids = [i["call_id"] for i in made[1:]]
        self.assertEqual(ids, [ids[0], ids[1], ids[0], ids[1]])
        self.assertNotEqual(ids[0], ids[1])
        self.assertTrue(all(i.startswith("call_") and len(i) <= 64 for i in ids))

    def test_a_long_history_of_one_id_takes_no_time(self) -> None:
        n = 3000
        messages: list[Any] = [USER, calling(*[("a", "f")] * n), *[result("a")] * n]
        made = input_items(messages, History())
        self.assertEqual(len({i["call_id"] for i in made[1:]}), n)


class CustomToolCallTests(SynchronousTestCase):
    CUSTOM = [{"type": "custom", "custom": {"name": "patch"}}]

    def test_a_custom_call_and_its_result_have_items_of_their_own(self) -> None:
        call = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
        self.assertEqual(
            items(USER, {"role": "assistant", "tool_calls": [call]}, result("c"))[1:],
            [
                {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "*** x"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
            ],
        )

    def test_a_call_that_the_client_flattened_is_known_by_its_name(self) -> None:
        for arguments, text in (('{"input": "*** x"}', "*** x"), ("*** x", "*** x"), ('{"a": 1}', '{"a": 1}')):
            call = {"id": "c", "type": "function", "function": {"name": "patch", "arguments": arguments}}
            made = items(USER, {"role": "assistant", "tool_calls": [call]}, result("c"), tools=self.CUSTOM)
            self.assertEqual(made[1], {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": text})
            self.assertEqual(made[2]["type"], "custom_tool_call_output")

    def test_the_type_of_a_call_may_be_missing(self) -> None:
        calls = [{"id": "1", "custom": {"name": "patch", "input": "x"}}, {"id": "2", "function": {"name": "f"}}]
        made = items(USER, {"role": "assistant", "tool_calls": calls}, result("1"), result("2"))
        self.assertEqual([i["type"] for i in made[1:3]], ["custom_tool_call", "function_call"])


class LegacyFunctionTests(SynchronousTestCase):
    CALL = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}}

    def function(self, name: str = "f", content: Any = "ok") -> dict[str, Any]:
        return {"role": "function", "name": name, "content": content}

    def test_a_call_and_its_result_share_a_made_up_id(self) -> None:
        made = items(USER, self.CALL, self.function())
        call_id = made[1]["call_id"]
        self.assertTrue(call_id.startswith("call_"))
        self.assertEqual(made[1:], [call_item(call_id, "f", '{"a":1}'), output_item(call_id)])

    def test_the_id_is_the_same_in_the_next_turn(self) -> None:
        first = items(USER, self.CALL, self.function())
        second = items(USER, self.CALL, self.function(), USER)
        self.assertEqual(second[:3], first)

    def test_equal_calls_in_two_turns_have_two_ids(self) -> None:
        made = items(USER, self.CALL, self.function(), self.CALL, self.function())
        ids = [i["call_id"] for i in made[1:]]
        self.assertEqual(ids, [ids[0], ids[0], ids[2], ids[2]])
        self.assertNotEqual(ids[0], ids[2])

    def test_a_result_answers_the_nearest_call_of_its_name(self) -> None:
        other = {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}}
        made = items(USER, self.CALL, other, self.function("f"), self.function("g", None))
        ids = [i["call_id"] for i in made[1:]]
        self.assertEqual(ids, [ids[0], ids[1], ids[0], ids[1]])
        self.assertEqual(made[4]["output"], "")

    def test_a_result_without_its_call_becomes_the_users_words(self) -> None:
        self.assertEqual(items(USER, self.function())[1], {"role": "user", "content": f"{STRAY_RESULT}\nok"})

    def test_tool_calls_win_over_a_function_call_beside_them(self) -> None:
        message = {**calling(("c", "f")), "function_call": {"name": "f", "arguments": "{}"}}
        translation = ask(messages=[USER, message, result("c")])
        self.assertEqual(translation.warnings, ("dropped messages[1].function_call (tool_calls wins)",))


class RefusalTests(SynchronousTestCase):
    TABLE: tuple[tuple[Any, str], ...] = (
        ("Hi", "messages"),
        ({"role": "user"}, "messages"),
        ([], "messages"),
        (["Hi"], "messages[0]"),
        ([None], "messages[0]"),
        ([{}], "messages[0].role"),
        ([{"role": None, "content": "x"}], "messages[0].role"),
        ([{"role": 1, "content": "x"}], "messages[0].role"),
        ([USER, {"role": "ipython", "content": "x"}], "messages[1].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "system", "content": 3}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": ["a", {"type": "hologram"}]}], "messages[0].content[1].type"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
        ([{**USER, "name": 1}], "messages[0].name"),
        ([{"role": "assistant", "content": {}}], "messages[0].content"),
        ([{"role": "assistant", "content": ""}], "messages"),
        ([{"role": "assistant", "audio": {"id": "a"}}], "messages[0].audio"),
        ([{"role": "assistant", "refusal": 1}], "messages[0].refusal"),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [1]}], "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0].function"),
        ([{"role": "assistant", "tool_calls": [{"type": "x"}]}], "messages[0].tool_calls[0].type"),
        ([{"role": "assistant", "tool_calls": [{"id": 1, "function": {"name": "f"}}]}], "messages[0].tool_calls[0].id"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], "messages[0].tool_calls[0].function.name"),
        ([{"role": "assistant", "tool_calls": [{"custom": {}}]}], "messages[0].tool_calls[0].custom.name"),
        ([{"role": "assistant", "function_call": "f"}], "messages[0].function_call"),
        ([{"role": "assistant", "function_call": {}}], "messages[0].function_call.name"),
        ([{"role": "tool", "tool_call_id": 1, "content": ""}], "messages[0].tool_call_id"),
        ([{"role": "tool", "tool_call_id": "a", "content": {}}], "messages[0].content"),
        ([{"role": "function", "content": "x"}], "messages[0].name"),
    )

    def test_each_names_the_field_at_fault(self) -> None:
        for messages, param in self.TABLE:
            error = self.assertRaises(BadRequest, ask, messages=messages)
            self.assertEqual((error.status, error.param), (400, param), messages)

    def test_an_unknown_role_is_told_the_known_ones(self) -> None:
        error = self.assertRaises(BadRequest, ask, messages=[{"role": "bot", "content": "x"}])
        self.assertIn("'system', 'developer', 'user', 'assistant', 'tool', 'function'", error.message)


# ---------------------------------------------------------------- properties

_ids = st.one_of(st.none(), st.sampled_from(["", "a", "b", "a_2", "y" * 65, "y" * 66]))
_texts = st.sampled_from(["", "x", "json"])
_speaking = st.builds(
    lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user", "assistant"]), _texts
)
_calling = st.builds(
    lambda ids, text: calling(*[(i, "f") for i in ids], content=text), st.lists(_ids, min_size=1, max_size=3), _texts
)
_results = st.builds(result, _ids, _texts)
_legacy = st.sampled_from(
    [
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "x"},
    ]
)
_histories = st.lists(st.one_of(_speaking, _calling, _results, _legacy), max_size=12)


class PropertyTests(SynchronousTestCase):
    @given(_histories)
    @settings(max_examples=200, deadline=None, derandomize=True)
    def test_every_call_has_one_result_behind_it(self, messages: list[Any]) -> None:
        made = input_items([USER, *messages], History())
        calls = [(n, i["call_id"]) for n, i in enumerate(made) if i.get("type") == "function_call"]
        outputs = [(n, i["call_id"]) for n, i in enumerate(made) if i.get("type") == "function_call_output"]
        ids = [call_id for _, call_id in calls]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertEqual(sorted(ids), sorted(call_id for _, call_id in outputs))
        self.assertTrue(all(0 < len(call_id) <= 64 for call_id in ids))
        where = {call_id: n for n, call_id in outputs}
        self.assertTrue(all(where[call_id] > n for n, call_id in calls))

    @given(_histories)
    @settings(max_examples=100, deadline=None, derandomize=True)
    def test_no_item_has_an_id(self, messages: list[Any]) -> None:
        self.assertFalse([i for i in input_items([USER, *messages], History()) if "id" in i])

    @given(st.lists(st.lists(_ids, max_size=3), min_size=1, max_size=4))
    @settings(max_examples=100, deadline=None, derandomize=True)
    def test_a_turn_more_only_adds_to_the_end(self, turns: list[list[str | None]]) -> None:
        history: list[Any] = []
        before: list[Any] = []
        for ids in turns:
            history.append(USER)
            if ids:
                history.append(calling(*[(i, "f") for i in ids]))
                history += [result(i) for i in ids]
            history.append({"role": "assistant", "content": "Done."})
            after = input_items(history, History())
            self.assertEqual(after[: len(before)], before)
            before = after
