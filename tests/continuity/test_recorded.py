"""Recorded conversations through the bridge: a client that forgets reasoning sends what better clients sent."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.continuity import rules
from tests.continuity.bridge import Bridge
from tests.continuity.canonical import Item, canonical, kind_of
from tests.continuity.ledger import Ledger
from tests.continuity.recorded import RecordedUpstream, answered, as_said, asking, final_items, follow_ups
from tests.continuity.sealing import Contents

#: The last answer of each conversation, which nobody looks at.
ENOUGH = json.dumps(
    {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.6",
        "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Enough."}]}],
    }
).encode()

#: Cases in which the recorded client sent back reasoning; there have to be some.
WITH_REASONING = (
    "llm--test_openai_responses--test_responses_round_trips_encrypted_reasoning/02",
    "llm--test_openai_responses--test_responses_round_trips_encrypted_reasoning/03",
    "pydantic--test_openai_responses--test_openai_responses_model_thinking_part/02",
)


def sealed(items: list[Item]) -> list[Any]:
    """The encrypted contents among some items."""
    return [item["encrypted_content"] for item in items if item.get("encrypted_content")]


class FollowUpTests(SynchronousTestCase):
    def test_the_proxy_sends_on_what_the_recorded_client_sent_on(self) -> None:
        seen = []
        for case in follow_ups():
            for stream in (False, True):
                upstream = RecordedUpstream([*case.answers, ENOUGH])
                bridge, client = Bridge(upstream), case.client
                for said in case.between:
                    client = bridge.tell(client, stream=stream).adding(*said)
                bridge.tell(client, stream=stream)
                self.assertEqual(as_said(upstream.input), as_said(case.sent), case.name)
                self.assertEqual(sealed(upstream.input), sealed(list(case.sent)), case.name)
                self.assertEqual([item for item in upstream.input if "id" in item], [], case.name)
            if sealed(list(case.sent)):
                seen.append(case.name)
        self.assertLessEqual(set(WITH_REASONING), set(seen))

    def test_each_request_begins_with_the_bytes_of_the_one_before(self) -> None:
        for case in follow_ups():
            upstream = RecordedUpstream([*case.answers, ENOUGH])
            bridge, client = Bridge(upstream), case.client
            for said in case.between:
                client = bridge.tell(client).adding(*said)
            bridge.tell(client)
            for before, after in zip(upstream.bodies, upstream.bodies[1:], strict=False):
                self.assertEqual(json.dumps(after["input"][: len(before["input"])]), json.dumps(before["input"]))


class AnyAnswerTests(SynchronousTestCase):
    """Every recorded answer, as the first of two turns."""

    def asked_on(self, answer: bytes, case: Any, stream: bool) -> list[Item]:
        """What is sent after it."""
        upstream = RecordedUpstream([answer, ENOUGH])
        bridge = Bridge(upstream)
        client = bridge.tell(asking(case), stream=stream)
        bridge.tell(client.goes_on(), stream=stream)
        return upstream.input

    def test_reasoning_of_any_answer_comes_back_with_what_it_led_to(self) -> None:
        carried = 0
        for case in answered():
            for stream in (False, True):
                sent = self.asked_on(case.raw, case, stream)
                made = final_items(case.raw)
                # whoever made it, it can be opened
                able = list(Ledger(lambda blob: Contents("", "", "", "")).carriable(made))
                compacted = [item for item in made if kind_of(item) == "compaction"]
                self.assertEqual(sealed(sent), sealed(able + compacted), case.name)
                for item in able:
                    led_to = made[made.index(item) + 1]
                    where = next(i for i, one in enumerate(sent) if one.get("encrypted_content") == sealed([item])[0])
                    self.assertEqual(canonical(sent[where]), canonical(item), case.name)
                    self.assertEqual(kind_of(sent[where + 1]), kind_of(led_to), case.name)
                carried += len(able)
        self.assertGreater(carried, 10)

    def test_nothing_that_comes_back_breaks_a_rule(self) -> None:
        for case in answered():
            assert case.final is not None
            sent = self.asked_on(case.raw, case, stream=False)
            nothing = [None] * len(sent)
            rules.check_once(sent, nothing)
            rules.check_pairs(sent)
            rules.check_places(sent, nothing, Ledger(lambda blob: None))
            rules.check_reasoning_fields(sent, "gpt-oss" if _is_open(case.final) else case.final["model"])


def _is_open(final: dict[str, Any]) -> bool:
    """Whether the model's own thoughts are to be read in an answer."""
    return any(item.get("content") for item in final["output"] if item["type"] == "reasoning")
