"""LangChain's ``ChatOpenAI`` asks through the service.

What it does by itself: ``reasoning_content`` is not read ("not extracted", says the documentation of ``ChatOpenAI``,
which leaves it to classes for other providers), so that the summary shows only where it is in the text; nor are the
``annotations`` of a chat message.  A stream has usage only where ``stream_usage`` asks for it.
"""

from __future__ import annotations

import asyncio
import json
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import openai
from pydantic import BaseModel
from twisted.trial import util

from tests.e2e.support import KEY, ServiceTestCase
from tests.process import PATIENCE

if find_spec("langchain_openai") is None:
    MISSING: str | None = "langchain-openai is not installed (tox -e clients has it)"
else:
    MISSING = None
    # nothing is to be told to anybody
    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"fine in {city}"

    @tool
    def clock(zone: str) -> str:
        """The time in a zone."""
        return f"noon in {zone}"


class Town(BaseModel):
    """A town."""

    name: str
    streets: list[str]


ANSWERED = "This is oaiproxy's demo upstream, not a real model. The tool answered: "


class LangChainTestCase(ServiceTestCase):
    skip = MISSING
    # what it does to the SDK's classes makes pydantic wonder
    suppress: ClassVar = [util.suppress(message="Pydantic serializer warnings")]

    def model(self, **settings: Any) -> Any:
        """A `ChatOpenAI` for the port, that tries everything only once."""
        settings = {"model": "gpt-5.1", "api_key": KEY, "max_retries": 0, "timeout": PATIENCE, **settings}
        http = openai.DefaultHttpxClient(trust_env=False)
        self.addCleanup(http.close)
        asynchronous = openai.DefaultAsyncHttpxClient(trust_env=False)
        return ChatOpenAI(base_url=self.base(), http_client=http, http_async_client=asynchronous, **settings)

    def streamed(self, model: Any, question: Any, **request: Any) -> Any:
        """The sum of the chunks of a stream."""
        chunks = list(model.stream(question, **request))
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        return total


if TYPE_CHECKING:
    LangChainTests = LangChainTestCase
else:
    LangChainTests = object


