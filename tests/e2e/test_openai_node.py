"""The openai SDK for Node asks through the service.  What it does is in ``node/scenarios.mjs``; what it got is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e import nodes


class NodeTestCase(nodes.NodeTestCase):
    skip = nodes.missing("openai")
    script = "scenarios.mjs"


if TYPE_CHECKING:
    NodeTests = NodeTestCase
else:
    NodeTests = object


class _ScenarioTests(NodeTests):
    """What holds on either port."""

    def test_a_question_is_answered(self) -> None:
        choice = self.value("create")
        self.assertIn("You said: “Hi there”", choice["message"]["content"])
        self.assertEqual(choice["finish_reason"], "stop")

    def test_a_stream_says_the_same(self) -> None:
        told = self.value("stream")
        self.assertEqual(told["content"], self.value("create")["message"]["content"])
        self.assertEqual((told["finishes"], told["ids"]), (["stop"], 1))
        self.assertGreater(told["usage"]["total_tokens"], 10)

    def test_the_stream_helper(self) -> None:
        told = self.value("stream_helper")
        self.assertEqual("".join(told["pieces"]), "demo1 demo2 demo3 demo4")
        self.assertEqual((told["content"], told["finish"]), ("demo1 demo2 demo3 demo4", "stop"))

    def test_parallel_calls_of_a_stream(self) -> None:
        told = self.value("parallel_calls")
        self.assertEqual(told["calls"], [["weather", ["city"]], ["time", ["zone"]]])
        self.assertEqual((told["finish"], told["ids"]), ("tool_calls", 2))

    def test_the_tool_runner(self) -> None:
        told = self.value("tool_loop")
        self.assertTrue(told["content"].endswith("The tool answered: “weather of city is fine”"), told["content"])
        self.assertEqual(told["roles"], ["user", "assistant", "tool", "assistant"])

    def test_the_tool_runner_with_a_stream(self) -> None:
        told = self.value("streamed_tool_loop")
        self.assertTrue(told["content"].endswith("“weather of city is fine” “time of zone is fine”"), told["content"])
        self.assertEqual(told["roles"], ["user", "assistant", "tool", "tool", "assistant"])

    def test_an_answer_by_a_schema(self) -> None:
        self.assertEqual(self.value("parse"), ["name", "land"])

    def test_a_rate_limit_has_its_class_and_headers(self) -> None:
        for scenario in ("rate_limit", "rate_limit_of_a_stream"):
            error = self.error(scenario)
            self.assertEqual((error["name"], error["status"], error["retry"]), ("RateLimitError", 429, "1"))
            self.assertEqual(error["code"], "rate_limit_exceeded")
            self.assertRegex(error["request"], "^req_demo")

    def test_a_failure_is_an_error(self) -> None:
        error = self.error("failure")
        self.assertEqual((error["name"], error["status"]), ("InternalServerError", 500))

    def test_a_failure_in_a_stream_is_thrown_there(self) -> None:
        told = self.value("failure_in_a_stream")
        self.assertTrue(told["error"]["api"], told)
        self.assertIn("was asked to fail", told["error"]["message"])
        self.assertEqual(told["finishes"], [])

    def test_a_cut_answer_is_an_error(self) -> None:
        self.assertTrue(self.error("cut")["message"])

    def test_a_cut_stream_is_an_error_and_never_an_end(self) -> None:
        told = self.value("cut_stream")
        self.assertIsNotNone(told["error"])
        self.assertIn("demo1 demo2", told["content"])
        self.assertEqual(told["finishes"], [])

    def test_a_cut_in_the_stream_helper_is_an_error(self) -> None:
        self.assertTrue(self.error("cut_in_the_helper")["message"])

    def test_leaving_a_stream_early_does_no_harm(self) -> None:
        self.assertEqual(self.value("leaving_early"), "demo1 demo2 demo3")

    def test_the_models(self) -> None:
        self.assertIn("gpt-5.1", self.value("models"))

    def test_responses(self) -> None:
        told = self.value("response")
        self.assertEqual(told["items"], ["reasoning", "message"])
        self.assertIn("You said: “Hi”", told["text"])
        self.assertEqual(self.value("streamed_response"), {"last": "response.completed", "text": "demo1 demo2 demo3"})

    def test_embeddings(self) -> None:
        self.assertEqual(self.value("embeddings"), 6)

    def test_a_file_goes_up_and_comes_down(self) -> None:
        self.assertEqual(self.value("file"), {"bytes": 300_000, "same": True})


class NodePassthroughTests(_ScenarioTests, NodeTestCase):
    port = "passthrough"


class NodeBridgeTests(_ScenarioTests, NodeTestCase):
    port = "bridge"

    def test_reasoning_comes_as_reasoning_content(self) -> None:
        summary = self.value("create")["message"]["reasoning_content"]
        self.assertTrue(summary.startswith("**Reading the request**"))
        self.assertEqual(self.value("stream")["reasoning"], summary)

    def test_a_cut_is_told_by_the_proxy(self) -> None:
        self.assertEqual(self.error("cut")["status"], 502)
        self.assertTrue(self.value("cut_stream")["error"]["api"])
