"""aimock as the upstream: somebody else's idea of the OpenAI API, with answers by script and faults on demand."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import openai

from tests.e2e.nodes import HERE, NODE, missing
from tests.e2e.support import BROKEN, KEY, ServiceTestCase
from tests.process import Process, Service

#: What it says, the first match first.
SCRIPT: list[dict[str, Any]] = [
    {"match": {"toolCallId": "call_oslo"}, "response": {"content": "It is sunny in Oslo."}},
    {
        "match": {"userMessage": "weigh the weather"},
        "response": {
            "reasoning": "The user wants the weather.",
            "toolCalls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}],
        },
    },
    {
        "match": {"userMessage": "weather"},
        "response": {
            "toolCalls": [
                {"id": "call_oslo", "name": "get_weather", "arguments": {"city": "Oslo"}},
                {"id": "call_rome", "name": "get_weather", "arguments": {"city": "Rome"}},
            ],
        },
    },
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello! How can I help you today?"}},
    {
        "match": {"userMessage": "think"},
        "response": {"reasoning": "I weigh both sides, then I answer.", "content": "The answer is 42."},
    },
    {
        "match": {"userMessage": "too fast"},
        "response": {
            "error": {"message": "Slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"},
            "status": 429,
        },
    },
    {
        "match": {"userMessage": "break off"},
        "response": {"content": "This answer breaks off long before it has come to its end."},
        # the pieces that came before the break have to leave its process first
        "chunkSize": 5,
        "latency": 5,
        "truncateAfterChunks": 6,
    },
    {
        "match": {"userMessage": "first a tool"},
        "response": {
            "blocks": [
                {"type": "toolCall", "id": "call_1", "name": "get_weather", "arguments": {"city": "Oslo"}},
                {"type": "text", "text": "I have asked."},
            ]
        },
    },
    {"match": {"inputText": "sun"}, "response": {"embedding": [0.25, -0.5, 1.0]}},
]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class AimockTestCase(ServiceTestCase):
    """Tests with aimock behind the service; it takes no key but `KEY`.

    @cvar faults: how often it fails in which way, as its options.
    @cvar more: further options of the service.
    @cvar mock: its process.
    """

    skip = missing("@copilotkit/aimock")
    faults: ClassVar[tuple[str, ...]] = ()
    more: ClassVar[tuple[str, ...]] = ()
    mock: ClassVar[Process]

    @classmethod
    def start(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.at_end(folder.cleanup)
        script = Path(folder.name, "script.json")
        script.write_text(json.dumps({"fixtures": SCRIPT}), encoding="utf-8")
        assert NODE is not None
        command = [NODE, str(HERE / "node_modules/.bin/llmock"), "--port=0", f"--fixtures={script}", "--strict"]
        cls.mock = cls.started(Process([*command, *cls.faults], "listening on", AIMOCK_API_KEYS=KEY))
        url = cls.mock.found(r"listening on (http://[\d.:]+)")
        cls.service = cls.started(Service("--upstream", url, "--max-retries", "0", *cls.more))

    def create(self, text: str, port: str | None = None, **request: Any) -> Any:
        """Ask for a completion, or for all chunks of one."""
        made = self.client(port).chat.completions.create(
            model="gpt-5.1", messages=[{"role": "user", "content": text}], **request
        )
        return list(made) if request.get("stream") else made


if TYPE_CHECKING:
    AimockTests = AimockTestCase
else:
    AimockTests = object


class _AimockTests(AimockTests):
    """What holds on either port."""

    def test_a_text(self) -> None:
        answer = self.ask("hello", model="gpt-5.1")
        self.assertEqual((answer.content, answer.finish), ("Hello! How can I help you today?", "stop"))

    def test_parallel_calls_and_their_results(self) -> None:
        messages: list[Any] = [{"role": "user", "content": "What is the weather?"}]
        request: dict[str, Any] = {"model": "gpt-5.1", "tools": [WEATHER]}
        answer = self.ask(messages=messages, **request)
        self.assertEqual([name for name, _ in answer.calls], ["get_weather", "get_weather"])
        self.assertEqual([json.loads(text) for _, text in answer.calls], [{"city": "Oslo"}, {"city": "Rome"}])
        self.assertEqual((answer.call_ids, answer.finish), (["call_oslo", "call_rome"], "tool_calls"))
        message = self.client().chat.completions.create(messages=messages, **request).choices[0].message
        messages += [
            message,
            {"role": "tool", "tool_call_id": "call_rome", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_oslo", "content": "sun"},
        ]
        self.assertEqual(self.ask(messages=messages, **request).content, "It is sunny in Oslo.")

    def test_an_error_of_its_own(self) -> None:
        for stream in (False, True):
            with self.assertRaises(openai.RateLimitError) as caught:
                self.create("too fast", stream=stream)
            self.assertEqual(caught.exception.code, "rate_limit_exceeded")
            self.assertEqual(caught.exception.response.headers["retry-after"], "1")
            self.assertIn("Slow down", caught.exception.message)

    def test_a_stream_that_breaks_off(self) -> None:
        text, finishes = "", []
        with self.assertRaises((openai.APIError, *BROKEN)):
            for chunk in self.client().chat.completions.create(
                model="gpt-5.1", messages=[{"role": "user", "content": "break off"}], stream=True
            ):
                text += chunk.choices[0].delta.content or ""
                finishes += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
        self.assertTrue("This answer breaks off long".startswith(text[:20]), text)
        self.assertEqual(finishes, [])

    def test_a_wrong_key(self) -> None:
        with self.assertRaises(openai.AuthenticationError):
            self.client(api_key="sk-wrong").chat.completions.create(
                model="gpt-5.1", messages=[{"role": "user", "content": "hello"}]
            )

    def test_an_unknown_question(self) -> None:
        with self.assertRaises(openai.APIStatusError) as caught:
            self.create("something else")
        self.assertGreaterEqual(caught.exception.status_code, 400)

    def test_its_responses(self) -> None:
        responses = self.client().responses
        whole = responses.create(model="gpt-5.1", input="think", reasoning={"summary": "auto"})
        self.assertEqual([item.type for item in whole.output], ["reasoning", "message"])
        with responses.stream(model="gpt-5.1", input="think") as stream:
            self.assertEqual(stream.get_final_response().output_text, whole.output_text)

    def test_embeddings(self) -> None:
        answer = self.client().embeddings.create(model="m", input="sun")
        self.assertEqual(answer.data[0].embedding, [0.25, -0.5, 1.0])


class AimockPassthroughTests(_AimockTests, AimockTestCase):
    port = "passthrough"


class AimockBridgeTests(_AimockTests, AimockTestCase):
    port = "bridge"

    def test_reasoning_comes_before_the_answer(self) -> None:
        answer = self.ask("think", model="gpt-5.1")
        self.assertEqual(
            (answer.reasoning, answer.content), ("I weigh both sides, then I answer.", "The answer is 42.")
        )

    def test_reasoning_comes_with_calls(self) -> None:
        answer = self.ask("weigh the weather", model="gpt-5.1", tools=[WEATHER])
        self.assertEqual(answer.reasoning, "The user wants the weather.")
        self.assertEqual(answer.calls, [("get_weather", '{"city":"Oslo"}')])

    def test_text_after_a_call_is_kept(self) -> None:
        answer = self.ask("first a tool", model="gpt-5.1", tools=[WEATHER])
        self.assertEqual((len(answer.calls), answer.content, answer.finish), (1, "I have asked.", "tool_calls"))

    def test_it_was_asked_for_a_response(self) -> None:
        self.create("hello")
        with openai.DefaultHttpxClient(trust_env=False) as client:
            address = self.mock.found(r"listening on (http://[\d.:]+)")
            journal = client.get(f"{address}/__aimock/journal", headers={"Authorization": f"Bearer {KEY}"}).json()
        self.assertEqual((journal[-1]["method"], journal[-1]["path"]), ("POST", "/v1/responses"))


class _ChaosTests(AimockTests):
    """All requests fail in the same way."""

    def test_it_is_an_error_on_both_ports_streaming_and_not(self) -> None:
        for port in ("passthrough", "bridge"):
            for stream in (False, True):
                with self.assertRaises((openai.APIError, *BROKEN)) as caught:
                    self.create("hello", port, stream=stream)
                self.check(caught.exception)

    def check(self, error: Any) -> None:
        """See that it is the right one."""


class DisconnectTests(_ChaosTests, AimockTestCase):
    faults = ("--chaos-disconnect=1",)

    def check(self, error: Any) -> None:
        self.assertIsInstance(error, openai.InternalServerError)
        self.assertEqual(error.status_code, 502)


class DropTests(_ChaosTests, AimockTestCase):
    faults = ("--chaos-drop=1",)

    def check(self, error: Any) -> None:
        self.assertEqual(error.status_code, 500)


class RateLimitTests(_ChaosTests, AimockTestCase):
    faults = ("--chaos-ratelimit=1",)

    def check(self, error: Any) -> None:
        self.assertIsInstance(error, openai.RateLimitError)
        self.assertTrue(error.response.headers["retry-after"])


class MalformedTests(AimockTestCase):
    faults = ("--chaos-malformed=1",)

    def test_the_bridge_says_what_is_wrong(self) -> None:
        for stream in (False, True):
            with self.assertRaises(openai.InternalServerError) as caught:
                self.create("hello", stream=stream)
            self.assertEqual((caught.exception.status_code, caught.exception.code), (502, "upstream_invalid_response"))
