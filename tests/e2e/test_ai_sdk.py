"""The AI SDK asks through the service, with its provider for OpenAI-compatible servers and with the chat model of its
provider for OpenAI.  What is done is in ``node/ai-sdk.mjs``.

What it does by itself: an answer that is a refusal has the finish reason ``content-filter``; sources are read by the
OpenAI provider alone, reasoning by the other alone.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from tests.e2e import nodes

#: What a stream's parts begin with, and end with, where all goes well.
HEAD, TAIL = ["start", "start-step"], ["finish-step", "finish"]
TEXT = ["text-start", "text-delta", "text-end"]
REASONING = ["reasoning-start", "reasoning-delta", "reasoning-end"]

CITY = ["weather", {"city": "demo city"}, "fine in demo city"]
NOON = ["time", {"zone": "demo zone"}, {"noon": "demo zone"}]
ANSWERED = "This is oaiproxy's demo upstream, not a real model. The tool answered: "


class AISDKTestCase(nodes.NodeTestCase):
    skip = nodes.missing("ai", "@ai-sdk/openai-compatible", "@ai-sdk/openai", "zod")
    script = "ai-sdk.mjs"


if TYPE_CHECKING:
    AISDKTests = AISDKTestCase
else:
    AISDKTests = object


class _AISDKTests(AISDKTests):
    """What holds on either port."""

    def assert_thrown(self, error: dict[str, Any], status: int, message: str) -> None:
        """See that an error is the SDK's own for an HTTP answer."""
        self.assertEqual((error["name"], error["status"]), ("AI_APICallError", status))
        self.assertIn(message, error["message"])

    def test_a_question_is_answered_the_same_with_a_stream(self) -> None:
        whole, streamed = self.value("text")
        self.assertTrue(
            whole["text"].startswith("This is oaiproxy's demo upstream, not a real model. You said: “Hi there”")
        )
        self.assertEqual(whole["finish"], "stop")
        self.assertEqual(streamed, whole)

    def test_the_usage_adds_up(self) -> None:
        prompt, completion, reasoning, total = self.value("text")[0]["usage"]
        self.assertEqual(total, prompt + completion)
        self.assertLess(reasoning, completion)

    def test_a_system_prompt_a_history_and_a_picture_arrive(self) -> None:
        self.assertIn(" 2 messages", self.value("system"))
        self.assertIn("You said: “Two”", self.value("history"))
        self.assertIn(" 3 messages", self.value("history"))
        self.assertIn("1 message, 1 image", self.value("picture"))

    def test_the_effort_arrives(self) -> None:
        self.assertIn("reasoning effort high", self.value("effort"))

    def test_a_loop_of_tools_closes(self) -> None:
        told = self.value("loop")
        self.assertEqual(told["text"], f"{ANSWERED}“fine in demo city”")
        self.assertEqual((told["steps"], told["finishes"]), ([[CITY], []], ["tool-calls", "stop"]))

    def test_a_streamed_loop_of_parallel_tools_closes(self) -> None:
        for scenario in ("streamed_loop", "openai_loop"):
            told = self.value(scenario)
            self.assertEqual(told["steps"], [[CITY, NOON], []])
            self.assertEqual(told["text"], f'{ANSWERED}“fine in demo city” “{{"noon":"demo zone"}}”')
            self.assertEqual((told["finish"], told["told"], told["thrown"]), ("stop", [], None))
            self.assertEqual(told["kinds"].count("tool-call"), 2)

    def test_an_agent_comes_to_its_end(self) -> None:
        self.assertEqual(self.value("agent"), f'{ANSWERED}“{{"noon":"demo zone"}}”')

    def test_a_tool_can_be_forced(self) -> None:
        self.assertEqual(self.value("forced"), ["time"])

    def test_the_error_of_a_tool_arrives(self) -> None:
        self.assertRegex(self.value("broken_tool"), "The tool answered: “.*it broke.*”")

    def test_objects_by_a_schema(self) -> None:
        for scenario in ("output", "object", "openai_output"):
            self.assertIs(self.value(scenario), True, scenario)
        self.assertEqual(self.value("output_choice"), "sunny")
        streamed = self.value("streamed_output")
        self.assertIs(streamed["valid"], True)
        self.assertGreater(streamed["pieces"], 3)

    def test_an_object_after_a_tool(self) -> None:
        self.assertEqual(self.value("output_after_tools"), {"steps": 2, "valid": True})

    def test_a_refusal_is_told(self) -> None:
        refusal = "This is oaiproxy's demo upstream. It refuses, as it was asked to."
        self.assertEqual(self.value("refusal"), [refusal, "content-filter"])

    def test_a_stop_sequence_ends_the_text(self) -> None:
        whole, streamed = self.value("stop")
        self.assertEqual((whole, streamed["text"]), ("demo1 demo2 demo3 dem",) * 2)
        self.assertEqual((streamed["finish"], streamed["thrown"]), ("stop", None))

    def test_a_limit_is_told(self) -> None:
        words, finish = self.value("limit")
        self.assertLess(words, 50)
        self.assertEqual(finish, "length")

    def test_a_rate_limit_has_its_status_and_headers(self) -> None:
        (told,) = self.value("rate_limit_of_a_stream")["told"]
        for error in (self.error("rate_limit"), told):
            self.assert_thrown(error, 429, "Please try again in 1s")
            self.assertEqual((error["retryable"], error["retry"]), (True, "1"))

    def test_a_refused_request_is_not_tried_again_and_an_overload_is(self) -> None:
        refused = self.error("refused_request")
        self.assert_thrown(refused, 400, "demo:error=400")
        self.assertIs(refused["retryable"], False)
        self.assertEqual(self.error("retried")["name"], "AI_RetryError")
        self.assertIn("after 2 attempts", self.error("retried")["message"])

    def test_a_failure_is_thrown(self) -> None:
        self.assert_thrown(self.error("failure"), 500, "was asked to fail")

    def test_a_failure_in_a_stream_is_told_there(self) -> None:
        told = self.value("failure_in_a_stream")
        self.assertIn("was asked to fail", told["told"][0]["message"])
        self.assertIn(told["finish"], ("error", None))

    def test_a_cut_answer_is_thrown(self) -> None:
        self.assertEqual(self.error("cut")["name"], "AI_APICallError")

    def test_a_cut_stream_is_thrown_and_never_an_end(self) -> None:
        for scenario in ("cut_stream", "openai_cut_stream"):
            told = self.value(scenario)
            self.assertTrue(told["text"].startswith("demo1 demo2"))
            self.assertEqual((told["thrown"]["name"], told["finish"]), ("AI_APICallError", None))

    def test_leaving_a_stream_early_does_no_harm(self) -> None:
        self.assertEqual(self.value("leaving_early"), "demo1 demo2")

    def test_several_streams_at_once_stay_apart(self) -> None:
        self.assertEqual(self.value("at_once"), [1, 2, 3, 4, 5, 6, 7, 8])

    def test_the_chat_model_of_the_provider_for_openai(self) -> None:
        whole, streamed = self.value("openai_text")
        self.assertEqual((whole["text"], whole["finish"]), ("demo1 demo2 demo3", "stop"))
        self.assertEqual(streamed, whole)

    def test_its_responses_model_is_passed_on(self) -> None:
        self.assertEqual(self.value("openai_responses"), f"{ANSWERED}“fine in demo city”")

    def test_embeddings_are_passed_on(self) -> None:
        self.assertEqual(self.value("embeddings"), [1536, 1536])


