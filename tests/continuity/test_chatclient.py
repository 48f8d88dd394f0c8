"""The chat client of these tests: what it keeps of an answer, and what it does to its history."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.continuity.chatclient import ChatClient, accumulated
from tests.continuity.misbehaviour import (
    MISBEHAVIOURS,
    branches,
    composed,
    drops_call,
    drops_turn,
    edits_text,
    merges_answers,
    reorders_turns,
    spaces_arguments,
    trims_texts,
)

CALL: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
OTHER = {"id": "call_2", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}

#: A client in the middle of a conversation.
CLIENT = ChatClient(
    (
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "tool", "tool_call_id": "call_2", "content": "2"},
        {"role": "assistant", "content": " One. "},
        {"role": "user", "content": "Two?"},
    )
)


def chunks(*deltas: dict[str, Any]) -> bytes:
    """The bytes of a stream of chunks."""
    values: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    values.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values) + b"data: [DONE]\n\n"


class HearingTests(SynchronousTestCase):
    def test_an_object_and_a_stream_are_the_same_message(self) -> None:
        whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "tool_calls": [CALL]}}]}
        stream = chunks(
            {"role": "assistant"},
            {"content": "H"},
            {"content": "i"},
            {"tool_calls": [{"index": 0, **CALL, "function": {"name": "add", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        )
        self.assertEqual(ChatClient().hears(whole), ChatClient().hears(stream))
        self.assertEqual(ChatClient().hears(json.dumps(whole).encode()), ChatClient().hears(stream))

    def test_reasoning_is_forgotten_unless_the_client_echoes(self) -> None:
        message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "reasoning_details": [{"index": 0}]}
        answer = {"choices": [{"index": 0, "message": message}]}
        self.assertEqual(ChatClient().hears(answer).messages, ({"role": "assistant", "content": "Hi"},))
        self.assertEqual(ChatClient(echoes=True).hears(answer).messages, (message,))

    def test_lists_of_a_stream_go_by_their_index(self) -> None:
        stream = chunks(
            {"role": "assistant", "reasoning_details": [{"index": 0, "type": "a", "data": "x"}]},
            {"reasoning_details": [{"index": 1, "type": "b", "data": "y"}]},
            {"reasoning_details": [{"index": 0, "type": "a", "data": "z"}]},
        )
        self.assertEqual(
            accumulated(stream)["reasoning_details"],
            [{"index": 0, "type": "a", "data": "xz"}, {"index": 1, "type": "b", "data": "y"}],
        )

    def test_a_stream_without_its_end_is_none(self) -> None:
        for stream in (b"", chunks({"content": "Hi"})[:-14], b'data: {"error": {}}\n\ndata: [DONE]\n\n'):
            self.assertRaises((AssertionError, KeyError), accumulated, stream)

    def test_tools_are_run_in_their_order(self) -> None:
        client = ChatClient(CLIENT.messages[:2]).goes_on()
        self.assertEqual([message.get("tool_call_id") for message in client.messages[2:]], ["call_1", "call_2"])
        self.assertEqual(client.goes_on("Three?").messages[-1], {"role": "user", "content": "Three?"})


class MisbehaviourTests(SynchronousTestCase):
    def test_each_changes_the_history_or_the_model_and_leaves_the_client_alone(self) -> None:
        before = json.dumps(CLIENT.messages)
        same = {
            name for name, known in MISBEHAVIOURS.items() if all(known.change(CLIENT, at) == CLIENT for at in range(5))
        }
        # there is no text beside a call here
        self.assertEqual(same, {"changes nothing", "splits an answer"})
        self.assertEqual(json.dumps(CLIENT.messages), before)

    def test_none_minds_a_history_in_which_it_finds_nothing(self) -> None:
        for known in MISBEHAVIOURS.values():
            for client in (ChatClient().says("Hello"), ChatClient().says("Be brief.", "system")):
                self.assertNotEqual(known.change(client, 3).messages, ())

    def test_a_text_is_edited(self) -> None:
        self.assertEqual(edits_text(CLIENT, 0).messages[4]["content"], "I never said.")

    def test_arguments_are_the_same_value_in_other_letters(self) -> None:
        call = spaces_arguments(CLIENT, 0).messages[1]["tool_calls"][0]
        self.assertEqual(call["function"]["arguments"], '{\n  "a": 1\n}')

    def test_a_call_goes_with_its_result(self) -> None:
        messages = drops_call(CLIENT, 0).messages
        self.assertEqual(messages[1]["tool_calls"], [OTHER])
        self.assertEqual([message.get("tool_call_id") for message in messages[2:4]], ["call_2", None])

    def test_a_turn_goes_with_its_results(self) -> None:
        self.assertEqual(drops_turn(CLIENT, 0).messages, (CLIENT.messages[0], *CLIENT.messages[4:]))

    def test_turns_change_places(self) -> None:
        messages = CLIENT.messages
        self.assertEqual(reorders_turns(CLIENT, 0).messages, (messages[0], messages[4], *messages[1:4], messages[5]))

    def test_two_answers_become_one(self) -> None:
        merged = {"role": "assistant", "content": " One. ", "tool_calls": [CALL, OTHER]}
        messages = CLIENT.messages
        self.assertEqual(merges_answers(CLIENT, 0).messages, (messages[0], merged, *messages[2:4], messages[5]))

    def test_a_branch_ends_with_another_question(self) -> None:
        self.assertEqual(
            branches(CLIENT, 0).messages, (*CLIENT.messages[:4], {"role": "user", "content": "What else?"})
        )

    def test_changes_follow_each_other(self) -> None:
        changed = composed(drops_turn, trims_texts)(CLIENT, 0)
        self.assertEqual(changed.messages[1], {"role": "assistant", "content": "One."})
