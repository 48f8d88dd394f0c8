"""Turns that the client itself carries, in ``reasoning_details``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.continuity import (
    carried,
    details,
)
from tests.bridge.keeping import (
    CALL,
    LOOK,
    SCOPE,
    THOUGHT,
    Item,
    assistant,
    back,
    call,
    keep,
    message,
    result,
    said_message,
    thought,
    turns,
    user,
)


class CarrierTests(SynchronousTestCase):
    """Turns that the client carries in ``reasoning_details``."""

    def carry(self, *output: Item, own: bool = False, text: str | None = None, calls: Sequence[Any] = ()) -> Any:
        turn = keep(*output)
        assert turn is not None
        (said,) = turns(assistant(text, *calls, reasoning_details=details(turn, SCOPE)))
        return carried(said, SCOPE, own_account=own)

    def test_the_details_have_the_form_that_others_use(self) -> None:
        turn = keep(thought(), call())
        assert turn is not None
        summary, blob = details(turn, SCOPE)
        common = {"id": summary["id"], "format": "openai-responses-v1", "output_index": 0}
        self.assertEqual(summary, {"type": "reasoning.summary", "summary": "Hm.", "index": 0, **common})
        self.assertEqual(blob, {"type": "reasoning.encrypted", "data": "sealed", "index": 1, **common})

    def test_a_refusal_is_carried_as_such(self) -> None:
        refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
        turn = self.carry(thought(), refusal, text="No.")
        self.assertEqual(back([user("Hi"), assistant(None, refusal="No.")], {1: turn})[1:], [THOUGHT, refusal])

    def test_reasoning_and_calls_go_back_as_they_were(self) -> None:
        turn = self.carry(thought(), call(), calls=[LOOK])
        history = [user("Hi"), assistant(None, LOOK), result("call_1")]
        self.assertEqual(back(history, {1: turn})[1:3], [THOUGHT, {**CALL, "arguments": '{"at": 1}'}])

    def test_a_text_goes_back_between_the_thoughts_with_its_phase(self) -> None:
        turn = self.carry(
            thought("a"), message("Wait.", phase="commentary"), thought("b"), call(), text="Wait.", calls=[LOOK]
        )
        found = back([user("Hi"), assistant("Wait.", LOOK), result("call_1")], {1: turn})
        self.assertEqual(
            [item.get("type") for item in found[1:5]], ["reasoning", "message", "reasoning", "function_call"]
        )
        self.assertEqual((found[2]["content"], found[2]["phase"]), ("Wait.", "commentary"))

    def test_searches_are_carried_whole(self) -> None:
        search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
        turn = self.carry(thought(), {"id": "ws_1", **search}, thought("b"), message("Hi"), text="Hi")
        found = back([user("Hi"), assistant("Hi")], {1: turn})
        self.assertEqual(
            [item.get("type") for item in found[1:]], ["reasoning", "web_search_call", "reasoning", "message"]
        )
        self.assertEqual(found[2], search)

    def test_several_messages_are_carried_whole(self) -> None:
        turn = self.carry(thought(), message("One"), message("Two"), text="One\n\nTwo")
        found = back([user("Hi"), assistant("One\n\nTwo")], {1: turn})
        self.assertEqual(found[1:], [THOUGHT, said_message("One"), said_message("Two")])

    def test_what_was_made_for_another_tenant_is_left_out(self) -> None:
        turn = keep(thought(), call())
        assert turn is not None
        (said,) = turns(assistant(None, LOOK, reasoning_details=details(turn, SCOPE)))
        for scope in (replace(SCOPE, tenant=b"other"), replace(SCOPE, model="gpt-5.2")):
            self.assertIsNone(carried(said, scope, own_account=True))

    def test_what_others_made_is_taken_from_those_with_an_account_of_their_own(self) -> None:
        entry = {
            "type": "reasoning.encrypted",
            "data": "sealed",
            "id": "rs_9",
            "format": "openai-responses-v1",
            "index": 0,
        }
        (said,) = turns(assistant("Hi", reasoning_details=[entry]))
        own = carried(said, SCOPE, own_account=True)
        assert own is not None
        expected = {"type": "reasoning", "summary": [], "encrypted_content": "sealed"}
        self.assertEqual(back([user("Hi"), assistant("Hi")], {1: own})[1], expected)
        self.assertIsNone(carried(said, SCOPE, own_account=False))

    def test_others_name_the_item_and_not_its_place(self) -> None:
        common = {"id": "rs_9", "format": "openai-responses-v1"}
        summary = {"type": "reasoning.summary", "summary": "Hm.", "index": 0, **common}
        blob = {"type": "reasoning.encrypted", "data": "sealed", "index": 1, **common}
        (said,) = turns(assistant("Hi", reasoning_details=[summary, blob]))
        own = carried(said, SCOPE, own_account=True)
        self.assertEqual(back([user("Hi"), assistant("Hi")], {1: own})[1], THOUGHT)

    def test_a_call_that_is_carried_in_part_is_the_client_s_to_say(self) -> None:
        common = {"type": "reasoning.item", "id": "rs_9", "format": "openai-responses-v1", "index": 0}
        for item in (
            {"type": "function_call", "call_id": "call_1", "name": "look"},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": {"at": 1}},
            {"type": "custom_tool_call", "call_id": "call_1", "name": "look"},
            {"type": "reasoning", "summary": [], "encrypted_content": ["sealed"]},
        ):
            said = assistant(None, LOOK, reasoning_details=[{**common, "item": item}])
            (turn,) = turns(said)
            found = back([user("Hi"), said, result("call_1")], {0: None, 1: carried(turn, SCOPE, own_account=True)})
            self.assertIn({**CALL}, [{k: v for k, v in each.items() if k in CALL} for each in found], item)

    def test_what_a_client_has_doubled_goes_back_once(self) -> None:
        turn = keep(thought(), message("Hi"))
        assert turn is not None
        said = assistant("Hi", reasoning_details=details(turn, SCOPE))
        history = [user("Say hi."), said, user("Again."), said]
        found = {each.index: carried(each, SCOPE, own_account=True) for each in turns(*history)}
        self.assertEqual(back(history, found).count(THOUGHT), 1)

    def test_details_of_another_form_are_left_out(self) -> None:
        good = {"type": "reasoning.encrypted", "data": "s", "id": "x", "format": "openai-responses-v1", "index": 0}
        for odd in (
            {**good, "format": "anthropic-claude-v1"},
            {**good, "index": None},
            {**good, "index": -1},
            {**good, "index": 10**9},
            {**good, "type": "reasoning.text", "text": "Hm."},
            {**good, "data": 5},
            {**good, "type": "reasoning.item", "item": {"type": "hologram"}},
            {**good, "type": "reasoning.summary", "summary": "Hm."},
        ):
            (said,) = turns(assistant("Hi", reasoning_details=[odd]))
            self.assertIsNone(carried(said, SCOPE, own_account=True), odd)
