"""The bridge, judged by an upstream that forgives nothing: what of its reasoning comes back to it, and when.

`tests.continuity.upstream` counts what it is given, what it could have been given, and whether prompts begin with the
same bytes; these tests look at its counts.
"""

from __future__ import annotations

import json

from hypothesis import given

from tests.continuity.bridge import KEY, Bridge
from tests.continuity.chatclient import ChatClient
from tests.continuity.judged import SEQUENCE, JudgedTestCase, conversations
from tests.continuity.ledger import Prefix
from tests.continuity.loops import ACCOUNTS, Step, begun, faithful, steps
from tests.continuity.turns import ODD_SHAPES, OPEN_SHAPES, SHAPES
from tests.continuity.upstream import StrictResponses


class FaithfulTests(JudgedTestCase):
    """Clients that send back what they were told, but for the reasoning."""

    def test_every_shape_of_a_turn_comes_back_whole(self) -> None:
        for name in {**SHAPES, **ODD_SHAPES}:
            for stream in (False, True):
                conversation = [*steps(name, name, stream=stream), *steps("text")]
                self.start(conversation)
                self.judge(conversation)
                self.all_came_back((name, stream))

    def test_a_long_loop_of_tools_carries_all_of_its_reasoning(self) -> None:
        conversation = steps(*["call", "parallel calls", "thought before each call"] * 4, "text")
        self.start(conversation)
        self.judge(conversation)
        self.all_came_back()
        self.assertEqual(len(self.last.used), 4 * (1 + 1 + 2))
        self.assertEqual(len({item_id for seen in self.upstream.seen for item_id in seen.used}), 16)

    def test_a_stream_and_an_object_can_follow_each_other(self) -> None:
        for first in (False, True):
            conversation = [Step(name, (number % 2 == 0) is first) for number, name in enumerate(SEQUENCE)]
            self.start(conversation)
            self.judge(conversation)
            self.all_came_back(first)

    def test_of_a_stream_the_blob_of_the_done_event_comes_back(self) -> None:
        # the strict upstream refuses the two others
        conversation = steps("text", "call", "searches", "text", stream=True)
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual(len(self.last.used), 1 + 1 + 7)

    def test_searches_come_back_between_the_thoughts_that_led_to_them(self) -> None:
        conversation = steps("searches", "text")
        self.start(conversation)
        self.judge(conversation)
        kinds = [item.get("type", item.get("role")) for item in self.input]
        self.assertEqual(
            kinds,
            ["developer", "user", *["reasoning", "web_search_call"] * 6, "reasoning", "message", "user"],
        )

    def test_phases_come_back(self) -> None:
        conversation = steps("commentary and calls", "final answer", "text")
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual(
            [item["phase"] for item in self.input if "phase" in item],
            ["commentary", "final_answer"],
        )

    def test_nothing_that_comes_back_names_what_is_not_kept_upstream(self) -> None:
        conversation = steps(*SEQUENCE)
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual([item for item in self.input if "id" in item], [])
        for seen in self.upstream.seen:
            body = json.loads(seen.body)
            self.assertEqual((body["store"], body["include"]), (False, ["reasoning.encrypted_content"]))

    def test_the_same_words_at_several_places_each_have_their_own_reasoning(self) -> None:
        conversation = steps("text", "text", "text", "text")
        self.start(conversation)
        self.judge(conversation)
        self.all_came_back()
        self.assertEqual(len(set(self.last.used)), 3)

    def test_earlier_models_are_served_within_the_turn(self) -> None:
        for model in ("gpt-5", "gpt-5.1", "o4-mini"):
            conversation = steps("call", "call", "text", "call", "text")
            self.start(conversation)
            self.judge(conversation, begun(model=model))
            self.all_came_back(model)
            self.assertEqual((len(self.last.used), len(self.last.unrendered)), (1, 3))

    def test_a_model_that_does_not_reason_is_asked_for_nothing(self) -> None:
        conversation = steps("call", "text", "text")
        self.start(conversation)
        self.judge(conversation, ChatClient(model="gpt-4o", searches=False).says("Hello"))
        self.assertEqual([seen.given for seen in self.upstream.seen], [()] * 3)

    def test_an_open_model_is_given_back_what_it_showed(self) -> None:
        self.upstream = StrictResponses([OPEN_SHAPES["open call"], OPEN_SHAPES["open text"]])
        self.bridge = Bridge(self.upstream)
        client = self.bridge.tell(ChatClient(model="gpt-oss-120b").says("Hello")).goes_on()
        client = self.bridge.tell(client, stream=True).goes_on()
        self.bridge.tell(client)
        self.assertEqual(self.upstream.refused, [])
        self.assertEqual([seen.plain for seen in self.upstream.seen], [0, 1, 2])

    @conversations
    @given(faithful())
    def test_made_up_conversations_carry_all_of_their_reasoning(self, conversation: list[Step]) -> None:
        self.start(conversation)
        self.judge(conversation)
        self.all_came_back(conversation)


class ChoiceTests(JudgedTestCase):
    def test_the_reasoning_of_the_choice_that_was_taken_comes_back(self) -> None:
        conversation = [Step("call", choices=3), Step("text", stream=True, choices=2), *steps("text")]
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual(len(self.upstream.seen), 3 + 2 + 1)
        for seen in self.upstream.seen:
            self.assertEqual((seen.missing, seen.dropped), ((), ()))
        self.assertEqual(len(self.last.used), 2)

    def test_each_choice_can_be_gone_on_with(self) -> None:
        conversation = [Step("parallel calls", choices=2)]
        self.start(conversation)
        heard = self.bridge.chat(begun().request(n=2))
        used = []
        for choice in range(2):
            self.bridge.tell(begun().hears(heard.body, choice).goes_on())
            self.assertEqual((self.last.missing, self.last.prefix), ((), Prefix.SAME))
            used.append(self.last.used)
        self.assertEqual([len(ids) for ids in used], [1, 1])
        self.assertNotEqual(used[0], used[1])


class StoredTests(JudgedTestCase):
    def test_a_client_that_has_it_stored_gets_its_reasoning_too(self) -> None:
        conversation = steps("call", "text", "call", "text")
        self.start(conversation)
        self.judge(conversation, begun(more={"store": True}))
        self.all_came_back()
        self.assertEqual([json.loads(seen.body)["store"] for seen in self.upstream.seen], [True] * 4)

    def test_a_chain_is_left_alone(self) -> None:
        conversation = steps("call", "text")
        self.start(conversation)
        client = self.bridge.tell(begun(), store=True)
        first = self.last.response_id
        results = client.runs_tools().messages[len(client.messages) :]
        chained = ChatClient(results, more={"previous_response_id": first, "store": True})
        self.bridge.tell(chained)
        self.assertEqual(self.upstream.refused, [])
        self.assertEqual([item["type"] for item in self.input], ["function_call_output"])
        self.assertEqual(len(self.last.used), 1)

    def test_a_conversation_object_is_left_alone(self) -> None:
        conversation = steps("text", "text")
        self.start(conversation)
        name = self.upstream.conversation(ACCOUNTS[KEY])
        for _ in range(3):
            self.bridge.tell(ChatClient(more={"conversation": name}).says("And now?"))
            self.assertEqual([item["role"] for item in self.input], ["user"])
        self.assertEqual(self.upstream.refused, [])
        self.assertEqual(len(self.last.used), 2)
