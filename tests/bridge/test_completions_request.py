"""Legacy completions requests: what goes upstream for them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.completions.prompt import BEGIN, CONTINUE, INSERT
from oaiproxy.bridge.completions.request import ROOM_TO_REASON
from tests.bridge.asking import ALWAYS, NEVER, ON_DEMAND, UNKNOWN, off_schema
from tests.bridge.completing import complete, completion, sent
from tests.bridge.published import Published


class PromptTests(SynchronousTestCase):
    def refusal(self, **fields: Any) -> BadRequest:
        error: BadRequest = self.assertRaises(BadRequest, complete, **fields)
        return error

    def test_a_prompt_is_the_users_message_after_an_instruction(self) -> None:
        self.assertEqual(
            sent(prompt="Once upon"),
            [
                {
                    "model": "gpt-5.1",
                    "max_output_tokens": 16,
                    "store": False,
                    "input": [{"role": "developer", "content": CONTINUE}, {"role": "user", "content": "Once upon"}],
                }
            ],
        )

    def test_a_model_that_does_not_reason_gets_a_system_message(self) -> None:
        (body,) = sent(capabilities=NEVER)
        self.assertEqual(body["input"][0], {"role": "system", "content": CONTINUE})

    def test_a_suffix_is_put_behind_a_gap(self) -> None:
        (body,) = sent(prompt="def f(x):\n", suffix="\n    return y\n")
        self.assertEqual(
            body["input"],
            [
                {"role": "developer", "content": INSERT},
                {"role": "user", "content": "<prefix>def f(x):\n</prefix><suffix>\n    return y\n</suffix>"},
            ],
        )

    def test_an_empty_suffix_is_none(self) -> None:
        self.assertEqual(complete(suffix=""), complete())

    def test_no_prompt_is_the_beginning_of_any_text(self) -> None:
        for prompt in ("", None, "<|endoftext|>"):
            (body,) = sent(prompt=prompt)
            self.assertEqual(body["input"], [{"role": "developer", "content": BEGIN}])

    def test_no_prompt_and_a_suffix_is_a_gap_all_the_same(self) -> None:
        (body,) = sent(prompt="", suffix="The end.")
        self.assertEqual(body["input"][1]["content"], "<prefix></prefix><suffix>The end.</suffix>")

    def test_each_of_several_prompts_is_a_request_of_its_own(self) -> None:
        self.assertEqual([body["input"][1]["content"] for body in sent(prompt=["a", "b", "c"])], ["a", "b", "c"])

    def test_an_array_of_one_text_is_that_text(self) -> None:
        self.assertEqual(complete(prompt=["Once upon"]), complete(prompt="Once upon"))

    def test_the_answers_to_one_prompt_stand_together(self) -> None:
        bodies = sent(prompt=["a", "b"], n=2)
        self.assertEqual([body["input"][1]["content"] for body in bodies], ["a", "a", "b", "b"])

    def test_token_numbers_are_refused_with_what_to_send_instead(self) -> None:
        prompts: tuple[Any, ...] = ([1212, 318], [[1212, 318], [13]], [[]], ["a", [13]])
        for prompt in prompts:
            error = self.refusal(prompt=prompt)
            self.assertEqual((error.status, error.param, error.code), (400, "prompt", "unsupported_value"))
            self.assertIn("Send the prompt as a string or an array of strings.", error.message)

    def test_what_is_no_prompt_is_refused_where_it_stands(self) -> None:
        for prompt, param in (
            (7, "prompt"),
            ({}, "prompt"),
            ([], "prompt"),
            (["a", 1], "prompt[1]"),
            ([None], "prompt[0]"),
        ):
            self.assertEqual(self.refusal(prompt=prompt).param, param, prompt)

    def test_a_missing_prompt_is_named(self) -> None:
        error = self.assertRaises(BadRequest, completion, {"model": "gpt-5.1"})
        self.assertEqual((error.param, error.code), ("prompt", "missing_required_parameter"))

    def test_a_chat_request_is_told_where_to_go(self) -> None:
        error = self.assertRaises(BadRequest, completion, {"model": "gpt-5.1", "messages": []})
        self.assertEqual(
            (error.param, error.message),
            ("prompt", "'prompt' is missing. Requests with 'messages' go to /v1/chat/completions."),
        )

    def test_a_missing_model_is_named(self) -> None:
        self.assertEqual(self.assertRaises(BadRequest, completion, {"prompt": "x"}).param, "model")

    def test_what_json_cannot_carry_is_the_clients_fault(self) -> None:
        self.assertEqual(self.refusal(prompt="\ud800").status, 400)


class CountTests(SynchronousTestCase):
    def refusal(self, **fields: Any) -> BadRequest:
        error: BadRequest = self.assertRaises(BadRequest, complete, **fields)
        return error

    def test_n_is_as_many_requests(self) -> None:
        translation = complete(n=3)
        self.assertEqual(len(translation.bodies), 3)
        self.assertEqual(len(set(translation.bodies)), 1)
        self.assertEqual((translation.plan.kept, translation.plan.made), (3, 3))

    def test_best_of_is_as_many_requests_with_log_probabilities(self) -> None:
        translation = complete(best_of=4, n=2)
        self.assertEqual(
            [json.loads(b).get("include") for b in translation.bodies], [["message.output_text.logprobs"]] * 4
        )
        self.assertEqual((translation.plan.kept, translation.plan.made, translation.plan.logprobs), (2, 4, None))
        self.assertEqual(translation.notes, ())

    def test_best_of_without_a_choice_asks_for_nothing(self) -> None:
        for value in (None, 0, 1):
            self.assertEqual(complete(best_of=value), complete())
        self.assertEqual(complete(best_of=2, n=2), complete(n=2))

    def test_best_of_is_dropped_where_nothing_tells_the_best(self) -> None:
        translation = complete(best_of=4, n=2, capabilities=ALWAYS)
        self.assertEqual(len(translation.bodies), 2)
        self.assertEqual((translation.plan.kept, translation.plan.made), (2, 2))
        self.assertEqual(
            [note.text for note in translation.notes],
            ["dropped best_of (the model gives no log probabilities to choose by)"],
        )

    def test_less_than_n_is_no_best_of(self) -> None:
        self.assertEqual(self.refusal(best_of=2, n=3).param, "best_of")

    def test_the_best_cannot_be_streamed(self) -> None:
        self.assertEqual(self.refusal(best_of=2, stream=True).param, "best_of")

    def test_the_ranges_are_those_of_the_schema(self) -> None:
        for name, value in (("n", 0), ("n", 129), ("best_of", -1), ("best_of", 21), ("logprobs", -1), ("logprobs", 6)):
            self.assertEqual(self.refusal(**{name: value}).param, name)
        mistyped: dict[str, Any] = {"n": "2", "best_of": True, "logprobs": True, "echo": 1, "suffix": 5}
        for name, wrong in mistyped.items():
            error = self.refusal(**{name: wrong})
            self.assertEqual((error.param, error.code), (name, "invalid_type"))

    def test_a_request_for_too_many_answers_is_refused(self) -> None:
        self.assertEqual(len(complete(prompt=["x"] * 64, n=2).bodies), 128)
        error = self.refusal(prompt=["x"] * 65, n=2)
        self.assertEqual((error.param, error.code), ("prompt", "array_above_max_length"))
        self.assertIn("130 answers: 2 for each of 65 prompts", error.message)


class LimitTests(SynchronousTestCase):
    """The limit is one on the text, as it always was."""

    def limit(self, **fields: Any) -> Any:
        translation = complete(**fields)
        return json.loads(translation.bodies[0])["max_output_tokens"], [note.text for note in translation.notes]

    def test_without_one_it_is_sixteen(self) -> None:
        self.assertEqual(self.limit(), (16, []))
        self.assertEqual(self.limit(max_tokens=None, capabilities=NEVER), (16, []))

    def test_the_clients_own_is_taken(self) -> None:
        self.assertEqual(self.limit(max_tokens=100), (100, []))

    def test_less_than_upstream_takes_is_raised_and_told(self) -> None:
        self.assertEqual(self.limit(max_tokens=5), (16, ["clamped max_tokens to 16"]))

    def test_a_model_that_reasons_gets_room_to_do_so(self) -> None:
        told = [f"raised max_tokens by {ROOM_TO_REASON} (the model reasons first)"]
        self.assertEqual(self.limit(max_tokens=100, capabilities=ALWAYS), (100 + ROOM_TO_REASON, told))
        self.assertEqual(self.limit(capabilities=ALWAYS), (16 + ROOM_TO_REASON, []))
        for asks in ({"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}, {"reasoning": {"enabled": True}}):
            self.assertEqual(self.limit(**asks), (16 + ROOM_TO_REASON, []), asks)

    def test_a_model_that_is_told_not_to_reason_gets_none(self) -> None:
        for asks in (
            {"reasoning_effort": "none"},
            {"reasoning": {"effort": "none"}},
            {"reasoning": {"enabled": False}},
        ):
            self.assertEqual(self.limit(**asks), (16, []), asks)
        self.assertEqual(self.limit(capabilities=UNKNOWN), (16, []))

    def test_no_text_at_all_is_refused(self) -> None:
        for value in (0, -1):
            error = self.assertRaises(BadRequest, complete, max_tokens=value, echo=True)
            self.assertEqual((error.param, error.code), ("max_tokens", "integer_below_min_value"))


class LogprobTests(SynchronousTestCase):
    def test_a_number_is_so_many_alternatives(self) -> None:
        translation = complete(logprobs=3)
        body = json.loads(translation.bodies[0])
        self.assertEqual((body["top_logprobs"], body["include"]), (3, ["message.output_text.logprobs"]))
        self.assertEqual(translation.plan.logprobs, 3)

    def test_none_of_them_is_the_tokens_alone(self) -> None:
        translation = complete(logprobs=0)
        self.assertNotIn("top_logprobs", json.loads(translation.bodies[0]))
        self.assertEqual((translation.plan.logprobs, translation.plan.chat.logprobs), (0, True))

    def test_a_model_that_gives_none_is_told_of_under_the_clients_name(self) -> None:
        translation = complete(logprobs=3, capabilities=ALWAYS)
        self.assertEqual([note.text for note in translation.notes], ["dropped logprobs (the model reasons)"])
        self.assertEqual(translation.plan.logprobs, None)

    def test_those_of_the_prompt_are_not_to_be_had(self) -> None:
        error = self.assertRaises(BadRequest, complete, logprobs=1, echo=True)
        self.assertEqual((error.param, error.code), ("echo", "unsupported_value"))


class FurtherTests(SynchronousTestCase):
    def notes(self, **fields: Any) -> list[str]:
        return [note.text for note in complete(**fields).notes]

    def test_summaries_are_never_shown(self) -> None:
        self.assertEqual(complete().plan.chat.reasoning_field, ReasoningField.NONE)

    def test_fields_of_a_chat_request_that_mean_the_same_are_taken(self) -> None:
        (body,) = sent(
            reasoning_effort="low", service_tier="flex", metadata={"a": "b"}, store=True, verbosity="low", user="u" * 65
        )
        self.assertEqual((body["reasoning"], body["text"]), ({"effort": "low"}, {"verbosity": "low"}))
        self.assertEqual((body["service_tier"], body["metadata"], body["store"]), ("flex", {"a": "b"}, True))
        self.assertEqual(len(body["user"]), 64)

    def test_other_fields_of_a_chat_request_are_told_of_and_change_nothing(self) -> None:
        translation = complete(tools=[{"type": "web_search"}], response_format={"type": "json_object"}, input="x")
        self.assertEqual(translation.bodies, complete().bodies)
        self.assertEqual(
            [note.text for note in translation.notes],
            [
                "dropped tools (unknown field)",
                "dropped response_format (unknown field)",
                "dropped input (unknown field)",
            ],
        )

    def test_fields_that_nobody_knows_are_told_of(self) -> None:
        self.assertEqual(
            self.notes(top_k=5, foo=1, chat_id="x"),
            ["dropped top_k (the Responses API has no such field)", "dropped foo (unknown field)"],
        )

    def test_what_says_nothing_is_not_told_of(self) -> None:
        self.assertEqual(self.notes(tools=[], logit_bias={}, frequency_penalty=0, foo=None, best_of=1), [])

    def test_what_the_proxy_added_is_not_told_of(self) -> None:
        self.assertEqual(self.notes(tools=[{"type": "web_search"}], added=("tools",)), [])

    def test_a_strict_proxy_refuses_what_would_be_dropped(self) -> None:
        for fields, param in (({"seed": 1}, "seed"), ({"best_of": 2, "capabilities": ALWAYS}, "best_of")):
            error = self.assertRaises(BadRequest, complete, strict=True, **fields)
            self.assertEqual((error.param, error.code), (param, "unsupported_parameter"))
        self.assertEqual(complete(strict=True, max_tokens=5).bodies, complete(max_tokens=5).bodies)

    def test_a_stop_sequence_asks_upstream_for_a_stream_that_can_be_left(self) -> None:
        translation = complete(stop="\n")
        self.assertEqual(json.loads(translation.bodies[0])["stream"], True)
        self.assertEqual((translation.plan.chat.stop, translation.plan.chat.stream), (("\n",), False))

    def test_errors_of_the_chat_half_name_the_clients_fields(self) -> None:
        for fields, param in (
            ({"stop": ["a"] * 5}, "stop"),
            ({"temperature": "hot"}, "temperature"),
            ({"stream_options": 1}, "stream_options"),
            ({"user": 1}, "user"),
        ):
            self.assertEqual(self.assertRaises(BadRequest, complete, **fields).param, param)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_whatever_the_schema_allows_is_translated_or_refused_by_name(self, data: st.DataObject) -> None:
        body = data.draw(Published().named("CreateCompletionRequest"))
        capabilities = data.draw(st.sampled_from([ON_DEMAND, ALWAYS, NEVER, UNKNOWN]))
        try:
            translation = completion(body, capabilities)
        except BadRequest as error:
            self.assertIn((error.param or "").partition("[")[0], body)
            return
        again = completion(body, capabilities)
        self.assertEqual((again.bodies, again.plan), (translation.bodies, translation.plan))
        self.assertEqual(len(translation.bodies), translation.plan.answers)
        for raw in set(translation.bodies):
            self.assertEqual(off_schema("CreateResponse", json.loads(raw)), [])
