"""The openai SDK for Python asks through the service: what its users write works on both ports, streaming and not."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from openai import AsyncOpenAI, BadRequestError
from pydantic import BaseModel

from tests.e2e.support import KEY, Answer, ServiceTestCase, ServiceTests

#: A picture of one red pixel.
PNG = (
    "data:image/png;base64,"
    + base64.b64encode(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
            "53de0000000c49444154789c63f8cfc000000301010018dd8db00000000049454e44ae426082"
        )
    ).decode()
)
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


class Person(BaseModel):
    name: str
    age: int
    nick_names: list[str]


class _ChatTests(ServiceTests):
    """What holds on either port, for a model that does not reason."""

    model = "gpt-4.1"

    def test_a_question_is_answered(self) -> None:
        answer: Answer = self.ask("Hi there", model=self.model)
        self.assertRegex(
            answer.content, "^This is oaiproxy's demo upstream, not a real model. You said: “Hi there”\n\n"
        )
        self.assertRegex(answer.id, "^chatcmpl-")
        self.assertEqual((answer.finish, answer.model), ("stop", "gpt-4.1"))

    def test_the_usage_adds_up(self) -> None:
        usage = self.ask("one two three demo:tokens=7", model=self.model).usage
        assert usage is not None
        self.assertEqual(usage[1:], (7, 0, usage[0] + 7))

    def test_without_include_usage_no_chunk_has_usage(self) -> None:
        chunks = list(
            self.client().chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": "Hi"}], stream=True
            )
        )
        self.assertEqual([c.usage for c in chunks if c.usage], [])
        self.assertEqual([len(c.choices) for c in chunks], [1] * len(chunks))

    def test_the_stream_helper_gives_the_whole_completion(self) -> None:
        with self.client().chat.completions.stream(
            model=self.model, messages=[{"role": "user", "content": "demo:tokens=5"}]
        ) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            final = stream.get_final_completion()
        self.assertEqual(deltas, ["", "demo1", " demo2", " demo3", " demo4", " demo5"])
        self.assertEqual(final.choices[0].message.content, "demo1 demo2 demo3 demo4 demo5")
        self.assertEqual(final.choices[0].finish_reason, "stop")

    def test_an_asynchronous_client_is_answered_too(self) -> None:
        client = AsyncOpenAI(base_url=self.client().base_url, api_key=KEY, max_retries=0)

        async def ask() -> tuple[str | None, str]:
            async with client:
                request: dict[str, Any] = {
                    "model": self.model,
                    "messages": [{"role": "user", "content": "demo:tokens=3"}],
                }
                whole = await client.chat.completions.create(**request)
                stream = await client.chat.completions.create(**request, stream=True)
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
                return whole.choices[0].message.content, text

        self.assertEqual(asyncio.run(ask()), ("demo1 demo2 demo3",) * 2)

    def test_all_roles_of_a_history_arrive(self) -> None:
        answer: Answer = self.ask(
            model=self.model,
            messages=[
                {"role": "system", "content": "Be short."},
                {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
                {"role": "user", "content": "First", "name": "ann"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "assistant", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "more"}]},
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "user", "content": "Second"},
            ],
        )
        self.assertIn("You said: “Second”", answer.content)
        self.assertIn("7 messages, 0 images, 0 files", answer.content)

    def test_pictures_and_files_arrive(self) -> None:
        answer: Answer = self.ask(
            model=self.model,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
                    ],
                }
            ],
        )
        self.assertIn("You said: “What is this?”", answer.content)
        self.assertIn("1 message, 2 images, 1 file", answer.content)

    def test_a_limit_cuts_the_answer_and_says_so(self) -> None:
        for limit in ("max_tokens", "max_completion_tokens"):
            answer: Answer = self.ask("demo:tokens=50", model=self.model, **{limit: 20})
            self.assertEqual((answer.finish, len(answer.content.split())), ("length", 20))

    def test_a_refusal_is_told_as_one(self) -> None:
        answer: Answer = self.ask("Please refuse", model=self.model)
        self.assertEqual(answer.refusal, "This is oaiproxy's demo upstream. It refuses, as it was asked to.")
        self.assertEqual((answer.content, answer.finish), ("", "stop"))

    def test_log_probabilities_come_with_their_tokens(self) -> None:
        answer: Answer = self.ask("demo:tokens=3", model=self.model, logprobs=True, top_logprobs=2)
        self.assertEqual(answer.logprobs, ["demo1", " demo2", " demo3"])

    def test_an_answer_can_be_parsed_into_a_class(self) -> None:
        completion = self.client().chat.completions.parse(
            model=self.model, messages=[{"role": "user", "content": "Who?"}], response_format=Person
        )
        person = completion.choices[0].message.parsed
        self.assertEqual(type(person), Person)
        self.assertEqual(Person.model_validate_json(completion.choices[0].message.content), person)

    def test_a_stream_can_be_parsed_into_a_class(self) -> None:
        with self.client().chat.completions.stream(
            model=self.model, messages=[{"role": "user", "content": "Who?"}], response_format=Person
        ) as stream:
            message = stream.get_final_completion().choices[0].message
        self.assertEqual(message.parsed, Person.model_validate_json(message.content))

    def test_free_json_is_json(self) -> None:
        answer: Answer = self.ask("Say it in JSON", model=self.model, response_format={"type": "json_object"})
        self.assertRegex(answer.content, r'^\{"from":"oaiproxy\'s demo upstream","you_said":"Say it in JSON",.*\}$')

    def test_an_empty_answer_is_an_answer(self) -> None:
        answer: Answer = self.ask("demo:empty", model=self.model)
        self.assertEqual((answer.content, answer.calls, answer.finish), ("", [], "stop"))


class PassthroughChatTests(_ChatTests, ServiceTestCase):
    port = "passthrough"


class BridgeChatTests(_ChatTests, ServiceTestCase):
    port = "bridge"

    def test_what_was_dropped_is_named_in_a_header(self) -> None:
        raw = self.client().chat.completions.with_raw_response.create(
            model=self.model, messages=[{"role": "user", "content": "Hi"}], logit_bias={"1": 1}, seed=1
        )
        warning = raw.headers["x-oaiproxy-warning"]
        self.assertRegex(warning, "dropped logit_bias")
        self.assertRegex(warning, "dropped seed")


class ReasoningTests(ServiceTestCase):
    """What the bridge is there for."""

    SUMMARY = (
        "**Reading the request**\n\nThis summary comes from oaiproxy's demo upstream, which does not think.\n\n"
        "**Putting the answer together**\n\n"
        "It says back what came in, so that one can see what went through the proxy."
    )

    def test_a_model_that_reasons_does_so_and_sums_it_up(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1")
        self.assertEqual(answer.reasoning, self.SUMMARY)
        self.assertIn("; reasoning effort medium.", answer.content)
        assert answer.usage is not None
        self.assertEqual(answer.usage[2], 16)

    def test_the_summary_comes_before_the_answer_and_never_with_it(self) -> None:
        kinds = []
        for chunk in self.client().chat.completions.create(
            model="gpt-5.1", messages=[{"role": "user", "content": "Hi"}], stream=True
        ):
            delta = chunk.choices[0].delta.model_dump(exclude_unset=True)
            kinds += [kind for kind in ("reasoning_content", "content") if delta.get(kind)]
            self.assertLessEqual(len([value for value in delta.values() if value]), 1, delta)
        self.assertEqual(kinds, sorted(kinds, reverse=True))
        self.assertEqual(set(kinds), {"reasoning_content", "content"})

    def test_the_clients_own_effort_wins(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1:res-high", reasoning_effort="low")
        self.assertIn("; reasoning effort low.", answer.content)

    def test_effort_none_is_no_reasoning(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1", reasoning_effort="none", temperature=0.5)
        self.assertEqual(answer.reasoning, "")
        self.assertNotIn("effort", answer.content)

    def test_an_alias_sets_effort_and_summary(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1:res-high:sum-none")
        self.assertEqual(answer.reasoning, "")
        self.assertIn("model gpt-5.1, ", answer.content)
        self.assertIn("; reasoning effort high.", answer.content)

    def test_an_alias_can_ask_for_another_summary(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1:sum-concise:res-low")
        self.assertEqual(answer.reasoning, self.SUMMARY[: self.SUMMARY.index("\n\n**Putting")])

    def test_a_misspelt_alias_is_refused(self) -> None:
        with self.assertRaises(BadRequestError) as caught:
            self.ask("Hi", model="gpt-5.1:res-hihg")
        self.assertEqual((caught.exception.param, caught.exception.code), ("model", "invalid_model_alias"))

    def test_reasoning_that_eats_the_whole_budget_is_told_as_a_cut(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1", reasoning_effort="max", max_completion_tokens=20)
        self.assertEqual((answer.content, answer.finish), ("", "length"))
        assert answer.usage is not None
        self.assertEqual(answer.usage[1:3], (20, 20))

    def test_the_summary_may_come_back_in_the_history(self) -> None:
        client = self.client()
        messages: list[Any] = [{"role": "user", "content": "One"}]
        first = client.chat.completions.create(model="gpt-5.1", messages=messages).choices[0].message
        messages += [first, {"role": "user", "content": "Two"}]
        second = client.chat.completions.create(model="gpt-5.1", messages=messages).choices[0].message
        assert second.content is not None
        self.assertIn("You said: “Two”", second.content)
        self.assertIn("3 messages", second.content)


class SearchTests(ServiceTestCase):
    """The web search that nobody asked for."""

    def test_a_search_gives_citations(self) -> None:
        answer = self.ask("Please search for news", model="gpt-5.1")
        (citation,) = [annotation["url_citation"] for annotation in answer.annotations]
        self.assertEqual(citation["url"], "https://example.com/oaiproxy-demo")
        self.assertEqual(
            answer.content[citation["start_index"] : citation["end_index"]],
            "([example.com](https://example.com/oaiproxy-demo))",
        )

    def test_web_search_options_demand_one(self) -> None:
        answer = self.ask("Please search", model="gpt-5.1", web_search_options={"search_context_size": "low"})
        self.assertEqual(len(answer.annotations), 1)

    def test_a_request_with_tools_gets_none_added(self) -> None:
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
        answer = self.ask("Please search", model="gpt-5.1", tools=[tool])
        self.assertEqual(answer.annotations, [])
        self.assertIn("1 tool (look)", answer.content)


class NoSearchTests(ServiceTestCase):
    options = ("--upstream", "demo", "--disable-auto-web-search")

    def test_without_the_automatic_search_there_is_no_tool(self) -> None:
        answer = self.ask("Please search for news", model="gpt-5.1")
        self.assertEqual(answer.annotations, [])
        self.assertIn("0 tools", answer.content)

    def test_a_client_may_still_ask_for_one(self) -> None:
        answer = self.ask("Please search", model="gpt-5.1", web_search_options={})
        self.assertEqual(len(answer.annotations), 1)


class ThinkFieldTests(ServiceTestCase):
    options = ("--upstream", "demo", "--reasoning-field", "think")

    def test_the_summary_is_in_the_content_between_tags(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1")
        self.assertEqual(answer.reasoning, "")
        self.assertTrue(
            answer.content.startswith(
                f"<think>\n{ReasoningTests.SUMMARY}\n</think>\n\nThis is oaiproxy's demo upstream"
            ),
            answer.content,
        )
        self.assertEqual(answer.content.count("think>"), 2)

    def test_without_a_summary_there_are_no_tags(self) -> None:
        self.assertNotIn("think>", self.ask("Hi", model="gpt-5.1:sum-none").content)


class NoReasoningFieldTests(ServiceTestCase):
    options = ("--upstream", "demo", "--reasoning-field", "none")

    def test_the_model_reasons_and_the_summary_is_left_out(self) -> None:
        answer = self.ask("Hi", model="gpt-5.1")
        self.assertEqual(answer.reasoning, "")
        self.assertTrue(answer.content.startswith("This is oaiproxy's demo upstream"))
        assert answer.usage is not None
        self.assertEqual(answer.usage[2], 16)


class ReasoningFieldTests(ServiceTestCase):
    options = ("--upstream", "demo", "--reasoning-field", "reasoning")

    def test_the_summary_is_in_the_field_that_openrouter_has(self) -> None:
        message = (
            self.client()
            .chat.completions.create(model="gpt-5.1", messages=[{"role": "user", "content": "Hi"}])
            .choices[0]
            .message
        )
        self.assertEqual(message.model_extra, {"reasoning": ReasoningTests.SUMMARY})
        self.assertEqual(self.ask("Hi", model="gpt-5.1").reasoning, ReasoningTests.SUMMARY)
