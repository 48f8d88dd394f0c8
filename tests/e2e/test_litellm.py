"""LiteLLM's SDK asks through the service, as ``openai/...`` with a base URL of its own.

What it does by itself: it refuses ``stop`` for models of the name ``gpt-5`` before it asks anybody (unless
``allowed_openai_params`` names it); of several streamed choices it hands on only what comes before the first of them
ends; a streamed refusal is lost; and a stream that ends in good order and too early it takes for a whole one
(``finish_reason`` ``stop``), which only the bridge port can keep from it.  A function tool needs the package ``mcp``.
"""

from __future__ import annotations

import asyncio
import json
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import openai
from pydantic import BaseModel

from tests.e2e.support import KEY, ServiceTestCase
from tests.process import PATIENCE

_ABSENT = [name for name in ("litellm", "mcp") if find_spec(name) is None]
if _ABSENT:
    MISSING: str | None = f"not installed: {', '.join(_ABSENT)} (tox -e litellm has them)"
else:
    MISSING = None
    # it fetches a list of prices when it is imported, unless it is told to take its own
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_TELEMETRY"] = "False"
    # asynchronous calls go through aiohttp otherwise, whose sessions it leaves open
    os.environ["DISABLE_AIOHTTP_TRANSPORT"] = "True"
    import litellm

    litellm.telemetry = False
    # no hints on standard output beside each error
    litellm.suppress_debug_info = True


