"""The openai SDK for Python asks for legacy completions: the bridge makes them, streaming and not."""

from __future__ import annotations

from typing import Any

from openai import BadRequestError, NotFoundError, RateLimitError

from tests.e2e.support import ServiceTestCase


class CompletionsTests(ServiceTestCase):
    model = "gpt-4.1"

    def complete(self, prompt: Any, **request: Any) -> list[tuple[str, str]]:
        """Text and finish reason of each choice, asked for with and without a stream."""
        create = self.client().completions.create
        whole = create(model=request.pop("model", self.model), prompt=prompt, **request)
        self.assertEqual(whole.object, "text_completion")
        self.assertTrue(whole.id.startswith("cmpl-"), whole.id)
        self.assertEqual([choice.index for choice in whole.choices], list(range(len(whole.choices))))
        texts, ends = [""] * len(whole.choices), [""] * len(whole.choices)
        usage = None
        for chunk in create(
            model=whole.model, prompt=prompt, stream=True, stream_options={"include_usage": True}, **request
        ):
            self.assertEqual(chunk.object, "text_completion")
            for choice in chunk.choices:
                texts[choice.index] += choice.text
                ends[choice.index] = choice.finish_reason or ""
            usage = chunk.usage
        found = [(choice.text, choice.finish_reason) for choice in whole.choices]
        self.assertEqual(list(zip(texts, ends, strict=True)), found)
        self.assertEqual(usage, whole.usage)
        self.usage = whole.usage
        return found

    def test_a_prompt_is_completed(self) -> None:
        self.assertEqual(self.complete("demo:tokens=3"), [("demo1 demo2 demo3", "stop")])
        self.assertEqual(self.usage.completion_tokens, 3)

    def test_the_prompt_can_be_echoed(self) -> None:
        self.assertEqual(self.complete("demo:tokens=2 ", echo=True), [("demo:tokens=2 demo1 demo2", "stop")])

    def test_without_a_limit_it_is_sixteen_tokens(self) -> None:
        ((text, end),) = self.complete("demo:tokens=40")
        self.assertEqual((len(text.split()), end), (16, "length"))

    def test_a_model_that_always_reasons_has_room_for_both(self) -> None:
        self.assertEqual(self.complete("demo:tokens=3", model="o3"), [("demo1 demo2 demo3", "stop")])
        self.assertGreater(self.usage.completion_tokens_details.reasoning_tokens, 0)

    def test_several_prompts_and_several_choices(self) -> None:
        found = self.complete(["demo:tokens=2", "demo:tokens=1"], n=2)
        self.assertEqual(found, [("demo1 demo2", "stop")] * 2 + [("demo1", "stop")] * 2)
        self.assertEqual(self.usage.completion_tokens, 6)

    def test_a_stop_sequence_is_not_in_the_text(self) -> None:
        create = self.client().completions.create
        request: dict[str, Any] = {"model": self.model, "prompt": "demo:tokens=9", "stop": [" demo3"]}
        self.assertEqual(create(**request).choices[0].text, "demo1 demo2")
        self.assertEqual("".join(chunk.choices[0].text for chunk in create(**request, stream=True)), "demo1 demo2")

    def test_the_best_of_several(self) -> None:
        answer = self.client().completions.create(model=self.model, prompt="demo:tokens=2", best_of=3, n=2)
        self.assertEqual([choice.text for choice in answer.choices], ["demo1 demo2"] * 2)
        self.assertEqual([choice.logprobs for choice in answer.choices], [None] * 2)
        self.assertEqual(answer.usage.completion_tokens, 6)

    def test_log_probabilities_are_in_the_legacy_form(self) -> None:
        answer = self.client().completions.create(model=self.model, prompt="demo:tokens=2", logprobs=1)
        found = answer.choices[0].logprobs
        self.assertEqual((found.tokens, found.text_offset), (["demo1", " demo2"], [13, 18]))
        self.assertEqual([len(top) for top in found.top_logprobs], [1, 1])
        self.assertEqual(len(found.token_logprobs), 2)

    def test_an_alias_sets_the_effort_and_no_summary_is_shown(self) -> None:
        answer = self.client().completions.create(model="gpt-5.1:res-high:sum-auto", prompt="Hi", max_tokens=500)
        self.assertTrue(answer.choices[0].text.startswith("This is oaiproxy's demo upstream"))
        self.assertIn("; reasoning effort high.", answer.choices[0].text)
        self.assertIn("2 messages", answer.choices[0].text)

    def test_a_model_that_reasons_only_on_demand_does_not(self) -> None:
        answer = self.client().completions.create(model="gpt-5.1", prompt="Hi", max_tokens=500, temperature=0)
        self.assertNotIn("effort", answer.choices[0].text)
        self.assertIn("0 tools", answer.choices[0].text)

    def test_token_numbers_are_refused(self) -> None:
        with self.assertRaises(BadRequestError) as caught:
            self.client().completions.create(model=self.model, prompt=[1, 2, 3])
        self.assertEqual(caught.exception.param, "prompt")

    def test_an_error_is_raised_as_what_it_is(self) -> None:
        def ask(stream: bool) -> None:
            with self.assertRaises(RateLimitError):
                self.client().completions.create(model=self.model, prompt="demo:error=429", stream=stream)

        self.at_once(ask, (False, True))


class StoredTests(ServiceTestCase):
    def test_a_stored_completion_is_where_the_error_says(self) -> None:
        client = self.client()
        made = client.chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": "demo:tokens=2"}], store=True
        )
        with self.assertRaises(NotFoundError) as caught:
            client.chat.completions.retrieve(made.id)
        path = caught.exception.message.partition("Use GET /v1")[2].partition(" ")[0]
        self.assertEqual(path, f"/responses/resp_{made.id.removeprefix('chatcmpl-')}")
        self.assertEqual(caught.exception.code, "completion_not_stored")
