"""What cannot be served is refused in OpenAI's shape, and the service goes on."""

from __future__ import annotations

import json
from typing import Any

from oaiproxy.api.request import PortKind
from tests.support import SocketTestCase

JSON = "Content-Type: application/json"

CHAT = "/v1/chat/completions"

# name, method, path, body, expected status, param, code
CASES: list[tuple[str, str, str, bytes, int, str | None, str | None]] = [
    ("not JSON", "POST", CHAT, b'{"messages": [', 400, None, "invalid_json"),
    ("no body", "POST", CHAT, b"", 400, None, "invalid_json"),
    ("an array", "POST", CHAT, b"[]", 400, None, "invalid_type"),
    ("not UTF-8", "POST", CHAT, b'{"messages": [], "x": "\xff"', 400, None, "invalid_json"),
    ("a nested bomb", "POST", CHAT, b"[" * 100_000, 400, None, "invalid_json"),
    ("no messages", "POST", CHAT, b'{"model": "gpt-4o"}', 400, "messages", "missing_required_parameter"),
    ("messages not a list", "POST", CHAT, b'{"model": "x", "messages": "hi"}', 400, "messages", "invalid_type"),
    ("outside /v1", "GET", "/chat/completions", b"", 404, None, "unknown_path"),
    ("the root", "GET", "/", b"", 404, None, "unknown_path"),
    ("just /v1", "GET", "/v1", b"", 404, None, "unknown_path"),
    ("climbing out", "GET", "/v1/../admin", b"", 400, None, "invalid_path"),
    ("climbing out, escaped", "GET", "/v1/%2e%2e/admin", b"", 400, None, "invalid_path"),
    ("writing the model list", "POST", "/v1/models", b"{}", 405, None, "method_not_allowed"),
    ("an unknown model", "GET", "/v1/models/no-such-model", b"", 404, "model", "model_not_found"),
]

BRIDGE_CASES: list[tuple[str, str, str, bytes, int, str | None, str | None]] = [
    (
        "an unknown role",
        "POST",
        CHAT,
        b'{"model": "gpt-4o", "messages": [{"role": "bot", "content": "x"}]}',
        400,
        "messages[0].role",
        "*",
    ),
    (
        "an unknown part",
        "POST",
        CHAT,
        b'{"model": "gpt-4o", "messages": [{"role": "user", "content": [{"type": "smell"}]}]}',
        400,
        "messages[0].content[0].type",
        "*",
    ),
    ("listing completions", "GET", CHAT, b"", 405, None, "method_not_allowed"),
]


class RefusalTests(SocketTestCase):
    async def refused(self, kind: PortKind, case: tuple[str, str, str, bytes, int, str | None, str | None]) -> None:
        name, method, path, body, status, param, code = case
        got, head, answer = await self.ask(self.port, method, path, body, JSON)
        self.assertEqual(got, status, name)
        self.assertIn(b"Content-Type: application/json", head, name)
        error: dict[str, Any] = json.loads(answer)["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"}, name)
        self.assertEqual(error["type"], "invalid_request_error", name)
        self.assertEqual(error["param"], param, name)
        if code != "*":
            self.assertEqual(error["code"], code, name)
        self.assertTrue(error["message"], name)

    async def check(self, kind: PortKind, cases: list[Any]) -> None:
        upstream = self.upstream()
        self.port = self.proxy(kind)
        for case in cases:
            await self.refused(kind, case)
        self.assertEqual(upstream.requests, [], "nothing of it may reach the upstream")
        status, _, _ = await self.ask(self.port, "POST", "/v1/embeddings", b"{}", JSON)
        self.assertEqual(status, 200, "the service goes on")

    async def test_on_the_passthrough_port(self) -> None:
        await self.check(PortKind.PASSTHROUGH, CASES)

    async def test_on_the_bridge_port(self) -> None:
        await self.check(PortKind.BRIDGE, CASES + BRIDGE_CASES)

    async def test_a_405_names_the_methods_that_are_taken(self) -> None:
        self.upstream()
        _, head, _ = await self.ask(self.proxy(PortKind.BRIDGE), "PUT", CHAT, b"{}")
        self.assertIn(b"\r\nAllow: POST", head)

    async def test_an_upstream_that_is_down_is_a_502(self) -> None:
        self.upstream()
        for kind in PortKind:
            port = self.proxy(kind, upstream_port=1)
            status, _, answer = await self.ask(
                port, "POST", CHAT, b'{"model": "x", "messages": [{"role": "user", "content": "x"}]}'
            )
            self.assertEqual((status, json.loads(answer)["error"]["code"]), (502, "upstream_unreachable"))

    async def test_a_role_that_only_the_upstream_knows_passes_the_passthrough_port(self) -> None:
        upstream = self.upstream()
        body = b'{"messages": [{"role": "ipython", "content": "x"}]}'
        status, _, _ = await self.ask(self.proxy(), "POST", CHAT, body, JSON)
        self.assertEqual((status, upstream.requests[0].body), (200, body))
