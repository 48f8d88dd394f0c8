"""Errors as clients take them."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.clients import ErrorAnswer, error_answer, error_message

WRONG_KEY = ApiError("Incorrect API key provided.", status=401, type="invalid_request_error", code="invalid_api_key")
TEXT = "The request failed (401, invalid_api_key): Incorrect API key provided."


class ErrorTests(SynchronousTestCase):
    def test_as_the_api_sends_it(self) -> None:
        self.assertEqual(error_answer(WRONG_KEY), ErrorAnswer(401, b"application/json", WRONG_KEY.body()))

    def test_as_a_completion(self) -> None:
        answer = error_message(WRONG_KEY, {"model": "gpt-5.1"}, 7)
        self.assertEqual((answer.status, answer.content_type), (200, b"application/json"))
        self.assertEqual(
            json.loads(answer.body),
            {
                "id": "chatcmpl-oaiproxy-error",
                "object": "chat.completion",
                "created": 7,
                "model": "gpt-5.1",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": TEXT, "refusal": None},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
            },
        )

    def test_as_a_stream(self) -> None:
        answer = error_message(WRONG_KEY, {"model": "gpt-5.1", "stream": True}, 7)
        self.assertEqual((answer.status, answer.content_type), (200, b"text/event-stream; charset=utf-8"))
        *chunks, done, end = answer.body.decode().split("\n\n")
        self.assertEqual((done, end), ("data: [DONE]", ""))
        choices = [json.loads(chunk.removeprefix("data: "))["choices"][0] for chunk in chunks]
        self.assertEqual(
            [(choice["delta"], choice["finish_reason"]) for choice in choices],
            [
                ({"role": "assistant", "content": "", "refusal": None}, None),
                ({"content": TEXT}, None),
                ({}, "stop"),
            ],
        )

    def test_the_field_at_fault_is_named(self) -> None:
        answer = error_message(BadRequest("Wrong.", param="messages[0].role"), {}, 0)
        message = json.loads(answer.body)["choices"][0]["message"]
        self.assertEqual(message["content"], "The request failed (400): Wrong. (field: messages[0].role)")

    def test_a_request_of_no_shape_is_answered_all_the_same(self) -> None:
        answer = error_message(WRONG_KEY, {"model": 3, "stream": "yes"}, 0)
        self.assertEqual(json.loads(answer.body)["model"], "")
