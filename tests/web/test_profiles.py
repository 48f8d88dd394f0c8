"""Client profiles at work: what each client gets for the same question."""

from __future__ import annotations

import json
from typing import Any

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.settings import Settings
from tests.support import ScriptedUpstream, SocketTestCase, http_answer

JSON = "Content-Type: application/json"
#: Chosen by name only: an error that looks like an answer is nobody's default.
IN_CHAT = "x-oaiproxy-profile: xcode-errors-in-chat"
XCODE = "User-Agent: Xcode/24577 CFNetwork/3860.300.31 Darwin/25.2.0"
CHERRY = (
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "CherryStudio/1.7.13 Chrome/140.0.7339.249 Electron/38.7.0 Safari/537.36"
)
CODEX = "User-Agent: codex_cli_rs/0.149.1 (Ubuntu 22.4.0; x86_64) xterm-256color"
OPENAI_JS = "User-Agent: OpenAI/JS 6.49.0"

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.1",
    "status": "completed",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        },
    ],
    "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
}
WRONG_KEY = {
    "message": "Incorrect API key provided.",
    "type": "invalid_request_error",
    "param": None,
    "code": "bad_key",
}
SAID = "The request failed (401, bad_key): Incorrect API key provided."


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt-5.1", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()


class ProfileTestCase(SocketTestCase):
    def answering(self) -> ScriptedUpstream:
        upstream = self.upstream()
        upstream.answers(http_answer(json.dumps(RESPONSE).encode(), "200 OK", JSON))
        return upstream

    async def post(
        self, body: bytes, *fields: str, settings: Settings | None = None, kind: PortKind = PortKind.BRIDGE
    ) -> tuple[int, bytes, bytes]:
        return await self.ask(self.proxy(kind, settings), "POST", "/v1/chat/completions", body, JSON, *fields)

    async def message(self, *fields: str, settings: Settings | None = None) -> dict[str, Any]:
        self.answering()
        status, _, body = await self.post(chat(), *fields, settings=settings)
        self.assertEqual(status, 200, body)
        message: dict[str, Any] = json.loads(body)["choices"][0]["message"]
        return message


class ReasoningFieldTests(ProfileTestCase):
    async def test_it_is_the_one_of_the_client_s_profile(self) -> None:
        for fields, name in (
            ([XCODE], None),
            ([CHERRY], "reasoning_content"),
            ([OPENAI_JS], "reasoning_content"),
            ([], "reasoning_content"),
            ([OPENAI_JS, "X-Oaiproxy-Profile: openrouter"], "reasoning"),
            ([XCODE, "x-oaiproxy-profile: Default"], "reasoning_content"),
        ):
            message = await self.message(*fields)
            found = [key for key in ("reasoning", "reasoning_content") if message.get(key)]
            self.assertEqual(found, [name] if name else [], fields)
            self.assertEqual(message["content"], "Hello")

    async def test_the_profile_of_the_settings_is_for_all(self) -> None:
        message = await self.message(CHERRY, settings=Settings(profile="openrouter"))
        self.assertEqual((message["reasoning"], "reasoning_content" in message), ("Hm.", False))

    async def test_the_header_wins_over_the_settings(self) -> None:
        message = await self.message("x-oaiproxy-profile: xcode", settings=Settings(profile="openrouter"))
        self.assertNotIn("reasoning", message)

    async def test_the_operator_s_reasoning_field_wins_over_every_profile(self) -> None:
        settings = Settings(reasoning_field=ReasoningField.REASONING_CONTENT, profile="openrouter")
        for fields in ([XCODE], ["x-oaiproxy-profile: openrouter"]):
            self.assertEqual((await self.message(*fields, settings=settings))["reasoning_content"], "Hm.")


