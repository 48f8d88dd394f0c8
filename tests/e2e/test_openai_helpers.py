"""The helpers of the openai SDK for Python: ``parse()``, the events of ``stream()``, and its tool runner."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any, ClassVar

import openai
from pydantic import BaseModel

from tests.e2e.support import BROKEN, KEY, ServiceTestCase, ServiceTests
from tests.process import PATIENCE

try:
    from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
except ImportError:
    NO_RUNNER: str | None = "this openai SDK has no tool runner"
else:
    NO_RUNNER = None


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str
    days: int


class GetTime(BaseModel):
    """The time in a zone."""

    zone: str


class Street(BaseModel):
    name: str
    numbers: list[int]


class Town(BaseModel):
    """A town, with a class of its own inside: the SDK makes a schema with ``$defs`` of it."""

    name: str
    main_street: Street
    twin: Town | None = None


BOTH = [openai.pydantic_function_tool(GetWeather), openai.pydantic_function_tool(GetTime)]


def question(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


class _HelperTests(ServiceTests):
    """What holds on either port, for a model that does not reason."""

    model = "gpt-4.1"
    #: What a request says so that the model does not reason.
    plainly: ClassVar[dict[str, Any]] = {}

    def streamed(self, text: str, **request: Any) -> tuple[list[str], Any]:
        """The kinds of the helper's events (a run of the same kind is one), and the message at the end."""
        with self.client().chat.completions.stream(model=self.model, messages=question(text), **request) as stream:
            kinds = [event.type for event in stream if event.type != "chunk"]
            (choice,) = stream.get_final_completion().choices
        return [kind for kind, _ in groupby(kinds)], choice.message

    def parsed(self, text: str, **request: Any) -> Any:
        """The message of a parsed completion."""
        return (
            self.client()
            .chat.completions.parse(model=self.model, messages=question(text), **request)
            .choices[0]
            .message
        )

    def test_a_nested_class_is_parsed(self) -> None:
        message = self.parsed("Where?", response_format=Town)
        self.assertIsInstance(message.parsed, Town)
        self.assertEqual(message.parsed, Town.model_validate_json(message.content))

    def test_a_parsed_stream_tells_each_step_and_its_end(self) -> None:
        with self.client().chat.completions.stream(
            model=self.model, messages=question("Where?"), response_format=Town
        ) as stream:
            events = list(stream)
        steps = [event.parsed for event in events if event.type == "content.delta" and event.parsed]
        (done,) = [event for event in events if event.type == "content.done"]
        self.assertGreater(len(steps), 3)
        self.assertEqual(Town.model_validate(steps[-1]), done.parsed)

    def test_the_arguments_of_calls_are_parsed(self) -> None:
        message = self.parsed("Call both in parallel", tools=BOTH)
        parsed = [call.function.parsed_arguments for call in message.tool_calls]
        self.assertEqual([type(arguments) for arguments in parsed], [GetWeather, GetTime])
        self.assertEqual((message.content, message.parsed), (None, None))

    def test_a_stream_tells_the_end_of_each_call(self) -> None:
        kinds, message = self.streamed("Call both in parallel", tools=BOTH)
        delta, done = (f"tool_calls.function.arguments.{kind}" for kind in ("delta", "done"))
        self.assertEqual([kind for kind in kinds if kind.startswith("tool_calls")], [delta, done] * 2)
        parsed = [call.function.parsed_arguments for call in message.tool_calls]
        self.assertEqual([type(arguments) for arguments in parsed], [GetWeather, GetTime])
        self.assertFalse(message.content)

    def test_text_may_come_before_a_call(self) -> None:
        kinds, message = self.streamed("Call GetTime demo:preamble", tools=BOTH)
        self.assertEqual((kinds[0], kinds[-1]), ("content.delta", "tool_calls.function.arguments.done"))
        self.assertEqual(kinds.count("content.done"), 1)
        self.assertEqual(message.content, "This is oaiproxy's demo upstream. It calls GetTime now.")

    def test_a_refusal_is_none_of_the_class(self) -> None:
        for request in ({}, {"response_format": Town}):
            refusal = "This is oaiproxy's demo upstream. It refuses, as it was asked to."
            message = self.parsed("Please refuse", **request)
            self.assertEqual((message.refusal, message.parsed, message.content), (refusal, None, None))
            kinds, message = self.streamed("Please refuse", **request)
            self.assertEqual(kinds[-2:], ["refusal.delta", "refusal.done"])
            self.assertEqual((message.refusal, message.parsed), (refusal, None))
            self.assertFalse(message.content)

    def test_log_probabilities_have_their_events(self) -> None:
        kinds, message = self.streamed("demo:tokens=2", logprobs=True, top_logprobs=1, **self.plainly)
        delta = ["content.delta", "logprobs.content.delta"]
        self.assertEqual(kinds[-6:], [*delta, *delta, "content.done", "logprobs.content.done"])
        self.assertEqual(message.content, "demo1 demo2")

    def test_what_the_limit_cuts_is_not_parsed(self) -> None:
        wide = openai.pydantic_function_tool(Town)
        limits: list[dict[str, Any]] = [{"response_format": Town}, {"tools": [wide], "tool_choice": "required"}]
        for request in limits:
            with self.assertRaises(openai.LengthFinishReasonError):
                self.parsed("Where?", max_completion_tokens=16, **request)
            with self.assertRaises(openai.LengthFinishReasonError):
                self.streamed("Where?", max_completion_tokens=16, **request)

    def test_a_broken_answer_is_not_parsed(self) -> None:
        def ask(text: str) -> None:
            with self.assertRaises((openai.APIError, *BROKEN)):
                self.parsed(text, response_format=Town)
            with self.assertRaises((openai.APIError, *BROKEN)):
                self.streamed(text, response_format=Town)

        self.at_once(ask, ("demo:cut Where?", "demo:fail-midstream Where?", "demo:error=503"))

    def test_the_asynchronous_helpers_do_the_same(self) -> None:
        async def ask() -> tuple[list[Any], Any, Any]:
            http = openai.DefaultAsyncHttpxClient(trust_env=False)
            async with openai.AsyncOpenAI(
                base_url=self.base(), api_key=KEY, max_retries=0, timeout=PATIENCE, http_client=http
            ) as client:
                chat = client.chat.completions
                request: dict[str, Any] = {"model": self.model, "messages": question("Where?")}
                parsed = await chat.parse(**request, response_format=Town)
                async with chat.stream(**request, response_format=Town) as stream:
                    done = [event.parsed async for event in stream if event.type == "content.done"]
                    final = await stream.get_final_completion()
                return done, parsed.choices[0].message.parsed, final.choices[0].message.parsed

        done, parsed, final = asyncio.run(ask())
        self.assertIsInstance(parsed, Town)
        self.assertEqual((done, final), ([parsed], parsed))

    def test_a_response_is_parsed_too(self) -> None:
        responses = self.client().responses
        response = responses.parse(model=self.model, input="Where?", text_format=Town)
        self.assertIsInstance(response.output_parsed, Town)
        with responses.stream(model=self.model, input="Where?", text_format=Town) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_response().output_parsed, response.output_parsed)


