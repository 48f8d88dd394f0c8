"""Turns that are kept: what of an answer, by what they are found, and when they go back (bridge.md 6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError, UpstreamError
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import AnswerPlan, translate
from oaiproxy.bridge.answer import ChatAnswer
from oaiproxy.bridge.continuity import (
    KeptTurn,
    SaidTurn,
    Scope,
    blames_recall,
    carried,
    converse,
    details,
    family,
    kept_items,
    kept_turn,
    recall,
    turn_key,
)
from oaiproxy.bridge.slots import Slots
from oaiproxy.models import Catalogue

Item = dict[str, Any]

SCOPE = Scope(b"tenant", b"account", "gpt-5.1")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look", "add")]


def thought(blob: str = "sealed", **further: Any) -> Item:
    return {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "content": None,
        "encrypted_content": blob,
        "status": "completed",
        **further,
    }


def message(text: str, **further: Any) -> Item:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [{"token": "a"}]}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part], **further}


def call(id: str = "call_1", name: str = "look", arguments: str = '{"at": 1}', **further: Any) -> Item:
    return {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": id,
        "name": name,
        "arguments": arguments,
        **further,
    }


#: What goes back of those.
THOUGHT = {
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "sealed",
}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": 1}'}


def said_message(text: str) -> Item:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def keep(*output: Item, status: str = "completed", prefix: bytes = b"prefix", **plan: Any) -> KeptTurn | None:
    """What is kept of a response."""
    found: list[KeptTurn | None] = []

    def kept(slots: Slots) -> list[Item]:
        made = kept_items(slots)
        found.append(None if made is None else kept_turn(made, SCOPE, prefix))
        return []

    translator = ChatAnswer(AnswerPlan(keep=kept, functions=frozenset(("look", "add")), **plan))
    response = {"object": "response", "id": "resp_1", "status": status, "output": list(output)}
    translator.feed(json.dumps(response).encode())
    translator.end()
    (turn,) = found
    return turn


def items(*output: Item, **further: Any) -> list[Item] | None:
    turn = keep(*output, **further)
    return None if turn is None else turn.items


def assistant(content: Any = None, *calls: tuple[str, str, str], **further: Any) -> Item:
    made = [{"id": id, "type": "function", "function": {"name": n, "arguments": a}} for id, n, a in calls]
    return {"role": "assistant", "content": content, **({"tool_calls": made} if made else {}), **further}


LOOK = ("call_1", "look", '{"at": 1}')


def user(text: Any) -> Item:
    return {"role": "user", "content": text}


def system(text: str) -> Item:
    return {"role": "system", "content": text}


def result(id: str, text: str = "found") -> Item:
    return {"role": "tool", "tool_call_id": id, "content": text}


def turns(*messages: Item) -> Sequence[SaidTurn]:
    conversation = converse(list(messages))
    assert conversation is not None
    return conversation.turns


def back(messages: Sequence[Item], kept: Mapping[int, KeptTurn | None], scope: Scope = SCOPE) -> list[Item]:
    """The input that upstream gets for a history, with turns that are found for some of its messages."""
    conversation = converse(list(messages))
    assert conversation is not None
    recalled = recall(conversation, {index: turn for index, turn in kept.items() if turn is not None}, scope)
    request = ApiRequest(
        port=PortKind.BRIDGE,
        method="POST",
        path="/chat/completions",
        headers=(),
        body=Body.of({"model": "gpt-5.1", "messages": list(messages), "tools": TOOLS}),
    )
    capabilities = Catalogue.builtin().capabilities("gpt-5.1")
    body = json.loads(translate(request, capabilities, kept=recalled.turns).body)
    found: list[Item] = body["input"]
    return found


class KeptTests(SynchronousTestCase):
    """What is kept of an answer."""

    def test_reasoning_and_calls_are_kept_without_ids_status_and_nulls(self) -> None:
        self.assertEqual(items(thought(), call()), [THOUGHT, CALL])

    def test_a_message_keeps_its_phase_and_loses_its_log_probabilities(self) -> None:
        self.assertEqual(items(message("Hi", phase="commentary")), [{**said_message("Hi"), "phase": "commentary"}])

    def test_what_a_chat_message_says_as_well_is_not_kept(self) -> None:
        self.assertIsNone(items(message("Hi")))

    def test_a_call_is_kept_for_the_bytes_of_its_arguments(self) -> None:
        self.assertEqual(items(message("Hi"), call()), [said_message("Hi"), CALL])

    def test_two_messages_are_kept_as_their_places_would_be_lost(self) -> None:
        self.assertEqual(items(message("One"), message("Two")), [said_message("One"), said_message("Two")])

    def test_the_namespace_of_a_call_is_kept(self) -> None:
        self.assertEqual(items(call(namespace="crm")), [{**CALL, "namespace": "crm"}])

    def test_a_search_keeps_its_status_which_the_schema_demands(self) -> None:
        search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
        kept = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
        self.assertEqual(items(thought(), search, message("Hi")), [THOUGHT, kept, said_message("Hi")])

    def test_reasoning_that_cannot_be_read_again_is_left_out(self) -> None:
        self.assertIsNone(items(thought(encrypted_content=None), message("Hi")))

    def test_an_open_model_s_own_words_are_kept_with_all_that_came_with_them(self) -> None:
        # vLLM takes items only with all that the schema demands, and looks nothing up
        text = [{"type": "reasoning_text", "text": "Hm."}]
        open_model = {"id": "rs_1", "type": "reasoning", "summary": [], "content": text}
        self.assertEqual(items(open_model, call()), [open_model, call()])

    def test_reasoning_gets_the_summary_that_upstream_demands(self) -> None:
        bare = {"id": "rs_1", "type": "reasoning", "encrypted_content": "sealed"}
        self.assertEqual(
            items(bare, call()), [{"type": "reasoning", "encrypted_content": "sealed", "summary": []}, CALL]
        )

    def test_reasoning_of_which_nothing_came_is_left_out(self) -> None:
        self.assertEqual(items(thought(), message("Hi"), thought("later")), [THOUGHT, said_message("Hi")])
        self.assertIsNone(items(thought()))

    def test_reasoning_after_the_last_call_is_left_out(self) -> None:
        self.assertEqual(items(thought(), call(), thought("later"), message("Hi")), [THOUGHT, CALL, said_message("Hi")])

    def test_a_turn_whose_call_was_cut_is_not_kept(self) -> None:
        self.assertIsNone(items(thought(), call(arguments='{"at', status="incomplete"), status="incomplete"))

    def test_a_turn_whose_text_was_cut_is_kept_as_far_as_it_goes(self) -> None:
        cut = message("Once upon", status="incomplete")
        self.assertEqual(items(thought(), cut, status="incomplete"), [THOUGHT, said_message("Once upon")])

    def test_a_call_of_nothing_has_empty_arguments(self) -> None:
        self.assertEqual(items(thought(), call(arguments="")), [THOUGHT, {**CALL, "arguments": "{}"}])

    def test_an_approval_that_nobody_can_give_is_left_out(self) -> None:
        asks = {"id": "mcpr_1", "type": "mcp_approval_request", "name": "t", "server_label": "s", "arguments": "{}"}
        self.assertEqual(items(thought(), message("Hi"), asks), [THOUGHT, said_message("Hi")])

    def test_items_nobody_knows_are_left_out(self) -> None:
        self.assertEqual(items(thought(), {"type": "hologram"}, message("Hi")), [THOUGHT, said_message("Hi")])

    def test_calls_inside_a_wrapper_are_the_client_s_to_say(self) -> None:
        uses = [{"recipient_name": "functions.look", "parameters": {"at": n}} for n in (1, 2)]
        wrapper = call("call_w", "parallel", json.dumps({"tool_uses": uses}))
        stand_in = {"type": "oaiproxy.calls", "ids": ["call_w_0", "call_w_1"]}
        self.assertEqual(items(thought(), wrapper), [THOUGHT, stand_in])

    def test_a_call_of_a_tool_on_the_client_s_machine_is_the_client_s_to_say(self) -> None:
        shell = {"id": "lsh_1", "type": "local_shell_call", "call_id": "call_1", "action": {"type": "exec"}}
        found = items(thought(), shell, hosted_tools=frozenset({"local_shell"}))
        self.assertEqual(found, [THOUGHT, {"type": "oaiproxy.calls", "ids": ["call_1"]}])

    def test_a_turn_with_a_call_that_the_client_was_not_shown_is_not_kept(self) -> None:
        shell = {"id": "lsh_1", "type": "local_shell_call", "call_id": "call_1", "action": {"type": "exec"}}
        self.assertIsNone(items(thought(), shell))

    def test_a_turn_that_a_stop_sequence_cut_is_not_kept(self) -> None:
        asked: list[Slots] = []

        def kept(slots: Slots) -> list[Item]:
            asked.append(slots)
            return []

        translator = ChatAnswer(AnswerPlan(keep=kept, stop=("up",)))
        output = [thought(), message("Once upon")]
        translator.feed(json.dumps({"object": "response", "status": "completed", "output": output}).encode())
        translator.end()
        self.assertEqual(asked, [])

    def test_what_is_kept_is_the_same_after_its_way_through_bytes(self) -> None:
        turn = keep(thought(), message("Größe", phase="commentary"), call())
        data = None if turn is None else turn.encoded()
        self.assertEqual(None if data is None else KeptTurn.decoded(data), turn)

    def test_bytes_of_another_form_are_none(self) -> None:
        turn = keep(thought(), call())
        assert turn is not None
        for other in (b"", b"\xc1", b"\x93\x01", replace(turn, form=99).encoded(), b"{}"):
            self.assertIsNone(KeptTurn.decoded(other or b""))

    def test_a_turn_with_numbers_beyond_all_bounds_has_no_bytes(self) -> None:
        turn = keep(thought(), call(odd=10**30))
        assert turn is not None
        self.assertIsNone(turn.encoded())

    def test_items_that_are_no_items_are_left_out(self) -> None:
        self.assertEqual(items({}, {"type": None}, {"type": [1]}, thought(), call()), [THOUGHT, CALL])

    def test_snapshots_are_of_one_family_and_sizes_are_not(self) -> None:
        self.assertEqual(family("gpt-5.1-2025-11-13"), "gpt-5.1")
        self.assertEqual(family("gpt-5.1-mini"), "gpt-5.1-mini")


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


class KeyTests(SynchronousTestCase):
    """By what a kept turn is found."""

    def test_a_turn_with_calls_is_found_by_the_first_of_them_and_what_was_said_since_the_user_spoke(self) -> None:
        before = converse([system("It is noon."), user("Hi")])
        turn = keep(thought(), call(), call("call_2"))
        assert turn is not None and before is not None
        calls = (LOOK, ("call_2", "look", "{}"))
        (said,) = turns(system("It is one."), user("Hi"), assistant("", *calls))
        self.assertEqual(turn_key(b"tenant", said), turn.key(b"tenant", before.before.since))
        (elsewhere,) = turns(system("It is noon."), user("Ho"), assistant("", *calls))
        self.assertNotEqual(turn_key(b"tenant", elsewhere), turn.key(b"tenant", before.before.since))

    def test_a_turn_of_text_is_found_by_it_and_what_was_said_before(self) -> None:
        before = converse([user("Hi")])
        assert before is not None
        turn = keep(thought(), message("Hello you"), prefix=before.before.prefix)
        assert turn is not None
        (said,) = turns(user("Hi"), assistant(" Hello you"))
        (elsewhere,) = turns(user("Ho"), assistant("Hello you"))
        self.assertEqual(turn_key(b"tenant", said), turn.key(b"tenant", b""))
        self.assertNotEqual(turn_key(b"tenant", elsewhere), turn.key(b"tenant", b""))

    def test_nobody_finds_another_tenant_s_turn(self) -> None:
        (said,) = turns(assistant(None, LOOK))
        self.assertNotEqual(turn_key(b"one", said), turn_key(b"other", said))

    def test_a_key_tells_nothing_of_what_it_stands_for(self) -> None:
        (said,) = turns(assistant(None, LOOK))
        key = turn_key(b"tenant", said)
        assert key is not None
        self.assertRegex(key, rb"\Aturn:[0-9a-f]{32}\Z")

    def test_a_turn_that_says_nothing_has_no_key(self) -> None:
        (said,) = turns(assistant(""))
        self.assertIsNone(turn_key(b"tenant", said))


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