def function(name: str, argument: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": f"The {name}.", "parameters": parameters}}


TOOLS = [function("weather", "city"), function("clock", "zone")]
ANSWERED = "This is oaiproxy's demo upstream, not a real model. The tool answered: "
BOTH = [("weather", {"city": "demo city"}), ("clock", {"zone": "demo zone"})]


class Town(BaseModel):
    """A town."""

    name: str
    streets: list[str]


def calls_of(message: Any) -> list[tuple[str, Any]]:
    """The tool calls of a message."""
    return [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]


class LiteLLMTestCase(ServiceTestCase):
    skip = MISSING

    def settings(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request for the port, that is tried only once."""
        own = {"model": "openai/gpt-5.1", "api_base": self.base(), "api_key": KEY, "timeout": PATIENCE}
        return {**own, "max_retries": 0, "num_retries": 0, **request}

    def complete(self, text: str | None = None, /, **request: Any) -> Any:
        """Ask; `text` is the user's only message."""
        if text is not None:
            request["messages"] = [{"role": "user", "content": text}]
        return litellm.completion(**self.settings(request))

    def built(self, text: str | None = None, /, **request: Any) -> Any:
        """Ask for a stream, and make one completion of its chunks."""
        usage = {"include_usage": True}
        chunks = list(self.complete(text, stream=True, stream_options=usage, **request))
        finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
        self.assertEqual(len(finishes), 1)
        return litellm.stream_chunk_builder(chunks)

    def both(self, text: str | None = None, /, **request: Any) -> list[Any]:
        """The first choice of a completion, and of one that was streamed."""
        return [ask(text, **request).choices[0] for ask in (self.complete, self.built)]


if TYPE_CHECKING:
    LiteLLMTests = LiteLLMTestCase
else:
    LiteLLMTests = object


class _LiteLLMTests(LiteLLMTests):
    """What holds on either port."""

    def test_a_question_is_answered(self) -> None:
        for choice in self.both("Hi there"):
            said = "This is oaiproxy's demo upstream, not a real model. You said: “Hi there”"
            self.assertTrue(choice.message.content.startswith(said))
            self.assertEqual((choice.message.role, choice.finish_reason), ("assistant", "stop"))

    def test_a_stream_has_the_same_usage(self) -> None:
        whole, streamed = (ask("Hi there").usage for ask in (self.complete, self.built))
        self.assertEqual(whole.total_tokens, whole.prompt_tokens + whole.completion_tokens)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            self.assertEqual(getattr(streamed, name), getattr(whole, name))

    def test_text_comes_piece_by_piece(self) -> None:
        pieces = [chunk.choices[0].delta.content for chunk in self.complete("demo:tokens=3", stream=True)]
        self.assertEqual([piece for piece in pieces if piece], ["demo1", " demo2", " demo3"])

    def test_asynchronous_calls_stay_apart(self) -> None:
        async def ask(count: int) -> tuple[str, str]:
            request = self.settings({"messages": [{"role": "user", "content": f"demo:tokens={count} demo:slow=5"}]})
            whole = await litellm.acompletion(**request)
            stream = await litellm.acompletion(**request, stream=True)
            return whole.choices[0].message.content, "".join([c.choices[0].delta.content or "" async for c in stream])

        async def ask_all() -> list[tuple[str, str]]:
            return await asyncio.gather(*[ask(count) for count in range(1, 7)])

        wanted = [" ".join(f"demo{n}" for n in range(1, count + 1)) for count in range(1, 7)]
        self.assertEqual(asyncio.run(ask_all()), [(text, text) for text in wanted])

    def test_a_batch_is_answered_in_its_order(self) -> None:
        asked = [[{"role": "user", "content": f"demo:tokens={count}"}] for count in range(1, 5)]
        answers = litellm.batch_completion(**self.settings({"messages": asked}))
        self.assertEqual([len(answer.choices[0].message.content.split()) for answer in answers], [1, 2, 3, 4])

    def test_the_effort_arrives(self) -> None:
        (whole, streamed) = self.both("Hi", reasoning_effort="high")
        for choice in (whole, streamed):
            self.assertIn("reasoning effort high", choice.message.content)

    def test_a_loop_of_parallel_tools_closes(self) -> None:
        for ask in (self.complete, self.built):
            messages: list[Any] = [{"role": "user", "content": "Call both in parallel"}]
            choice = ask(messages=messages, tools=TOOLS).choices[0]
            self.assertEqual((calls_of(choice.message), choice.finish_reason), (BOTH, "tool_calls"))
            messages.append(choice.message)
            for call in choice.message.tool_calls:
                result = {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": "fine"}
                messages.append(result)
            answer = ask(messages=messages, tools=TOOLS).choices[0]
            self.assertEqual((answer.message.content, answer.finish_reason), (f"{ANSWERED}“fine” “fine”", "stop"))

    def test_a_tool_can_be_forced(self) -> None:
        choice = {"type": "function", "function": {"name": "clock"}}
        for answer in self.both("Hi", tools=TOOLS, tool_choice=choice):
            self.assertEqual(calls_of(answer.message), BOTH[1:])

    def test_a_custom_tool_gets_its_text(self) -> None:
        shell = {"type": "custom", "custom": {"name": "shell", "description": "Runs a command."}}
        (call,) = self.complete("Call shell", tools=[shell]).choices[0].message.tool_calls
        self.assertEqual((call.custom.name, call.custom.input), ("shell", "demo input for shell"))

    def test_structured_output(self) -> None:
        for choice in self.both("Where?", response_format=Town):
            self.assertEqual(Town.model_validate_json(choice.message.content).name, "demo name")

    def test_a_stop_sequence_ends_the_text(self) -> None:
        for choice in self.both("demo:tokens=9", model="openai/gpt-4.1", stop=["never", " demo4"]):
            self.assertEqual((choice.message.content, choice.finish_reason), ("demo1 demo2 demo3", "stop"))
        allowed = {"stop": " demo4", "allowed_openai_params": ["stop"]}
        self.assertEqual(self.complete("demo:tokens=9", **allowed).choices[0].message.content, "demo1 demo2 demo3")

    def test_several_choices(self) -> None:
        choices = self.complete("demo:tokens=3", n=3).choices
        self.assertEqual([choice.index for choice in choices], [0, 1, 2])
        self.assertEqual([choice.message.content for choice in choices], ["demo1 demo2 demo3"] * 3)

    def test_a_limit_is_told(self) -> None:
        for choice in self.both("demo:tokens=50", model="openai/gpt-4.1", max_tokens=20):
            self.assertEqual((len(choice.message.content.split()), choice.finish_reason), (20, "length"))

    def test_a_refusal_is_told(self) -> None:
        message = self.complete("Please refuse").choices[0].message
        refusal = "This is oaiproxy's demo upstream. It refuses, as it was asked to."
        self.assertEqual((message.content, message.provider_specific_fields["refusal"]), (None, refusal))

    def test_errors_are_raised_as_its_classes(self) -> None:
        for status, kind in (
            (400, "BadRequestError"),
            (401, "AuthenticationError"),
            (404, "NotFoundError"),
            (429, "RateLimitError"),
            (500, "InternalServerError"),
            (503, "ServiceUnavailableError"),
        ):
            for stream in (False, True):
                with self.assertRaises(getattr(litellm, kind)) as caught:
                    self.complete(f"demo:error={status}", stream=stream)
                self.assertEqual(caught.exception.status_code, status)
                self.assertIn(f"demo:error={status}", caught.exception.message)

    def test_a_cut_is_raised_and_never_an_end(self) -> None:
        for text in ("demo:cut demo:tokens=100", "demo:fail-midstream demo:tokens=100"):
            with self.assertRaises(openai.APIError):
                self.complete(text)
            finishes = []
            with self.assertRaises(openai.APIError):
                for chunk in self.complete(text, stream=True):
                    finishes.append(chunk.choices[0].finish_reason)
            self.assertEqual({*finishes}, {None})

    def test_legacy_completions(self) -> None:
        request = self.settings({"prompt": "demo:tokens=3"})
        self.assertEqual(litellm.text_completion(**request).choices[0].text, "demo1 demo2 demo3")

    def test_responses_and_embeddings_are_passed_on(self) -> None:
        response: Any = litellm.responses(**self.settings({"input": "demo:tokens=3"}))
        self.assertEqual(response.output[-1].content[0].text, "demo1 demo2 demo3")
        small = self.settings({"model": "openai/text-embedding-3-small", "input": ["a", "b"]})
        self.assertEqual([len(row["embedding"]) for row in litellm.embedding(**small).data], [1536, 1536])


class PassthroughLiteLLMTests(_LiteLLMTests, LiteLLMTestCase):
    port = "passthrough"


class BridgeLiteLLMTests(_LiteLLMTests, LiteLLMTestCase):
    port = "bridge"

    def test_reasoning_comes_as_reasoning_content(self) -> None:
        whole, streamed = self.both("Hi")
        self.assertTrue(whole.message.reasoning_content.startswith("**Reading the request**"))
        self.assertEqual(streamed.message.reasoning_content, whole.message.reasoning_content)

    def test_reasoning_comes_before_the_text(self) -> None:
        kinds = [
            kind
            for chunk in self.complete("demo:tokens=3", stream=True)
            for kind in ("content", "reasoning_content")
            if getattr(chunk.choices[0].delta, kind, None)
        ]
        self.assertEqual(kinds, sorted(kinds, reverse=True))
        self.assertEqual({*kinds}, {"content", "reasoning_content"})

    def test_reasoning_is_counted(self) -> None:
        for ask in (self.complete, self.built):
            usage = ask("Hi", reasoning_effort="high").usage
            self.assertEqual(usage.completion_tokens_details.reasoning_tokens, 32)

    def test_a_message_with_reasoning_may_come_back(self) -> None:
        messages: list[Any] = [{"role": "user", "content": "One"}]
        messages += [self.complete(messages=messages).choices[0].message, {"role": "user", "content": "Two"}]
        answer = self.complete(messages=messages).choices[0].message.content
        self.assertIn("You said: “Two”", answer)
        self.assertIn("3 messages", answer)

    def test_citations_come_as_annotations(self) -> None:
        for choice in self.both("Please search"):
            (annotation,) = choice.message.annotations
            self.assertEqual(annotation["url_citation"]["url"], "https://example.com/oaiproxy-demo")

    def test_an_alias_is_a_model(self) -> None:
        for choice in self.both("Hi", model="openai/gpt-5.1:res-high:sum-none"):
            self.assertIn("reasoning effort high", choice.message.content)
            self.assertFalse(getattr(choice.message, "reasoning_content", None))

    def test_a_stream_that_ends_too_early_is_raised(self) -> None:
        with self.assertRaises(openai.APIError):
            list(self.complete("demo:eof demo:tokens=100", stream=True))