class PassthroughHelperTests(_HelperTests, ServiceTestCase):
    port = "passthrough"


class BridgeHelperTests(_HelperTests, ServiceTestCase):
    port = "bridge"


class ReasoningHelperTests(_HelperTests, ServiceTestCase):
    """The same with a model that reasons first, which the helpers know nothing of."""

    model = "gpt-5.1:res-low"
    plainly = {"reasoning_effort": "none"}

    def test_the_summary_is_in_the_message_that_the_helper_makes(self) -> None:
        kinds, message = self.streamed("demo:tokens=3")
        self.assertEqual(kinds, ["content.delta", "content.done"])
        self.assertTrue(message.model_extra["reasoning_content"].startswith("**Reading the request**"))
        whole = self.parsed("demo:tokens=3")
        self.assertEqual(message.model_extra["reasoning_content"], whole.model_extra["reasoning_content"])

    def test_what_the_limit_cuts_is_not_parsed(self) -> None:
        for limit in (16, 22):
            with self.assertRaises(openai.LengthFinishReasonError):
                self.parsed("Where?", max_completion_tokens=limit, reasoning_effort="medium", response_format=Town)


class _RunnerTests(ServiceTests):
    """The SDK's tool runner, for the Responses API alone.  It asks for encrypted reasoning, so that only models
    that reason take what it sends ("Encrypted content is not supported with this model")."""

    skip = NO_RUNNER

    def test_its_functions_are_run_and_their_results_go_back(self) -> None:
        given: list[dict[str, object]] = []

        def look(arguments: dict[str, object]) -> str:
            given.append(arguments)
            return "all is fine"

        schema = {
            "type": "object",
            "properties": {"at": {"type": "string"}},
            "required": ["at"],
            "additionalProperties": False,
        }
        tool: Any = {"type": "function", "name": "look", "strict": True, "parameters": schema}
        for stream in (False, True):
            runner = ResponsesToolRunner(functions=[RegisteredFunction(tool, look)])
            response = runner.run(self.client(), {"model": "gpt-5.1", "input": "Call look"}, max_steps=3, stream=stream)
            self.assertTrue(response.output_text.endswith("The tool answered: “all is fine”"), response.output_text)
        self.assertEqual([list(arguments) for arguments in given], [["at"]] * 2)


class PassthroughRunnerTests(_RunnerTests, ServiceTestCase):
    port = "passthrough"


class BridgeRunnerTests(_RunnerTests, ServiceTestCase):
    port = "bridge"
