"""Who decides whether a request is held to the letter: the operator, or the client for one request."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.settings import Settings
from oaiproxy.web.dialects import STRICT, is_strict
from tests.support import http_answer
from tests.web.test_bridge import JSON, BridgeTestCase, chat, response


def request(*said: str) -> ApiRequest:
    headers = tuple((STRICT, value) for value in said)
    return ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", headers, Body(b"{}"))


class ChoiceTests(SynchronousTestCase):
    def test_without_the_header_the_setting_decides(self) -> None:
        for strict in (True, False):
            self.assertIs(is_strict(request(), Settings(strict=strict)), strict)

    def test_the_header_wins(self) -> None:
        for said, strict in (("true", True), (" False ", False), ("TRUE", True)):
            for setting in (True, False):
                self.assertIs(is_strict(request(said), Settings(strict=setting)), strict)

    def test_of_two_headers_the_last_counts(self) -> None:
        self.assertIs(is_strict(request("false", "true"), Settings()), True)

    def test_a_header_that_says_neither_is_refused(self) -> None:
        error = self.assertRaises(BadRequest, is_strict, request("yes"), Settings())
        self.assertEqual((error.status, error.param, error.code), (400, "x-oaiproxy-strict", "invalid_value"))


class PortTests(BridgeTestCase):
    async def asked(self, settings: Settings, *fields: str) -> tuple[int, bytes, dict[str, Any]]:
        """Send a request with a field that has no counterpart; its status, head and body."""
        self.scripted = self.upstream()
        self.scripted.answers(http_answer(json.dumps(response()).encode(), "200 OK", JSON))
        port = self.bridge(settings)
        status, head, body = await self.ask(port, "POST", "/v1/chat/completions", chat(seed=1), JSON, *fields)
        return status, head.lower(), json.loads(body)

    async def test_a_strict_port_refuses_before_anything_goes_upstream(self) -> None:
        status, _, body = await self.asked(Settings(strict=True))
        self.assertEqual((status, body["error"]["param"]), (400, "seed"))
        self.assertEqual(body["error"]["code"], "unsupported_parameter")
        self.assertEqual(self.scripted.requests, [])

    async def test_a_client_may_be_stricter_than_the_port(self) -> None:
        status, _, body = await self.asked(Settings(), "x-oaiproxy-strict: true")
        self.assertEqual((status, body["error"]["param"]), (400, "seed"))
        self.assertEqual(self.scripted.requests, [])

    async def test_a_client_may_be_content_with_a_warning(self) -> None:
        status, head, _ = await self.asked(Settings(strict=True), "X-Oaiproxy-Strict: false")
        self.assertEqual(status, 200)
        self.assertIn(b"x-oaiproxy-warning: dropped seed (the responses api has no such field)", head)
        self.assertIsNone(self.scripted.requests[0].field("x-oaiproxy-strict"))
