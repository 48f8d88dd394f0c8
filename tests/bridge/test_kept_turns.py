"""What of an answer is kept, and by what it is found (bridge.md 6.3)."""

from __future__ import annotations

import json

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge import AnswerPlan
from oaiproxy.bridge.answer import ChatAnswer
from oaiproxy.bridge.continuity import (
    KeptTurn,
    converse,
    family,
    turn_key,
)
from oaiproxy.bridge.slots import Slots
from tests.bridge.keeping import (
    CALL,
    LOOK,
    THOUGHT,
    Item,
    assistant,
    call,
    items,
    keep,
    message,
    said_message,
    system,
    thought,
    turns,
    user,
)


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