class _LangChainTests(LangChainTests):
    """What holds on either port."""

    def test_a_question_is_answered(self) -> None:
        message = self.model().invoke("Hi there")
        self.assertIsInstance(message, AIMessage)
        self.assertTrue(
            message.content.startswith("This is oaiproxy's demo upstream, not a real model. You said: “Hi there”")
        )
        metadata = message.response_metadata
        self.assertEqual((metadata["finish_reason"], metadata["model_name"]), ("stop", "gpt-5.1"))
        self.assertRegex(metadata["id"], "^chatcmpl-")

    def test_a_stream_says_the_same_with_the_same_usage(self) -> None:
        model = self.model(stream_usage=True)
        whole, streamed = model.invoke("Hi there"), self.streamed(model, "Hi there")
        self.assertEqual(streamed.content, whole.content)
        self.assertEqual(streamed.response_metadata["finish_reason"], "stop")
        self.assertEqual(streamed.usage_metadata, whole.usage_metadata)
        usage = whole.usage_metadata
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])

    def test_text_comes_piece_by_piece(self) -> None:
        pieces = [chunk.content for chunk in self.model().stream("demo:tokens=4") if chunk.content]
        self.assertEqual(pieces, ["demo1", " demo2", " demo3", " demo4"])

    def test_asynchronous_calls_stay_apart(self) -> None:
        async def ask() -> tuple[list[str], list[str]]:
            model = self.model()

            async def streamed(count: int) -> str:
                return "".join([chunk.content async for chunk in model.astream(f"demo:tokens={count} demo:slow=5")])

            whole = await asyncio.gather(*[model.ainvoke(f"demo:tokens={count}") for count in range(1, 7)])
            pieces = await asyncio.gather(*[streamed(count) for count in range(1, 7)])
            await model.http_async_client.aclose()
            return [message.content for message in whole], pieces

        wanted = [" ".join(f"demo{n}" for n in range(1, count + 1)) for count in range(1, 7)]
        self.assertEqual(asyncio.run(ask()), (wanted, wanted))

    def test_a_batch_is_answered_in_its_order(self) -> None:
        answers = self.model().batch([f"demo:tokens={count}" for count in range(1, 6)])
        self.assertEqual([len(answer.content.split()) for answer in answers], [1, 2, 3, 4, 5])

    def test_a_history_and_a_picture_arrive(self) -> None:
        model = self.model()
        first = model.invoke("One")
        answer = model.invoke([SystemMessage("Be short."), HumanMessage("One"), first, HumanMessage("Two")])
        self.assertIn("You said: “Two”", answer.content)
        self.assertIn("4 messages", answer.content)
        picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
        answer = model.invoke([HumanMessage([{"type": "text", "text": "What is this?"}, picture])])
        self.assertIn("1 message, 1 image", answer.content)

    def test_the_effort_arrives(self) -> None:
        self.assertIn("reasoning effort high", self.model(reasoning_effort="high").invoke("Hi").content)

    def test_a_loop_of_parallel_tools_closes(self) -> None:
        for streaming in (False, True):
            model = self.model(streaming=streaming).bind_tools([weather, clock])
            messages: list[Any] = [HumanMessage("Call both in parallel")]
            message = model.invoke(messages)
            calls = [(call["name"], call["args"]) for call in message.tool_calls]
            self.assertEqual(calls, [("weather", {"city": "demo city"}), ("clock", {"zone": "demo zone"})])
            self.assertEqual(message.response_metadata["finish_reason"], "tool_calls")
            messages.append(message)
            for run, call in zip((weather, clock), message.tool_calls, strict=True):
                messages.append(run.invoke(call))
                self.assertIsInstance(messages[-1], ToolMessage)
            answer = model.invoke(messages)
            self.assertEqual(answer.content, f"{ANSWERED}“fine in demo city” “noon in demo zone”")
            self.assertEqual(answer.tool_calls, [])

    def test_a_tool_can_be_forced_and_be_strict(self) -> None:
        model = self.model().bind_tools([weather, clock], tool_choice="clock", strict=True)
        self.assertEqual([call["name"] for call in model.invoke("Hi").tool_calls], ["clock"])

    def test_structured_output(self) -> None:
        for method in ("json_schema", "function_calling"):
            structured = self.model().with_structured_output(Town, method=method)
            self.assertIsInstance(structured.invoke("Where?"), Town, method)
            self.assertIsInstance(list(structured.stream("Where?"))[-1], Town, method)

    def test_structured_output_as_a_dict(self) -> None:
        structured = self.model().with_structured_output(Town.model_json_schema(), method="json_schema")
        self.assertEqual(list(structured.invoke("Where?")), ["name", "streets"])

    def test_free_json_is_parsed(self) -> None:
        schema = {"title": "Said", "type": "object", "properties": {"you_said": {"type": "string"}}}
        structured = self.model().with_structured_output(schema, method="json_mode")
        self.assertEqual(structured.invoke("Say it in JSON")["you_said"], "Say it in JSON")

    def test_a_refusal_is_no_structured_output(self) -> None:
        refusal = "This is oaiproxy's demo upstream. It refuses, as it was asked to."
        structured = self.model().with_structured_output(Town, method="json_schema", include_raw=True)
        told = structured.invoke("Please refuse")
        self.assertEqual((told["raw"].additional_kwargs["refusal"], told["parsed"]), (refusal, None))

    def test_output_that_the_limit_cut_is_raised(self) -> None:
        model = self.model(model="gpt-4.1", max_tokens=16)
        wide = {"title": "Wide", "type": "object", "properties": {name: {"type": "string"} for name in "abcdefgh"}}
        with self.assertRaises(openai.LengthFinishReasonError):
            model.with_structured_output(wide, method="json_schema", strict=False).invoke("Fill it")

    def test_a_limit_is_told(self) -> None:
        for message in (
            self.model(model="gpt-4.1", max_tokens=20).invoke("demo:tokens=50"),
            self.streamed(self.model(model="gpt-4.1", max_tokens=20), "demo:tokens=50"),
        ):
            self.assertEqual(len(message.content.split()), 20)
            self.assertEqual(message.response_metadata["finish_reason"], "length")

    def test_a_stop_sequence_ends_the_text(self) -> None:
        for stop in ([" demo4"], ["never", " demo4"]):
            whole = self.model().invoke("demo:tokens=9", stop=stop)
            streamed = self.streamed(self.model(), "demo:tokens=9", stop=stop)
            self.assertEqual((whole.content, streamed.content), ("demo1 demo2 demo3",) * 2)

    def test_several_choices_are_several_generations(self) -> None:
        (generations,) = self.model(n=3).generate([[HumanMessage("demo:tokens=3")]]).generations
        self.assertEqual([generation.text for generation in generations], ["demo1 demo2 demo3"] * 3)

    def test_log_probabilities_come_with_their_tokens(self) -> None:
        metadata = self.model(model="gpt-4.1", logprobs=True).invoke("demo:tokens=2").response_metadata
        self.assertEqual([token["token"] for token in metadata["logprobs"]["content"]], ["demo1", " demo2"])

    def test_errors_are_raised_as_their_classes(self) -> None:
        for status, kind in (
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (429, openai.RateLimitError),
            (503, openai.InternalServerError),
        ):
            for ask in (self.model().invoke, lambda text: list(self.model().stream(text))):
                with self.assertRaises(kind) as caught:
                    ask(f"demo:error={status}")
                self.assertEqual(caught.exception.status_code, status)

    def test_a_rate_limit_is_tried_again(self) -> None:
        """And again in vain, after the second that ``Retry-After`` says."""
        with self.assertRaises(openai.RateLimitError):
            self.model(max_retries=1).invoke("demo:error=429")

    def test_a_cut_is_raised_and_never_an_end(self) -> None:
        for text in ("demo:cut demo:tokens=100", "demo:fail-midstream demo:tokens=100"):
            with self.assertRaises(openai.APIError):
                self.model().invoke(text)
            finishes = []
            with self.assertRaises(openai.APIError):
                for chunk in self.model().stream(text):
                    finishes.append(chunk.response_metadata.get("finish_reason"))
            self.assertEqual({*finishes}, {None})

    def test_its_responses_mode_is_passed_on(self) -> None:
        model = self.model(use_responses_api=True)
        self.assertEqual(model.invoke("demo:tokens=3").text, "demo1 demo2 demo3")
        self.assertEqual(self.streamed(model, "demo:tokens=3").text, "demo1 demo2 demo3")


