"""Several choices and stop sequences with the openai SDK for Python: what chat completions have of their own, and the
bridge makes up for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import openai
from pydantic import BaseModel

from tests.e2e.support import BROKEN, KEY, ServiceTestCase, ServiceTests
from tests.process import PATIENCE

#: A choice: its text and how it ended.
Said = tuple[str, str | None]

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Town(BaseModel):
    name: str
    land: str


def choices_of(completion: Any) -> list[Said]:
    """The choices of a completion, which have to be in the order of their indices."""
    assert [choice.index for choice in completion.choices] == list(range(len(completion.choices))), completion
    return [(choice.message.content or "", choice.finish_reason) for choice in completion.choices]


def choices_heard(stream: Iterable[Any]) -> tuple[list[Said], Any]:
    """The choices of a stream, and its usage.  Each has to begin with its role and to say nothing after its end."""
    found: dict[int, tuple[str, str | None]] = {}
    usage = None
    ids = set()
    for chunk in stream:
        ids.add(chunk.id)
        assert usage is None, f"a chunk after the usage: {chunk}"
        usage = chunk.usage
        for choice in chunk.choices:
            assert (choice.delta.role == "assistant") is (choice.index not in found), chunk
            text, finish = found.get(choice.index, ("", None))
            assert finish is None, f"a chunk after the end of its choice: {chunk}"
            found[choice.index] = text + (choice.delta.content or ""), choice.finish_reason
    assert len(ids) == 1, ids
    return [found[index] for index in sorted(found)], usage


class _ChoiceTests(ServiceTests):
    """What holds on either port."""

    def both(self, text: str, **request: Any) -> list[Said]:
        """The choices that a question gets, the same with and without a stream."""
        chat = self.client().chat.completions
        request = {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}], **request}
        whole = choices_of(chat.create(**request))
        self.assertEqual(choices_heard(chat.create(**request, stream=True))[0], whole)
        return whole

    def test_n_gives_that_many_choices(self) -> None:
        self.assertEqual(self.both("demo:tokens=4", n=3), [("demo1 demo2 demo3 demo4", "stop")] * 3)

    def test_one_choice_is_one(self) -> None:
        self.assertEqual(self.both("demo:tokens=2", n=1), [("demo1 demo2", "stop")])

    def test_the_choices_of_a_stream_come_side_by_side(self) -> None:
        order = [
            choice.index
            for chunk in self.client().chat.completions.create(
                model="gpt-4.1",
                messages=[{"role": "user", "content": "demo:tokens=40 demo:slow=5"}],
                n=2,
                stream=True,
            )
            for choice in chunk.choices
        ]
        first_end = max(at for at, index in enumerate(order) if index == 0)
        self.assertLess(order.index(1), first_end)
        self.assertEqual(order.count(0), order.count(1))

    def test_the_usage_is_that_of_all_choices(self) -> None:
        chat = self.client().chat.completions
        request: dict[str, Any] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "demo:tokens=5"}]}
        one = chat.create(**request).usage
        usage = chat.create(**request, n=3).usage
        _, streamed = choices_heard(chat.create(**request, n=3, stream=True, stream_options={"include_usage": True}))
        self.assertEqual((one.completion_tokens, usage.completion_tokens), (5, 15))
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + 15)
        self.assertEqual(streamed, usage)

    def test_each_choice_has_its_calls(self) -> None:
        completion = self.client().chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": "Call get_weather"}], tools=[WEATHER], n=2
        )
        calls = [call for choice in completion.choices for call in choice.message.tool_calls]
        self.assertEqual([call.function.name for call in calls], ["get_weather"] * 2)
        self.assertEqual(len({call.id for call in calls}), 2)
        self.assertEqual([choice.finish_reason for choice in completion.choices], ["tool_calls"] * 2)

    def test_the_stream_helper_keeps_the_choices_apart(self) -> None:
        with self.client().chat.completions.stream(
            model="gpt-4.1", messages=[{"role": "user", "content": "Call get_weather"}], tools=[WEATHER], n=2
        ) as stream:
            final = stream.get_final_completion()
        self.assertEqual([choice.index for choice in final.choices], [0, 1])
        for choice in final.choices:
            (call,) = choice.message.tool_calls
            self.assertEqual(list(json.loads(call.function.arguments)), ["city"])

    def test_each_choice_is_parsed(self) -> None:
        completion = self.client().chat.completions.parse(
            model="gpt-4.1", messages=[{"role": "user", "content": "Where?"}], response_format=Town, n=2
        )
        self.assertEqual([type(choice.message.parsed) for choice in completion.choices], [Town, Town])

    def test_several_at_once_stay_apart(self) -> None:
        async def ask(client: openai.AsyncOpenAI, tokens: int) -> list[Said]:
            completion = await client.chat.completions.create(
                model="gpt-4.1", messages=[{"role": "user", "content": f"demo:tokens={tokens}"}], n=3
            )
            return choices_of(completion)

        async def ask_all() -> list[list[Said]]:
            http = openai.DefaultAsyncHttpxClient(trust_env=False)
            async with openai.AsyncOpenAI(
                base_url=self.base(), api_key=KEY, max_retries=0, timeout=PATIENCE, http_client=http
            ) as client:
                return await asyncio.gather(*[ask(client, tokens) for tokens in range(1, 9)])

        answers = asyncio.run(ask_all())
        wanted = [" ".join(f"demo{n}" for n in range(1, tokens + 1)) for tokens in range(1, 9)]
        self.assertEqual(answers, [[(text, "stop")] * 3 for text in wanted])

    def test_a_refused_request_is_raised_once(self) -> None:
        def ask(stream: bool) -> None:
            with self.assertRaises(openai.RateLimitError) as caught:
                self.client().chat.completions.create(
                    model="gpt-4.1", messages=[{"role": "user", "content": "demo:error=429"}], n=2, stream=stream
                )
            self.assertEqual(caught.exception.code, "rate_limit_exceeded")
            self.assertEqual(caught.exception.response.headers["retry-after"], "1")

        self.at_once(ask, (False, True))

    def test_a_cut_is_never_taken_for_the_end(self) -> None:
        for text in ("demo:cut demo:tokens=100", "demo:fail-midstream"):
            request: dict[str, Any] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}], "n": 2}
            chat = self.client().chat.completions
            with self.assertRaises((openai.APIError, *BROKEN)):
                chat.create(**request)
            finishes = []
            with self.assertRaises((openai.APIError, *BROKEN)):
                for chunk in chat.create(**request, stream=True):
                    finishes += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
            self.assertEqual(finishes, [])

    def test_too_many_and_too_few_are_refused_by_name(self) -> None:
        for n in (0, 129):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.both("Hi", n=n)
            self.assertEqual(caught.exception.param, "n")

    def test_the_text_ends_before_a_stop_sequence(self) -> None:
        for stop, text in (
            (" demo4", "demo1 demo2 demo3"),
            (["never", " demo4"], "demo1 demo2 demo3"),
            # over the border of two chunks
            ("o3 d", "demo1 demo2 dem"),
            # of two that match, the one that comes first
            ([" demo9", "emo3"], "demo1 demo2 d"),
            # at the very beginning, and at the very end
            ("demo1", ""),
            ("demo12", " ".join(f"demo{n}" for n in range(1, 12)) + " "),
        ):
            self.assertEqual(self.both("demo:tokens=12", stop=stop), [(text, "stop")], stop)

    def test_a_stop_sequence_that_never_comes_changes_nothing(self) -> None:
        for stop in ("demo7", ["x"], [], "demo3 demo5", None):
            self.assertEqual(self.both("demo:tokens=3", stop=stop), [("demo1 demo2 demo3", "stop")], stop)

    def test_the_beginning_of_a_stop_sequence_at_the_end_of_the_text_is_text(self) -> None:
        self.assertEqual(self.both("demo:tokens=3", stop="demo3 and more"), [("demo1 demo2 demo3", "stop")])

    def test_every_choice_is_stopped(self) -> None:
        self.assertEqual(self.both("demo:tokens=12", n=2, stop=" demo3"), [("demo1 demo2", "stop")] * 2)

    def test_a_stop_ends_a_long_stream_at_once(self) -> None:
        """Half a minute of words are upstream's to say; the client waits for two of them."""
        self.assertEqual(
            self.both("demo:tokens=3000 demo:slow=10", stop=" demo3", timeout=5), [("demo1 demo2", "stop")]
        )

    def test_a_stop_takes_no_part_of_a_call(self) -> None:
        completion = self.client().chat.completions.create(
            model="gpt-4.1",
            messages=[{"role": "user", "content": "Call get_weather"}],
            tools=[WEATHER],
            stop=["city", "{"],
        )
        (choice,) = completion.choices
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertEqual(list(json.loads(choice.message.tool_calls[0].function.arguments)), ["city"])

    def test_more_than_four_are_refused_by_name(self) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.both("Hi", stop=["a", "b", "c", "d", "e"])
        self.assertEqual(caught.exception.param, "stop")


