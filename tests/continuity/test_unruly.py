"""Clients that do as they like with their history: nothing is ever refused, and what still fits comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings

from oaiproxy.settings import ReasoningContinuity, Settings
from tests.continuity.bridge import Bridge
from tests.continuity.canonical import visible
from tests.continuity.judged import SEQUENCE, JudgedTestCase, conversations
from tests.continuity.ledger import Prefix
from tests.continuity.loops import ACCOUNTS, Step, begun, harmless, steps, unruly
from tests.continuity.misbehaviour import MISBEHAVIOURS
from tests.continuity.turns import ODD_SHAPES, SHAPES, Play
from tests.continuity.upstream import StrictResponses


def words(items: list[dict[str, Any]]) -> tuple[str, list[tuple[str, ...]]]:
    """What a conversation says, without the spaces: the model's texts, and in no order, as a text behind a call comes
    before it in chat, all else.  Calls inside a wrapper are calls like others.
    """
    unwrapped: list[dict[str, Any]] = []
    for item in items:
        if item.get("name") == "parallel":
            uses = json.loads(item["arguments"])["tool_uses"]
            unwrapped += [
                {
                    **item,
                    "name": use["recipient_name"].removeprefix("functions."),
                    "arguments": json.dumps(use["parameters"]),
                }
                for use in uses
            ]
        else:
            unwrapped.append(item)
    said = [tuple("".join(part.split()) for part in each) for each in visible(unwrapped)]
    texts = [text for kind, text, *_ in said if kind == "assistant"]
    return "".join(texts), sorted(each for each in said if each[0] != "assistant")


class UnrulyTests(JudgedTestCase):
    def what_still_fits_came_back(self, conversation: Sequence[Step]) -> None:
        """See that what the client left as it was has all its reasoning."""
        changes = [MISBEHAVIOURS[name] for step in conversation for name, _ in step.changes]
        if not any(change.alike for change in changes):
            self.assertEqual([seen.missing for seen in self.upstream.seen if seen.missing], [], conversation)

    def test_whatever_a_client_does_to_its_history_nothing_is_refused(self) -> None:
        for name in MISBEHAVIOURS:
            for at in (0, 5):
                conversation = [*steps(*SEQUENCE), Step("call", at % 2 == 0, ((name, at),)), *steps("text", "text")]
                self.start(conversation)
                self.judge(conversation)
                self.what_still_fits_came_back(conversation)

    def test_what_says_the_same_in_other_letters_comes_back_whole(self) -> None:
        for name, known in MISBEHAVIOURS.items():
            if known.harmless:
                shapes = (*SEQUENCE, "text with space around it", "text and call")
                conversation = [*steps(*shapes), Step("call", changes=((name, 1),)), *steps("text", "text")]
                self.start(conversation)
                self.judge(conversation)
                self.all_came_back(name)

    def test_what_comes_back_never_changes_what_the_client_says(self) -> None:
        plain = StrictResponses()
        without = Bridge(plain, Settings(reasoning_continuity=ReasoningContinuity.OFF), accounts=ACCOUNTS)
        conversation = steps(*SEQUENCE, "text and call", *ODD_SHAPES, "call", "text")
        self.start(conversation)
        faithful_client = self.judge(conversation).goes_on()
        for name, known in MISBEHAVIOURS.items():
            for at in range(0, 20, 3):
                client = known.change(faithful_client, at)
                for bridge in (self.bridge, without):
                    self.assertEqual(bridge.chat(client.request()).status, 200, (name, at))
                told, wanted = (words(json.loads(upstream.last.body)["input"]) for upstream in (self.upstream, plain))
                if name == "empties an answer":
                    # texts beside calls are forgotten by many clients: they come back
                    told, wanted = ("", told[1]), ("", wanted[1])
                self.assertEqual(told, wanted, (name, at))

    def test_questions_may_be_sent_in_parts(self) -> None:
        for name in ("questions in parts", "results in parts"):
            conversation = [*steps(*SEQUENCE), Step("call", changes=((name, 0),)), *steps("text")]
            self.start(conversation)
            self.judge(conversation)
            self.assertEqual([(seen.missing, seen.dropped) for seen in self.upstream.seen], [((), ())] * 12, name)

    def test_before_an_edited_answer_all_comes_back_and_behind_it_nothing(self) -> None:
        conversation = steps("text", "call", "text", "text", "text")
        self.start(conversation)
        client = self.judge(conversation)
        used = self.last.used
        self.assertEqual(len(used), 4)
        edited = MISBEHAVIOURS["edits a text"].change(client.goes_on(), 1)
        self.bridge.tell(edited)
        self.assertEqual((self.last.given, self.last.dropped), (used[:2], ()))

    def test_after_an_edit_the_conversation_gathers_reasoning_again(self) -> None:
        conversation = [*steps("text", "text"), Step("call", changes=(("edits a text", 0),)), *steps("call", "text")]
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual([len(seen.used) for seen in self.upstream.seen], [0, 1, 0, 1, 2])

    def test_two_branches_of_a_history_each_keep_their_own(self) -> None:
        conversation = steps("call", "text", "text", "text")
        self.start(conversation)
        client = self.bridge.tell(self.bridge.tell(begun()).goes_on())
        left, right = client.says("Left?"), client.says("Right?")
        for _ in range(3):
            left, right = self.bridge.tell(left).goes_on(), self.bridge.tell(right, stream=True).goes_on()
        self.assertEqual(self.upstream.refused, [])
        self.all_came_back()
        self.assertEqual(len(self.last.used), 4)

    def test_two_tabs_that_ask_the_same_each_go_on_with_their_own_answer(self) -> None:
        for shape in ("call", "text"):
            conversation = steps(shape, "text", "text")
            self.start(conversation)
            tabs = [self.bridge.tell(begun()), self.bridge.tell(begun())]
            self.assertNotEqual(tabs[0], tabs[1])
            used = []
            for tab in tabs:
                self.bridge.tell(self.bridge.tell(tab.goes_on()).goes_on())
                self.assertEqual((self.last.missing, self.last.dropped, self.last.prefix), ((), (), Prefix.SAME))
                used.append(self.last.used)
            self.assertEqual((len(used[0]), len(used[1]), len({*used[0], *used[1]})), (2, 2, 4))

    def test_two_answers_in_the_same_words_never_mix(self) -> None:
        self.upstream = StrictResponses(Play([SHAPES["text"], SHAPES["text"]], same_words=True))
        self.bridge = Bridge(self.upstream)
        tabs = [self.bridge.tell(begun()), self.bridge.tell(begun())]
        for _ in range(3):
            tabs = [self.bridge.tell(tab.goes_on()) for tab in tabs]
            self.assertEqual((self.upstream.refused, self.last.missing), ([], ()))

    def test_the_same_request_is_the_same_bytes(self) -> None:
        conversation = steps("call", "text", "text")
        self.start(conversation)
        client = self.judge(steps("call", "text")).goes_on()
        for _ in range(3):
            self.bridge.tell(client)
        self.assertEqual(len({seen.body for seen in self.upstream.seen[-3:]}), 1)

    @conversations
    @given(harmless())
    def test_made_up_clients_that_only_write_otherwise_lose_nothing(self, conversation: list[Step]) -> None:
        self.start(conversation)
        self.judge(conversation)
        self.all_came_back(conversation)

    @hypothesis_settings(conversations, max_examples=100)
    @given(unruly())
    def test_made_up_clients_that_do_anything_are_never_refused(self, conversation: list[Step]) -> None:
        self.start(conversation)
        self.judge(conversation)
        self.what_still_fits_came_back(conversation)