class HeaderTests(ProfileTestCase):
    async def test_it_does_not_go_upstream(self) -> None:
        for kind in PortKind:
            upstream = self.answering()
            await self.post(chat(), "X-OAIproxy-Profile: xcode", kind=kind)
            self.assertIsNone(upstream.requests[0].field("x-oaiproxy-profile"))

    async def test_an_unknown_name_is_a_400_that_names_the_known(self) -> None:
        for kind in PortKind:
            upstream = self.upstream()
            status, _, body = await self.post(chat(), "x-oaiproxy-profile: netscape", kind=kind)
            error = json.loads(body)["error"]
            self.assertEqual((status, error["code"], error["param"]), (400, "unknown_profile", "x-oaiproxy-profile"))
            self.assertIn("'netscape' is none of the client profiles default, xcode, ", error["message"])
            self.assertEqual(upstream.requests, [])

    async def test_an_unknown_name_is_refused_for_the_model_list_too(self) -> None:
        self.upstream()
        status, _, body = await self.ask(self.proxy(), "GET", "/v1/models", b"", "x-oaiproxy-profile: netscape")
        self.assertEqual((status, json.loads(body)["error"]["code"]), (400, "unknown_profile"))

    async def test_an_empty_one_says_nothing(self) -> None:
        self.assertNotIn("reasoning_content", await self.message(XCODE, "x-oaiproxy-profile:"))


class ModelListTests(ProfileTestCase):
    async def listed(self, *fields: str) -> dict[str, Any]:
        self.upstream()
        status, _, body = await self.ask(self.proxy(PortKind.BRIDGE), "GET", "/v1/models?", b"", *fields)
        self.assertEqual(status, 200)
        found: dict[str, Any] = json.loads(body)
        return found

    async def test_it_is_exactly_the_api_s(self) -> None:
        for fields in ([], [XCODE], [CHERRY], ["User-Agent: n8n"]):
            found = await self.listed(*fields)
            self.assertEqual(set(found), {"object", "data"})
            self.assertTrue(found["data"])
            for entry in found["data"]:
                self.assertEqual(set(entry), {"id", "object", "created", "owned_by"})
                self.assertIsInstance(entry["created"], int)

    async def test_codex_finds_the_field_it_wants_beside_it(self) -> None:
        plain, found = await self.listed(), await self.listed(CODEX)
        self.assertEqual(found, {**plain, "models": []})


class ErrorTests(ProfileTestCase):
    def failing(self) -> None:
        body = json.dumps({"error": WRONG_KEY}).encode()
        self.upstream().answers(http_answer(body, "401 Unauthorized", JSON, "X-Request-Id: req_1"))

    async def test_others_get_the_error_object_and_its_status(self) -> None:
        self.failing()
        status, head, body = await self.post(chat(), CHERRY)
        self.assertEqual((status, json.loads(body)["error"]), (401, WRONG_KEY))
        self.assertNotIn(b"x-oaiproxy-error", head.lower())

    async def test_who_chose_it_gets_it_said_in_the_chat(self) -> None:
        self.failing()
        status, head, body = await self.post(chat(), IN_CHAT)
        self.assertEqual((status, json.loads(body)["choices"][0]["message"]["content"]), (200, SAID))
        self.assertIn(b"x-oaiproxy-error: 401", head.lower())
        self.assertIn(b"x-request-id: req_1", head.lower())

    async def test_who_chose_it_gets_it_said_in_the_stream_it_asked_for(self) -> None:
        self.failing()
        status, head, body = await self.post(chat(stream=True), IN_CHAT)
        self.assertEqual(status, 200)
        self.assertIn(b"text/event-stream", head)
        self.assertIn(SAID.encode(), body)
        self.assertTrue(body.endswith(b"data: [DONE]\n\n"), body)

    async def test_what_the_proxy_itself_refuses_is_said_as_well(self) -> None:
        self.upstream()
        _, head, body = await self.post(chat(messages=[{"role": "bot", "content": "Hi"}]), IN_CHAT)
        self.assertIn("(field: messages[0].role)", json.loads(body)["choices"][0]["message"]["content"])
        self.assertIn(b"x-oaiproxy-error: 400", head.lower())

    async def test_a_body_that_cannot_be_read_is_answered_too(self) -> None:
        self.upstream()
        _, _, body = await self.post(b"{", IN_CHAT)
        self.assertIn("not valid JSON", json.loads(body)["choices"][0]["message"]["content"])

    async def test_on_other_paths_and_the_passthrough_port_errors_are_the_api_s(self) -> None:
        self.failing()
        port = self.proxy(PortKind.BRIDGE)
        status, _, _ = await self.ask(port, "POST", "/v1/responses", b"{}", JSON, IN_CHAT)
        self.assertEqual(status, 401)
        status, _, _ = await self.ask(port, "GET", "/v1/models/none", b"", IN_CHAT)
        self.assertEqual(status, 404)
        self.failing()
        status, _, body = await self.post(chat(), IN_CHAT, kind=PortKind.PASSTHROUGH)
        self.assertEqual((status, json.loads(body)["error"]), (401, WRONG_KEY))


