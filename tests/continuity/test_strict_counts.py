"""The strict upstream counts right, and says what its script says."""

from __future__ import annotations

import json

from tests.continuity.asking import ENCRYPTED, HELLO, StrictTestCase, results, without_ids
from tests.continuity.ledger import Prefix
from tests.continuity.rules import family_of
from tests.continuity.turns import ODD_SHAPES, OPEN_SHAPES, SHAPES, Call, Ending, Play, Say, Search, Thought, Turn
from tests.continuity.upstream import StrictResponses


class CountingTests(StrictTestCase):
    def test_what_could_have_been_given_is_counted(self) -> None:
        self.start(SHAPES["call"], SHAPES["text"])
        made = self.output([HELLO])
        said = self.output([HELLO, *without_ids(made), *results(made)])
        bare = [item for item in made + said if item["type"] != "reasoning"]
        self.output([HELLO, *without_ids(bare[:1]), *results(made), *without_ids(bare[1:]), HELLO])
        self.assertEqual(set(self.upstream.last.missing), {made[0]["id"], said[0]["id"]})

    def test_what_was_said_in_the_words_of_chat_is_the_same_conversation(self) -> None:
        self.start(SHAPES["commentary and answer"])
        made = self.output([HELLO])
        self.output([HELLO, {"role": "assistant", "content": "I look.\n\nDone."}, HELLO])
        thoughts = {item["id"] for item in made if item["type"] == "reasoning"}
        self.assertEqual(set(self.upstream.last.missing), thoughts)

    def test_an_edited_turn_and_what_follows_it_could_not_have_been_given(self) -> None:
        self.start(SHAPES["text"], SHAPES["final answer"])
        first = self.output([HELLO])
        self.output([HELLO, *without_ids(first), HELLO])
        edited = {"role": "assistant", "content": "It is red."}
        self.output([HELLO, edited, HELLO, {"role": "assistant", "content": "It is green."}, HELLO])
        self.assertEqual(self.upstream.last.missing, ())

    def test_a_turn_with_more_in_it_than_was_said_could_not_have_been_given(self) -> None:
        self.start(SHAPES["call"])
        made = self.output([HELLO])
        more = {"type": "function_call", "call_id": "call_more", "name": "add", "arguments": "{}"}
        calls = [*without_ids(made[1:]), more]
        self.output([HELLO, *calls, *results(calls)])
        self.assertEqual(self.upstream.last.missing, ())

    def test_another_account_s_reasoning_is_not_missed(self) -> None:
        self.start(SHAPES["text"])
        self.output([HELLO])
        self.output([HELLO, {"role": "assistant", "content": "It is blue."}, HELLO], "umbrella")
        self.assertEqual(self.upstream.last.missing, ())

    def test_of_several_answers_in_the_same_words_one_is_enough(self) -> None:
        self.upstream = StrictResponses(Play([SHAPES["text"]], same_words=True))
        self.output([HELLO])
        second = self.output([HELLO])
        self.output([HELLO, *without_ids(second), HELLO])
        self.assertEqual(self.upstream.last.missing, ())
        self.output([HELLO, *without_ids(second[1:]), HELLO])
        self.assertEqual(len(self.upstream.last.missing), 1)

    def test_what_is_asked_again_is_answered_in_other_words(self) -> None:
        self.start(SHAPES["text"])
        said = [self.output([HELLO])[1]["content"][0]["text"] for _ in range(3)]
        self.assertEqual(said, ["It is blue.", "It is blue. [1]", "It is blue. [2]"])

    def test_reasoning_that_cannot_come_back_is_not_missed(self) -> None:
        for name in ("thought at the end", "thought after a call", "nothing but a thought", "not sealed", "cut text"):
            self.start(ODD_SHAPES[name])
            _, answer = self.post([HELLO])
            made = answer["output"]
            lost = [item["id"] for item in made if item["type"] == "reasoning"][-1]
            kept = [item for item in made if item["id"] != lost]
            self.output([HELLO, *without_ids(kept), *results(kept), HELLO])
            self.assertEqual(self.upstream.last.missing, (), name)

    def test_answers_that_failed_are_not_missed(self) -> None:
        for ending in (Ending.FAILED, Ending.CUT):
            self.start(Turn((Thought(), Say("Well.")), ending))
            self.post([HELLO], stream=True)
            self.output([HELLO, {"role": "assistant", "content": "Well."}, HELLO])
            self.assertEqual(self.upstream.last.missing, ())

    def test_the_prefix_is_the_same_bytes(self) -> None:
        self.start(SHAPES["text"], SHAPES["text"])
        made = self.output([HELLO])
        self.assertEqual(self.upstream.last.prefix, Prefix.FIRST)
        self.output([HELLO, *without_ids(made), HELLO])
        self.assertEqual((self.upstream.last.prefix, self.upstream.last.head_same), (Prefix.SAME, True))
        self.output([HELLO, *without_ids(made[1:]), HELLO])
        self.assertEqual(self.upstream.last.prefix, Prefix.CHANGED)
        self.output([{"content": "Hello", "role": "user"}, *without_ids(made), HELLO])
        self.assertEqual(self.upstream.last.prefix, Prefix.CHANGED)

    def test_a_lost_phase_is_another_prefix(self) -> None:
        self.start(SHAPES["final answer"])
        thought, said = self.output([HELLO])
        del said["phase"]
        self.output([HELLO, *without_ids([thought, said]), HELLO])
        self.assertEqual(self.upstream.last.prefix, Prefix.CHANGED)

    def test_other_fields_before_the_input_are_told(self) -> None:
        self.start(SHAPES["text"])
        made = self.output([HELLO])
        self.output([HELLO, *without_ids(made), HELLO], tools=[])
        self.assertEqual(self.upstream.last.head_same, False)