class PassthroughChoiceTests(_ChoiceTests, ServiceTestCase):
    port = "passthrough"


class BridgeChoiceTests(_ChoiceTests, ServiceTestCase):
    port = "bridge"

    def test_each_choice_has_its_summary_which_no_stop_sequence_ends(self) -> None:
        chat = self.client().chat.completions
        request: dict[str, Any] = {
            "model": "gpt-5.1",
            "messages": [{"role": "user", "content": "Hi"}],
            "n": 2,
            "stop": ["summary", " not a"],
        }
        whole = chat.create(**request)
        self.assertEqual(choices_of(whole), [("This is oaiproxy's demo upstream,", "stop")] * 2)
        summaries = [choice.message.model_extra["reasoning_content"] for choice in whole.choices]
        self.assertRegex(summaries[0], "(?s)This summary comes from .* does not think")
        streamed = ["", ""]
        for chunk in chat.create(**request, stream=True):
            for choice in chunk.choices:
                streamed[choice.index] += (choice.delta.model_extra or {}).get("reasoning_content") or ""
        self.assertEqual(streamed, summaries)

    def test_neither_is_named_as_dropped(self) -> None:
        raw = self.client().chat.completions.with_raw_response.create(
            model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}], stop=["x"], n=2
        )
        told = "usage is not known where a stop sequence ends the answer"
        self.assertEqual(raw.headers["x-oaiproxy-warning"], told)