class OddBodyTests(ProfileTestCase):
    EMPTY = ({"role": "user", "content": []}, {"role": "user", "content": "Hi"})

    async def sent(self, body: bytes, *fields: str) -> dict[str, Any]:
        upstream = self.answering()
        status, _, answer = await self.post(body, *fields)
        self.assertEqual(status, 200, answer)
        sent: dict[str, Any] = json.loads(upstream.requests[0].body)
        return sent

    async def test_empty_messages_are_cursor_s_alone(self) -> None:
        sent = await self.sent(chat(messages=self.EMPTY), "x-oaiproxy-profile: cursor")
        self.assertEqual(sent["input"], [{"role": "user", "content": "Hi"}])
        for fields in ([], [CHERRY], [OPENAI_JS]):
            self.upstream()
            status, _, body = await self.post(chat(messages=self.EMPTY), *fields)
            self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "messages[0].content"))

    async def test_xcode_s_request(self) -> None:
        parts = [{"type": "text", "text": "Where am I?"}]
        body = chat(
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}],
            tools=[],
            stream=False,
            stream_options={"include_usage": True},
        )
        sent = await self.sent(body, XCODE, "Accept: application/json")
        self.assertEqual(
            sent["input"],
            [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "input_text", "text": "Where am I?"}]},
            ],
        )
        self.assertNotIn("tools", sent)

    async def test_cursor_s_request(self) -> None:
        body = json.dumps(
            {
                "model": "gpt-5.1",
                "messages": [],
                "input": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "List."}]},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Shell", "input": {}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}]},
                ],
                "tools": [{"name": "Shell", "description": "Runs.", "input_schema": {"type": "object"}}],
                "tool_choice": "auto",
                "reasoning": {"effort": "low"},
            }
        ).encode()
        sent = await self.sent(body)
        self.assertEqual(
            sent["input"],
            [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "input_text", "text": "List."}]},
                {"type": "function_call", "call_id": "t1", "name": "Shell", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "t1", "output": "a.py"},
            ],
        )
        self.assertEqual(
            sent["tools"],
            [
                {
                    "type": "function",
                    "name": "Shell",
                    "description": "Runs.",
                    "parameters": {"type": "object"},
                    "strict": False,
                }
            ],
        )

    async def test_jetbrains_s_wish_for_http_2_is_answered_in_http_1(self) -> None:
        upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQ")
        upstream = self.answering()
        client = await self.client(self.proxy(PortKind.BRIDGE))
        client.post("/v1/chat/completions", chat(), JSON, *upgrade)
        received = await client.until(b'"total_tokens":4')
        self.assertTrue(received.startswith(b"HTTP/1.1 200 "), received[:80])
        for name in ("upgrade", "http2-settings"):
            self.assertIsNone(upstream.requests[0].field(name))

    async def test_langchain_s_request_as_n8n_makes_it(self) -> None:
        body = chat(
            temperature=1,
            n=1,
            stream=False,
            frequency_penalty=0,
            presence_penalty=0,
            logit_bias=None,
            stop=None,
            user=None,
            response_format={"type": "text"},
        )
        self.answering()
        status, head, _ = await self.post(body, "User-Agent: langchainjs-openai/1.0.0 ((node/v24.16.0; linux; x64))")
        self.assertEqual(status, 200)
        self.assertNotIn(b"x-oaiproxy-warning", head.lower())
