"""The strict upstream refuses what the API refuses, and takes what it takes: rule by rule (bridge.md 6.1)."""

from __future__ import annotations

from typing import Any

from tests.continuity.asking import HELLO, StrictTestCase, results, without_ids, without_status
from tests.continuity.ledger import Prefix
from tests.continuity.turns import SHAPES


class RuleTests(StrictTestCase):
    """R1 to R13, one by one."""

    def setUp(self) -> None:
        self.start(SHAPES["call"], SHAPES["parallel calls"], SHAPES["text"])
        self.made = self.output([HELLO])
        self.thought, self.call = self.made
        self.result = results(self.made)

    def taken(self, *items: dict[str, Any], **fields: Any) -> None:
        self.output([HELLO, *items], **fields)

    # R1

    def test_reasoning_with_its_id_has_to_be_followed_by_what_it_led_to(self) -> None:
        following = (400, None, "input")
        message = f"Item '{self.thought['id']}' of type 'reasoning' was provided without its required following item."
        self.assertEqual(self.refusal([HELLO, self.thought]), (*following, message))
        other = {"type": "message", "role": "assistant", "content": "Something else."}
        self.assertEqual(self.refusal([HELLO, self.thought, other]), (*following, message))
        another = {**self.call, "id": None, "call_id": "call_other"}
        self.assertEqual(
            self.refusal([HELLO, self.thought, another, {**self.result[0], "call_id": "call_other"}]),
            (*following, message),
        )

    def test_reasoning_with_its_id_is_taken_with_a_call_without_one(self) -> None:
        self.taken(self.thought, *without_ids([self.call]), *self.result)
        self.assertEqual(self.upstream.last.used, (self.thought["id"],))

    def test_reasoning_without_an_id_is_not_the_last_item(self) -> None:
        status, _, _, message = self.refusal([HELLO, *without_ids([self.thought])])
        self.assertEqual(status, 400)
        self.assertIn("without its required following item", message)

    def test_reasoning_without_an_id_does_not_stand_before_an_output_or_a_question(self) -> None:
        call, thought = without_ids([self.call, self.thought])
        for items in ([call, thought, *self.result], [call, *self.result, thought, HELLO]):
            self.assertIn("without its required following item", self.refusal([HELLO, *items])[3])

    def test_reasoning_does_not_stand_behind_the_last_call_of_its_turn(self) -> None:
        call, thought = without_ids([self.call, self.thought])
        said = {"type": "message", "role": "assistant", "content": "Well."}
        refusal = self.refusal([HELLO, call, thought, said, *self.result])
        self.assertIn("without its required following item", refusal[3])

    # R2

    def test_a_call_with_its_id_needs_its_reasoning(self) -> None:
        message = (
            f"Item '{self.call['id']}' of type 'function_call' was provided without its required 'reasoning' item: "
            f"'{self.thought['id']}'."
        )
        self.assertEqual(self.refusal([HELLO, self.call, *self.result]), (400, None, "input", message))
        self.taken(self.thought, self.call, *self.result)

    def test_parallel_calls_with_ids_need_the_reasoning_before_the_first(self) -> None:
        before = [HELLO, *without_ids(self.made), *self.result]
        thought, *calls = self.output(before)
        self.taken(*before[1:], thought, *calls, *results(calls))
        self.assertIn("required 'reasoning' item", self.refusal([*before, *calls, *results(calls)])[3])

    # R3

    def test_items_without_ids_are_taken(self) -> None:
        self.taken(*without_ids(self.made), *self.result)
        self.assertEqual(self.upstream.last.given, (self.thought["id"],))

    def test_a_call_without_an_id_needs_no_reasoning(self) -> None:
        self.taken(*without_ids([self.call]), *self.result)
        self.assertEqual(self.upstream.last.missing, (self.thought["id"],))

    # R4

    def test_reasoning_that_is_only_named_has_to_be_stored(self) -> None:
        named = {"type": "reasoning", "id": self.thought["id"], "summary": []}
        message = (
            f"Item with id '{self.thought['id']}' not found. Items are not persisted when `store` is set to false."
        )
        self.assertEqual(self.refusal([HELLO, named, self.call, *self.result]), (404, None, "input", message))
        reference = {"type": "item_reference", "id": self.thought["id"]}
        self.assertEqual(self.refusal([HELLO, reference, self.call, *self.result])[0], 404)

    def test_reasoning_that_is_stored_can_be_named(self) -> None:
        thought, call = self.output([HELLO, HELLO], store=True)
        named = {"type": "reasoning", "id": thought["id"], "summary": []}
        self.output([HELLO, HELLO, named, call, *results([call])])
        self.assertEqual(self.upstream.last.used, (thought["id"],))
        self.output([HELLO, HELLO, {"id": thought["id"]}, {"id": call["id"]}, *results([call])])
        self.assertEqual(self.upstream.last.used, (thought["id"],))
        self.assertEqual(self.refusal([HELLO, HELLO, named, call, *results([call])], "umbrella")[0], 404)

    # R5

    def test_only_the_blob_of_the_done_event_opens(self) -> None:
        _, told = self.post([HELLO, HELLO], stream=True)
        blobs = {}
        for event in told:
            for item in [event["item"]] if "item" in event else event.get("response", {}).get("output", ()):
                if item["type"] == "reasoning":
                    blobs[event["type"]] = item
        self.assertEqual(list(blobs), ["response.output_item.added", "response.output_item.done", "response.completed"])
        self.assertEqual(len({item["encrypted_content"] for item in blobs.values()}), 3)
        call = told[-1]["response"]["output"][1]
        for name, item in blobs.items():
            input = [HELLO, HELLO, *without_ids([item, call]), *results([call])]
            if name == "response.output_item.done":
                self.output(input)
            else:
                self.assertEqual(self.refusal(input)[1], "invalid_encrypted_content", name)

    # R6

    def test_nothing_is_sealed_unless_it_is_asked_for(self) -> None:
        thought, _ = self.output([HELLO, HELLO], include=None)
        self.assertNotIn("encrypted_content", thought)

    # R7

    def test_no_item_comes_twice(self) -> None:
        twice = (
            f"Duplicate item found with id {self.thought['id']}. Remove duplicate items from your input and try again."
        )
        items = [self.thought, self.call]
        self.assertEqual(self.refusal([HELLO, *items, *self.result, *items, *self.result]), (400, None, "input", twice))
        thought, call = without_ids(items)
        other = {**call, "call_id": "call_other"}
        outputs = [*self.result, {**self.result[0], "call_id": "call_other"}]
        self.assertEqual(self.refusal([HELLO, thought, call, thought, other, *outputs])[3], twice)
        self.assertIn("Duplicate item", self.refusal([HELLO, call, *self.result, call, *self.result])[3])

    # R8

    def test_a_damaged_blob_is_refused(self) -> None:
        blob = self.thought["encrypted_content"]
        for damaged in (blob[:-1], blob[1:], blob + "A", blob[:20] + "!" + blob[20:], "", "made up"):
            thought: dict[str, Any] = {"type": "reasoning", "summary": [], "encrypted_content": damaged}
            refusal = self.refusal([HELLO, thought, *without_ids([self.call]), *self.result])
            self.assertEqual(refusal[:3], (400, "invalid_encrypted_content", None), damaged)
            self.assertIn("could not be verified", refusal[3])

    def test_another_account_cannot_read_it(self) -> None:
        items = [HELLO, *without_ids(self.made), *self.result]
        self.assertEqual(self.refusal(items, "umbrella")[:2], (400, "invalid_encrypted_content"))

    def test_another_family_cannot_read_it(self) -> None:
        items = [HELLO, *without_ids(self.made), *self.result]
        self.output(items, model="gpt-5.6-2026-07-01")
        self.assertEqual(self.refusal(items, model="gpt-5.5")[:2], (400, "invalid_encrypted_content"))

    def test_it_belongs_to_its_item(self) -> None:
        thought = {**self.thought, "id": "rs_other"}
        refusal = self.refusal([HELLO, thought, self.call, *self.result])
        self.assertEqual(refusal[:2], (400, "invalid_encrypted_content"))

    def test_what_was_sealed_with_a_lost_key_cannot_be_read(self) -> None:
        items = [HELLO, *without_ids(self.made), *self.result]
        self.upstream.forget_key("acme")
        self.assertEqual(self.refusal(items)[:2], (400, "invalid_encrypted_content"))
        self.output([HELLO, *without_ids([self.call]), *self.result])
        self.assertEqual(self.upstream.last.missing, ())

    # R9

    def test_reasoning_needs_its_summary(self) -> None:
        thought, call = without_ids(self.made)
        del thought["summary"]
        self.assertEqual(
            self.refusal([HELLO, thought, call, *self.result]),
            (400, "missing_required_parameter", "input[1].summary", "Missing required parameter: 'input[1].summary'."),
        )
        self.taken({**thought, "summary": []}, call, *self.result)

    def test_reasoning_has_no_status_and_no_words_of_its_own(self) -> None:
        thought, call = without_ids(self.made)
        for more, code in (
            ({"status": "completed"}, "unknown_parameter"),
            ({"content": [{"type": "reasoning_text", "text": "Hm"}]}, "array_above_max_length"),
        ):
            self.assertEqual(self.refusal([HELLO, {**thought, **more}, call, *self.result])[:2], (400, code))
        self.taken({**thought, "content": []}, call, *self.result)

    def test_reasoning_that_says_nothing_is_refused(self) -> None:
        call = without_ids([self.call])
        refusal = self.refusal([HELLO, {"type": "reasoning", "summary": []}, *call, *self.result])
        self.assertEqual(refusal[:3], (400, "missing_required_parameter", "input[1].id"))

    # R10

    def test_reasoning_behind_another_prefix_is_dropped_and_not_refused(self) -> None:
        hello = {"role": "user", "content": "Hello!"}
        self.output([hello, *without_ids(self.made), *self.result])
        seen = self.upstream.last
        self.assertEqual((seen.given, seen.used, seen.dropped), (seen.verified, (), (self.thought["id"],)))

    def test_the_same_prefix_may_be_written_in_other_ways(self) -> None:
        hello = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
        self.output([hello, *without_ids(self.made), *self.result])
        self.assertEqual(self.upstream.last.used, (self.thought["id"],))

    def test_without_an_earlier_thought_a_later_one_has_another_prefix(self) -> None:
        before = [HELLO, *without_ids(self.made), *self.result]
        second = self.output(before)
        whole = [*before, *without_ids(second), *results(second)]
        self.output(whole)
        self.assertEqual(self.upstream.last.used, (self.thought["id"], second[0]["id"]))
        self.output([item for item in whole if item is not before[1]])
        self.assertEqual(self.upstream.last.dropped, (second[0]["id"],))
        self.assertEqual(self.upstream.last.missing, (self.thought["id"],))

    # R11

    def test_earlier_models_are_shown_only_the_reasoning_of_the_current_turn(self) -> None:
        made = self.output([HELLO], model="gpt-5", reasoning={"effort": "low"})
        tail = [*without_ids(made), *results(made)]
        self.output([HELLO, *tail], model="gpt-5")
        self.assertEqual(self.upstream.last.used, (made[0]["id"],))
        self.output([HELLO, *tail, HELLO], model="gpt-5")
        seen = self.upstream.last
        self.assertEqual((seen.used, seen.dropped, seen.unrendered), ((), (), (made[0]["id"],)))

    def test_the_context_can_be_asked_for_where_the_model_takes_it(self) -> None:
        tail = [*without_ids(self.made), *self.result]
        self.output([HELLO, *tail, HELLO])
        self.assertEqual(self.upstream.last.used, (self.thought["id"],))
        self.output([HELLO, *tail, HELLO], reasoning={"context": "current_turn"})
        self.assertEqual(self.upstream.last.unrendered, (self.thought["id"],))
        refusal = self.refusal([HELLO], model="gpt-5.3", reasoning={"context": "all_turns"})
        self.assertEqual(refusal[:3], (400, "unsupported_value", "reasoning.context"))
        self.output([HELLO], model="gpt-5.4", reasoning={"context": "all_turns"})

    # R12

    def test_a_chain_goes_on_with_what_is_stored(self) -> None:
        status, first = self.post([HELLO, HELLO], store=True)
        self.assertEqual(status, 200)
        thought, call = first["output"]
        following = {"previous_response_id": first["id"], "store": True}
        self.output(results([call]), **following)
        self.assertEqual(self.upstream.last.used, (thought["id"],))
        self.assertEqual(self.upstream.last.missing, ())
        again = self.refusal([*without_ids([thought, call]), *results([call])], **following)
        self.assertIn("Duplicate item found with id", again[3])

    def test_a_chain_to_what_is_not_stored_is_refused(self) -> None:
        _, first = self.post([HELLO, HELLO])
        refusal = self.refusal([HELLO], previous_response_id=first["id"])
        self.assertEqual(refusal[:3], (400, "previous_response_not_found", "previous_response_id"))

    def test_a_conversation_is_kept_upstream(self) -> None:
        name = self.upstream.conversation("acme")
        thought, call = self.output([HELLO, HELLO], conversation=name)
        self.output(results([call]), conversation={"id": name})
        self.assertEqual(self.upstream.last.given, (thought["id"],))
        self.assertEqual(self.refusal([HELLO], "umbrella", conversation=name)[0], 404)

    def test_a_request_goes_on_with_one_thing_only(self) -> None:
        refusal = self.refusal([HELLO], conversation="conv_1", previous_response_id="resp_1")
        self.assertEqual(refusal[0], 400)

    # R13

    def test_searches_and_thoughts_come_back_in_their_order(self) -> None:
        self.start(SHAPES["searches"])
        made = self.output([HELLO])
        self.assertEqual([item["type"] for item in made].count("reasoning"), 7)
        self.assertEqual([item["type"] for item in made].count("web_search_call"), 6)
        self.output([HELLO, *without_status(made), HELLO])
        self.assertEqual(len(self.upstream.last.used), 7)
        self.assertEqual(self.upstream.last.prefix, Prefix.SAME)

    def test_a_thought_whose_search_was_cut_is_refused_with_its_id(self) -> None:
        self.start(SHAPES["searches"])
        made = self.output([HELLO])
        self.assertEqual(made[1]["type"], "web_search_call")
        refusal = self.refusal([HELLO, made[0], *without_status(made[2:]), HELLO])
        self.assertIn("without its required following item", refusal[3])
        self.output([HELLO, *without_ids([made[0], *made[2:]]), HELLO])
        self.assertEqual(len(self.upstream.last.dropped), 6)

    # what belongs to every rule

    def test_each_call_has_its_output_and_each_output_its_call_before_it(self) -> None:
        call = without_ids([self.call])
        call_id = self.call["call_id"]
        none = f"No tool output found for function call {call_id}."
        self.assertEqual(self.refusal([HELLO, *call]), (400, None, "input", none))
        stray = f"No tool call found for function call output with call_id {call_id}."
        for items in ([*self.result], [*self.result, *call]):
            self.assertEqual(self.refusal([HELLO, *items]), (400, None, "input", stray))

    def test_fields_that_the_api_does_not_know_are_refused(self) -> None:
        self.assertEqual(self.refusal([HELLO], messages=[])[1:3], ("unknown_parameter", "messages"))
        odd = {"type": "function_call", "id": "call_1", "call_id": "c", "name": "add", "arguments": "{}"}
        self.assertIn("begins with 'fc'", self.refusal([HELLO, odd])[3])

    def test_a_refusal_may_come_in_the_stream(self) -> None:
        self.start(SHAPES["text"], late=True)
        thought = {"type": "reasoning", "summary": [], "encrypted_content": "made up"}
        said = {"role": "assistant", "content": "Hm"}
        status, told = self.post([HELLO, thought, said, HELLO], stream=True)
        self.assertEqual(status, 200)
        self.assertEqual(
            [event["type"] for event in told],
            ["response.created", "response.in_progress", "error", "response.failed"],
        )
        self.assertEqual(told[2]["error"]["code"], "invalid_encrypted_content")
        self.assertEqual(len(self.upstream.refused), 1)
        self.assertEqual(self.post([HELLO, thought, said, HELLO])[0], 400)
