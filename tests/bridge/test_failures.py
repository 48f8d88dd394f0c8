"""Upstream's failures in the client's words."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.bridge.failures import STATUS_BY_CODE, chat_param, event_error, upstream_error
from oaiproxy.bridge.plan import AnswerPlan
from tests.bridge.wire import SHARED

PLAN = AnswerPlan(max_tokens_field="max_tokens")
LEGACY = AnswerPlan(legacy_functions=True)

#: Upstream's param -> the client's.
PARAMS: dict[str | None, str | None] = {
    None: None,
    "model": "model",
    "temperature": "temperature",
    "input": "messages",
    "input[3].content[0].image_url": "messages",
    "instructions": "messages",
    "input_tokens": "input_tokens",
    "max_output_tokens": "max_tokens",
    "text": "response_format",
    "text.format": "response_format",
    "text.format.type": "response_format.type",
    "text.format.name": "response_format.json_schema.name",
    "text.format.schema.properties.a": "response_format.json_schema.schema.properties.a",
    "text.verbosity": "verbosity",
    "reasoning": "reasoning_effort",
    "reasoning.effort": "reasoning_effort",
    "reasoning.summary": None,
    "include": None,
    "include[0]": None,
    "tools": "tools",
    "tools[2]": "tools[2]",
    "tools[2].type": "tools[2].type",
    "tools[2].name": "tools[2].function.name",
    "tools[2].parameters.properties": "tools[2].function.parameters.properties",
    "tool_choice": "tool_choice",
    "tool_choice.name": "tool_choice.function.name",
}

#: The same for a client that speaks `functions`, where it differs.
LEGACY_PARAMS = {
    "tools": "functions",
    "tools[2].name": "functions[2].name",
    "tool_choice": "function_call",
    "tool_choice.name": "function_call.name",
    "max_output_tokens": "max_completion_tokens",
}

#: body of an error answer -> message, type, param and code of the client's error (status 400).
BODIES: list[tuple[Any, tuple[str, str, str | None, str | None]]] = [
    (
        {"error": {"message": "No.", "type": "invalid_request_error", "param": "input", "code": "bad"}},
        ("No.", "invalid_request_error", "messages", "bad"),
    ),
    ({"error": {"message": "No.", "code": 17}}, ("No.", "invalid_request_error", None, "17")),
    (
        {"error": {"code": "bad"}},
        ("The upstream failed and did not say why (status 400).", "invalid_request_error", None, "bad"),
    ),
    ({"error": "No."}, ("No.", "invalid_request_error", None, None)),
    ({"detail": "No."}, ("No.", "invalid_request_error", None, None)),
    (
        {
            "detail": [
                {"loc": ["body", "model"], "msg": "Field required"},
                {"msg": "Too long"},
                {"loc": 1, "msg": "Odd"},
                5,
            ]
        },
        ("body.model: Field required; Too long; Odd", "invalid_request_error", None, None),
    ),
    (
        {"object": "error", "message": "No.", "type": "BadRequestError", "param": None, "code": 400},
        ("No.", "BadRequestError", None, "400"),
    ),
    ({"type": "error", "error": {"type": "overloaded", "message": "No."}}, ("No.", "overloaded", None, None)),
    ([{"error": {"message": "No.", "code": 400, "status": "INVALID"}}], ("No.", "invalid_request_error", None, "400")),
    ({"title": "Bad Request", "status": 400}, ("Bad Request", "invalid_request_error", None, None)),
]

#: error event or failed response's error -> status, type and code of the client's error.
EVENTS: list[tuple[Any, tuple[int, str, str | None]]] = [
    ({"code": "rate_limit_exceeded", "message": "m"}, (429, "rate_limit_error", "rate_limit_exceeded")),
    ({"code": "insufficient_quota", "message": "m"}, (429, "insufficient_quota", "insufficient_quota")),
    ({"code": "server_error", "message": "m"}, (500, "server_error", "server_error")),
    ({"code": "vector_store_timeout", "message": "m"}, (504, "api_error", "vector_store_timeout")),
    ({"code": "invalid_prompt", "message": "m"}, (400, "invalid_request_error", "invalid_prompt")),
    (
        {"code": "image_content_policy_violation", "message": "m"},
        (400, "invalid_request_error", "image_content_policy_violation"),
    ),
    ({"code": "never_heard_of", "message": "m"}, (500, "server_error", "never_heard_of")),
    ({"code": 429, "message": "m"}, (429, "rate_limit_error", "429")),
    ({"code": "503", "message": "m"}, (503, "server_error", "503")),
    ({"code": None, "message": "m", "status": 401}, (401, "invalid_request_error", None)),
    ({"error": {"type": "insufficient_quota", "code": None, "message": "m"}}, (429, "insufficient_quota", None)),
    ({"error": {"type": "invalid_request_error", "code": None, "message": "m"}}, (400, "invalid_request_error", None)),
    ({"error": "text"}, (500, "server_error", None)),
    ({"code": "rate_limit_exceeded"}, (429, "rate_limit_error", "rate_limit_exceeded")),
    (None, (500, "server_error", None)),
    ("odd", (500, "server_error", None)),
    ({"code": ["odd"], "message": {"odd": 1}, "param": 5}, (500, "server_error", None)),
]


class ParamTests(SynchronousTestCase):
    def test_every_param_has_the_clients_name(self) -> None:
        for param, name in PARAMS.items():
            self.assertEqual(chat_param(param, PLAN), name, param)

    def test_a_client_with_functions_has_its_own_names(self) -> None:
        for param, name in LEGACY_PARAMS.items():
            self.assertEqual(chat_param(param, LEGACY), name, param)


class HttpErrorTests(SynchronousTestCase):
    def test_every_form_of_error_body(self) -> None:
        for body, expected in BODIES:
            error = upstream_error(400, "application/json", json.dumps(body).encode(), PLAN)
            self.assertEqual((error.message, error.type, error.param, error.code), expected, body)
            self.assertEqual(error.status, 400)

    def test_the_status_is_kept(self) -> None:
        for status in (400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 529, 599):
            self.assertEqual(upstream_error(status, "application/json", b'{"error":{"message":"m"}}').status, status)

    def test_a_status_that_is_none_of_an_error_becomes_502(self) -> None:
        for status in (301, 304, 199, 600):
            self.assertEqual(upstream_error(status, "application/json", b'{"error":{"message":"m"}}').status, 502)

    def test_a_page_becomes_its_text(self) -> None:
        page = b"<html><head><style>a{}</style><title>503 Sorry</title></head><body><p>Try &amp; wait</p></body></html>"
        error = upstream_error(503, "text/html; charset=utf-8", page)
        self.assertEqual(error.message, "The upstream answered with status 503: 503 Sorry Try & wait")
        self.assertEqual((error.status, error.type, error.code), (503, "server_error", None))

    def test_a_long_text_is_cut(self) -> None:
        error = upstream_error(500, "text/plain", b"x" * 100_000)
        self.assertEqual(error.message, "The upstream answered with status 500: " + "x" * 500 + "…")

    def test_no_body_at_all(self) -> None:
        self.assertEqual(upstream_error(504, "", b"").message, "The upstream answered with status 504.")

    def test_bytes_that_are_no_text(self) -> None:
        self.assertEqual(upstream_error(500, "", b"\xff\x00{").status, 500)

    def test_an_error_in_a_stream(self) -> None:
        raw = b'event: error\ndata: {"error":{"message":"No.","param":"max_output_tokens"}}\n\n'
        error = upstream_error(400, "text/event-stream", raw, PLAN)
        self.assertEqual((error.message, error.param), ("No.", "max_tokens"))


class EventErrorTests(SynchronousTestCase):
    def test_every_form_of_error_event(self) -> None:
        for found, expected in EVENTS:
            error = event_error(found, PLAN)
            self.assertEqual((error.status, error.type, error.code), expected, found)
            self.assertTrue(error.message)

    def test_the_message_and_the_param_are_kept(self) -> None:
        error = event_error({"code": "invalid_prompt", "message": "Why not.", "param": "input"}, PLAN)
        self.assertEqual((error.message, error.param), ("Why not.", "messages"))

    def test_every_code_of_the_schema_has_a_status(self) -> None:
        path = SHARED / "spec" / "openai-api.json"
        if not path.exists():
            raise SkipTest("../shared/spec/openai-api.json is absent")
        for code in json.loads(path.read_text())["components"]["schemas"]["ResponseErrorCode"]["enum"]:
            self.assertTrue(code in STATUS_BY_CODE or "image" in code, code)
            self.assertEqual(event_error({"code": code, "message": "m"}, PLAN).status, STATUS_BY_CODE.get(code, 400))