class PassthroughAISDKTests(_AISDKTests, AISDKTestCase):
    port = "passthrough"

    def test_the_parts_of_a_stream(self) -> None:
        self.assertEqual(self.value("parts")["kinds"], [*HEAD, *TEXT, *TAIL])


class BridgeAISDKTests(_AISDKTests, AISDKTestCase):
    port = "bridge"

    def test_reasoning_comes_before_the_text(self) -> None:
        self.assertEqual(self.value("parts")["kinds"], [*HEAD, *REASONING, *TEXT, *TAIL])
        self.assertTrue(self.value("text")[0]["reasoning"].startswith("**Reading the request**"))

    def test_reasoning_comes_before_the_calls_of_each_step(self) -> None:
        kinds = self.value("streamed_loop")["kinds"]
        first, second = [list(step) for is_start, step in groupby(kinds[1:], "start-step".__eq__) if not is_start]
        self.assertEqual(first[:4], [*REASONING, "tool-input-start"])
        self.assertEqual(second, [*REASONING, *TEXT, *TAIL])

    def test_an_object_that_the_limit_cut_is_none(self) -> None:
        self.assertEqual(self.error("object_cut_by_the_limit")["name"], "AI_NoObjectGeneratedError")

    def test_citations_are_sources(self) -> None:
        self.assertEqual(self.value("openai_sources"), [["https://example.com/oaiproxy-demo"]] * 2)

    def test_a_cut_is_told_by_the_proxy(self) -> None:
        self.assert_thrown(self.error("cut"), 502, "was cut off before its end")
        (told,) = self.value("cut_stream")["told"]
        self.assertIn("was cut off before its end", told["message"])


class ThinkTests(AISDKTestCase):
    """Reasoning inside the text, which a middleware of the SDK takes out again."""

    options = ("--upstream", "demo", "--reasoning-field", "think")
    scenarios = ("think_tags",)

    def test_reasoning_between_tags_is_taken_out_of_the_text(self) -> None:
        whole, streamed = self.value("think_tags")
        self.assertEqual(whole["text"].strip(), "demo1 demo2")
        self.assertTrue(whole["reasoning"].strip().startswith("**Reading the request**"))
        self.assertEqual(
            (streamed["text"].strip(), streamed["reasoning"].strip(), streamed["finish"]),
            (whole["text"].strip(), whole["reasoning"].strip(), "stop"),
        )