class PassthroughLangChainTests(_LangChainTests, LangChainTestCase):
    port = "passthrough"


class BridgeLangChainTests(_LangChainTests, LangChainTestCase):
    port = "bridge"

    def test_reasoning_is_counted(self) -> None:
        model = self.model(stream_usage=True, reasoning_effort="high")
        for message in (model.invoke("Hi"), self.streamed(model, "Hi")):
            self.assertEqual(message.usage_metadata["output_token_details"]["reasoning"], 32)

    def test_a_stream_that_ends_too_early_is_raised(self) -> None:
        with self.assertRaises(openai.APIError):
            list(self.model().stream("demo:eof demo:tokens=100"))

    def test_a_wrong_parameter_is_named(self) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.model(model="gpt-5.1:res-hihg").invoke("Hi")
        self.assertEqual(json.loads(caught.exception.response.text)["error"]["param"], "model")


class ThinkTests(LangChainTestCase):
    options = ("--upstream", "demo", "--reasoning-field", "think")

    def test_the_summary_is_in_the_text_where_it_shows(self) -> None:
        model = self.model(reasoning_effort="high")
        for message in (model.invoke("Hi"), self.streamed(model, "Hi")):
            thought, _, text = message.content.partition("\n</think>\n\n")
            self.assertTrue(thought.startswith("<think>\n**Reading the request**"))
            self.assertTrue(text.startswith("This is oaiproxy's demo upstream"))
