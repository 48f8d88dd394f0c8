"""Which kept turns go back into a history, and whose fault a refusal is (bridge.md 6.1, 6.3)."""

from __future__ import annotations

import json

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError, UpstreamError
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import translate
from oaiproxy.bridge.continuity import (
    blames_recall,
    converse,
)
from oaiproxy.models import Catalogue
from tests.bridge.keeping import (
    CALL,
    LOOK,
    SCOPE,
    THOUGHT,
    assistant,
    back,
    call,
    keep,
    message,
    result,
    said_message,
    thought,
    user,
)


class RecallTests(SynchronousTestCase):
    """What goes back into a history."""

    def test_the_items_go_back_in_place_and_results_follow_them(self) -> None:
        history = [user("Hi"), assistant(None, LOOK), result("call_1"), user("And?")]
        output = {"type": "function_call_output", "call_id": "call_1", "output": "found"}
        self.assertEqual(
            back(history, {1: keep(thought(), call())}),
            [{"role": "user", "content": "Hi"}, THOUGHT, CALL, output, {"role": "user", "content": "And?"}],
        )

    def test_arguments_go_back_in_upstream_s_own_bytes(self) -> None:
        history = [user("Hi"), assistant(None, ("call_1", "look", '{"at":1}')), result("call_1")]
        self.assertEqual(back(history, {1: keep(thought(), call())})[1:3], [THOUGHT, CALL])

    def test_a_text_that_the_client_dropped_beside_its_calls_goes_back(self) -> None:
        history = [user("Hi"), assistant(None, LOOK), result("call_1")]
        self.assertEqual(
            back(history, {1: keep(thought(), message("Wait."), call())})[1:4], [THOUGHT, said_message("Wait."), CALL]
        )

    def test_a_changed_text_is_sent_as_the_client_has_it(self) -> None:
        history = [user("Hi"), assistant("Hello me"), user("And?")]
        found = back(history, {1: keep(thought(), message("Hello you"))})
        self.assertEqual(found[1], {"type": "message", "role": "assistant", "content": "Hello me"})

    def test_changed_arguments_are_sent_as_the_client_has_them(self) -> None:
        history = [user("Hi"), assistant(None, ("call_1", "look", '{"at":2}')), result("call_1")]
        self.assertEqual(back(history, {1: keep(thought(), call())})[1], {**CALL, "arguments": '{"at":2}'})

    def test_a_call_that_the_client_took_out_stays_out(self) -> None:
        history = [user("Hi"), assistant(None, LOOK), result("call_1")]
        found = back(history, {1: keep(thought(), call(), call("call_2"))})
        self.assertEqual([item.get("type") for item in found], [None, "function_call", "function_call_output"])

    def test_after_a_changed_turn_only_those_go_back_that_were_made_after_the_change(self) -> None:
        history = [user("Hi"), assistant("Hello me"), user("Look"), assistant(None, LOOK), result("call_1")]
        changed = keep(thought(), message("Hello you"))
        later = converse(history[:3])
        assert later is not None
        before, after = keep(thought(), call()), keep(thought(), call(), prefix=later.before.prefix)
        self.assertNotIn(THOUGHT, back(history, {1: changed, 3: before}))
        self.assertIn(THOUGHT, back(history, {1: changed, 3: after}))

    def test_a_turn_that_is_not_known_any_more_says_nothing_of_later_ones(self) -> None:
        history = [user("Hi"), assistant("Hello"), user("Look"), assistant(None, LOOK), result("call_1")]
        self.assertIn(THOUGHT, back(history, {3: keep(thought(), call())}))

    def test_the_same_turn_goes_back_once(self) -> None:
        history = [user("Hi"), assistant(None, LOOK), result("call_1"), assistant(None, LOOK), result("call_1")]
        turn = keep(thought(), call())
        found = back(history, {1: turn, 3: turn})
        self.assertEqual(found.count(THOUGHT), 1)
        self.assertEqual([item["call_id"] for item in found[2:]], ["call_1", "call_1", "call_1_2", "call_1_2"])

    def test_a_call_id_that_was_used_before_keeps_its_results(self) -> None:
        history = [user("Hi"), assistant(None, ("call_1", "add", "{}")), result("call_1"), assistant(None, LOOK)]
        found = back([*history, result("call_1")], {3: keep(thought(), call())})
        self.assertNotIn(THOUGHT, found)
        self.assertEqual([item["call_id"] for item in found[1:]], ["call_1", "call_1", "call_1_2", "call_1_2"])

    def test_another_model_s_reasoning_stays_away_and_the_rest_goes_back(self) -> None:
        history = [user("Hi"), assistant("Hello you"), user("And?")]
        turn = keep(thought(), message("Hello you", phase="final_answer"))
        for scope in (replace(SCOPE, model="gpt-5.2"), replace(SCOPE, account=b"other")):
            found = back(history, {1: turn}, scope)
            self.assertEqual(found[1:2], [{**said_message("Hello you"), "phase": "final_answer"}])

    def test_where_participants_have_names_the_client_s_words_are_sent(self) -> None:
        history = [user("Hi"), assistant("Hello", name="ann"), user("And?"), assistant("Ho", name="bob")]
        self.assertEqual(back(history, {1: keep(thought(), message("Hello"))})[1]["content"], "ann: Hello")

    def test_calls_of_a_wrapper_go_back_as_the_client_has_them(self) -> None:
        uses = [{"recipient_name": "functions.look", "parameters": {"at": n}} for n in (1, 2)]
        turn = keep(thought(), call("call_w", "parallel", json.dumps({"tool_uses": uses})))
        pair = [(f"call_w_{n}", "look", f'{{"at":{n + 1}}}') for n in (0, 1)]
        found = back([user("Hi"), assistant(None, *pair), result("call_w_0"), result("call_w_1")], {1: turn})
        self.assertEqual(found[1], THOUGHT)
        self.assertEqual([item["call_id"] for item in found[2:]], ["call_w_0", "call_w_1", "call_w_0", "call_w_1"])

    def test_results_that_never_came_are_put_behind_all_calls_of_the_turn(self) -> None:
        history = [user("Hi"), assistant(None, LOOK, ("call_2", "look", "{}")), user("Never mind")]
        turn = keep(thought(), call(), thought("more"), call("call_2", arguments="{}"))
        types = [item.get("type", item.get("role")) for item in back(history, {1: turn})]
        outputs = ["function_call_output"] * 2
        expected = ["user", "reasoning", "function_call", "reasoning", "function_call", *outputs, "user"]
        self.assertEqual(types, expected)

    def test_reasoning_that_can_come_back_is_asked_for_where_turns_are_kept(self) -> None:
        request = ApiRequest(
            port=PortKind.BRIDGE,
            method="POST",
            path="/chat/completions",
            headers=(),
            body=Body.of({"model": "gpt-5", "messages": [user("Hi")], "include": ["file_search_call.results"]}),
        )
        can = Catalogue.builtin().capabilities("gpt-5")
        asked = json.loads(translate(request, can, kept={}).body)["include"]
        self.assertEqual(asked, ["file_search_call.results", "reasoning.encrypted_content"])
        without = replace(request, leave_out=frozenset({"include"}))
        for body in (translate(request, can).body, translate(without, can, kept={}).body):
            self.assertEqual(json.loads(body)["include"], ["file_search_call.results"])


class RefusalTests(SynchronousTestCase):
    """Which refusals may be due to what went back."""

    def test_what_the_api_says_of_reasoning_items(self) -> None:
        for message_, status in (
            ("Item 'rs_1' of type 'reasoning' was provided without its required following item.", 400),
            ("Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.", 400),
            ("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", 404),
            ("Duplicate item found with id rs_1. Remove duplicate items from your input and try again.", 400),
            ("The encrypted content gAAA could not be verified.", 400),
        ):
            self.assertTrue(blames_recall(UpstreamError(message_, status=status)), message_)

    def test_what_has_other_reasons(self) -> None:
        for error in (
            UpstreamError("The encrypted content could not be verified.", status=500),
            UpstreamError("Invalid 'temperature': decimal above maximum value.", status=400),
            UpstreamError("You exceeded your current quota.", status=429),
            ApiError("An item is wrong.", status=400),
        ):
            self.assertFalse(blames_recall(error), error.message)

    def test_what_is_asked_for_with_include_is_no_item(self) -> None:
        error = UpstreamError("Encrypted content is not supported with this model.", status=400)
        error.upstream_param = "include"
        self.assertFalse(blames_recall(error))
