"""The helpers of the openai SDK for Node, with zod schemas.  What is done is in ``node/helpers.mjs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e import nodes

DELTA, DONE = (f"tool_calls.function.arguments.{kind}" for kind in ("delta", "done"))
BOTH = [["weather", ["city", "days"]], ["time", ["zone"]]]


class HelperTestCase(nodes.NodeTestCase):
    skip = nodes.missing("openai", "zod")
    script = "helpers.mjs"


if TYPE_CHECKING:
    HelperTests = HelperTestCase
else:
    HelperTests = object


class _HelperTests(HelperTests):
    """What holds on either port."""

    def test_an_answer_is_parsed_by_its_schema(self) -> None:
        self.assertEqual(self.value("parse"), {"keys": ["name", "main_street", "size"], "valid": True})

    def test_a_stream_is_parsed_by_its_schema(self) -> None:
        self.assertEqual(self.value("parsed_stream"), {"kinds": ["content.delta", "content.done"], "valid": True})

    def test_the_arguments_of_calls_are_parsed(self) -> None:
        self.assertEqual(self.value("parsed_calls"), BOTH)

    def test_a_stream_tells_the_end_of_each_call(self) -> None:
        told = self.value("call_events")
        self.assertEqual([kind for kind in told["kinds"] if kind in (DELTA, DONE)], [DELTA, DONE] * 2)
        self.assertEqual((told["calls"], told["finish"]), (BOTH, "tool_calls"))

    def test_a_refusal_is_none_of_the_schema(self) -> None:
        refusal = "This is oaiproxy's demo upstream. It refuses, as it was asked to."
        self.assertEqual(self.value("refusal"), {"refusal": refusal, "parsed": None})
        told = self.value("refusal_events")
        self.assertEqual(told["kinds"][-2:], ["refusal.delta", "refusal.done"])
        self.assertEqual((told["refusal"], told.get("parsed")), (refusal, None))

    def test_what_the_limit_cuts_is_not_parsed(self) -> None:
        wanted = {"name": "LengthFinishReasonError", "ours": True}
        self.assertEqual(self.value("cut_by_the_limit"), [wanted, wanted])

    def test_the_runner_calls_and_answers(self) -> None:
        told = self.value("runner")
        results = ['{"city":"demo city","days":1}', "noon in demo zone"]
        self.assertEqual((told["results"], told["answers"]), (results, 2))
        self.assertTrue(told["content"].endswith(f"“{results[0]}” “{results[1]}”"), told["content"])

    def test_the_runner_adds_up_the_usage(self) -> None:
        usage = self.value("runner")["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        self.assertGreater(usage["prompt_tokens"], 50)

    def test_the_streamed_runner_does_the_same(self) -> None:
        told = self.value("streamed_runner")
        self.assertEqual(told["content"], self.value("runner")["content"])
        self.assertEqual(told["streamed"], told["content"])
        self.assertEqual(told["roles"], ["user", "assistant", "tool", "tool", "assistant"])

    def test_the_last_answer_of_a_runner_is_parsed(self) -> None:
        self.assertIs(self.value("runner_of_a_class"), True)

    def test_a_broken_runner_throws(self) -> None:
        rate, *cuts = self.value("broken_runner")
        self.assertEqual(rate, {"name": "RateLimitError", "ours": True})
        self.assertEqual([("value" in cut, "name" in cut) for cut in cuts], [(False, True)] * 3)

    def test_a_stream_can_be_relayed(self) -> None:
        self.assertEqual(self.value("through_a_readable_stream"), "demo1 demo2 demo3 demo4")

    def test_a_response_is_parsed_too(self) -> None:
        self.assertIs(self.value("response_of_a_class"), True)

    def test_several_choices(self) -> None:
        wanted = [[index, "demo1 demo2 demo3", "stop"] for index in range(3)]
        self.assertEqual(self.value("several_choices"), wanted)
        told = self.value("several_streamed_choices")
        self.assertEqual(told["texts"], wanted)
        self.assertEqual(told["usage"], told["whole"])

    def test_a_stop_sequence_ends_the_text(self) -> None:
        wanted = [[0, "demo1 demo2 demo3 dem", "stop"]]
        self.assertEqual(self.value("stop"), [wanted, wanted])

    def test_several_streams_at_once_stay_apart(self) -> None:
        self.assertEqual(self.value("at_once"), [1, 2, 3, 4, 5, 6, 7, 8])


class NodePassthroughHelperTests(_HelperTests, HelperTestCase):
    port = "passthrough"


class NodeBridgeHelperTests(_HelperTests, HelperTestCase):
    port = "bridge"
