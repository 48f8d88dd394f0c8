"""The error object and what it is rendered as."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api import errors
from oaiproxy.api.errors import ApiError, BadRequest, MethodNotAllowed

#: exception -> its status, type and code when nothing else is said.
DEFAULTS: dict[type[ApiError], tuple[int, str, str | None]] = {
    errors.ApiError: (500, "api_error", None),
    errors.BadRequest: (400, "invalid_request_error", None),
    errors.NotFound: (404, "invalid_request_error", None),
    errors.UpstreamUnreachable: (502, "api_error", "upstream_unreachable"),
    errors.UpstreamIncomplete: (502, "api_error", "upstream_incomplete"),
    errors.UpstreamInvalid: (502, "api_error", "upstream_invalid_response"),
    errors.UpstreamTimeout: (504, "api_error", "upstream_timeout"),
}


class ErrorTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        for kind, (status, type, code) in DEFAULTS.items():
            error = kind("Oh.")
            self.assertEqual((error.status, error.type, error.code, error.param), (status, type, code, None), kind)

    def test_what_is_said_replaces_the_defaults(self) -> None:
        error = BadRequest("Oh.", status=422, type="t", param="messages", code="c", headers={"Retry-After": "1"})
        self.assertEqual((error.status, error.type, error.param, error.code), (422, "t", "messages", "c"))
        self.assertEqual(error.headers, {"Retry-After": "1"})
        self.assertEqual(str(error), "Oh.")

    def test_the_body_has_all_four_fields(self) -> None:
        self.assertEqual(
            json.loads(BadRequest("Oh.", param="model").body()),
            {"error": {"message": "Oh.", "type": "invalid_request_error", "param": "model", "code": None}},
        )

    def test_the_event_is_a_data_line_alone(self) -> None:
        error = ApiError("a\nb")
        self.assertEqual(error.event(), b"data: " + error.body() + b"\n\n")
        self.assertEqual(error.event().count(b"\n"), 2)

    def test_a_method_that_is_not_allowed_comes_with_those_that_are(self) -> None:
        error = MethodNotAllowed("Oh.", ("GET", "POST"))
        self.assertEqual((error.status, error.code, error.headers), (405, "method_not_allowed", {"Allow": "GET, POST"}))