class OutputTests(StrictTestCase):
    def test_a_stream_says_what_the_object_says(self) -> None:
        for name, turn in {**SHAPES, **ODD_SHAPES}.items():
            self.start(turn)
            _, whole = self.post([HELLO])
            self.start(turn)
            _, told = self.post([HELLO], stream=True)
            done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
            self.assertEqual(done, whole["output"], name)
            self.assertEqual([event["sequence_number"] for event in told], list(range(len(told))), name)
            self.assertEqual(told[-1]["type"], f"response.{whole['status']}", name)

    def test_the_same_requests_get_the_same_bytes(self) -> None:
        body = json.dumps({"model": "gpt-5.6", "input": "Hello", "include": [ENCRYPTED], "stream": True}).encode()
        answers = {StrictResponses([SHAPES["text"]]).answer(body, "acme") for _ in range(2)}
        self.assertEqual(len(answers), 1)

    def test_a_model_that_does_not_reason_has_no_reasoning(self) -> None:
        self.start(SHAPES["text"])
        for fields in ({"model": "gpt-4o"}, {"model": "gpt-5.6", "reasoning": {"effort": "none"}}):
            self.assertEqual([item["type"] for item in self.output([HELLO], include=None, **fields)], ["message"])

    def test_a_model_uses_only_tools_that_it_has(self) -> None:
        self.start(Turn((Call("add", "{}"), Search("x"))))
        self.assertEqual([item["type"] for item in self.output([HELLO], tools=None)], ["message", "message"])

    def test_an_open_model_shows_its_reasoning_and_takes_it_back(self) -> None:
        self.start(OPEN_SHAPES["open call"])
        made = self.output([HELLO], model="gpt-oss-120b")
        self.assertEqual(made[0]["content"], [{"type": "reasoning_text", "text": "I have to look."}])
        self.assertNotIn("encrypted_content", made[0])
        self.output([HELLO, *without_ids(made), *results(made)], model="gpt-oss-120b")
        self.assertEqual(self.upstream.last.plain, 1)

    def test_families(self) -> None:
        for model, family in (
            ("gpt-5.1-2025-11-13", "gpt-5.1"),
            ("gpt-5-mini", "gpt-5"),
            ("o4-mini", "o4"),
            ("gpt-oss-120b", "gpt-oss"),
            ("llama", "llama"),
        ):
            self.assertEqual(family_of(model), family)
