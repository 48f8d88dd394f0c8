"""``POST /proxy``: the API in one endpoint."""

from __future__ import annotations

import json
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.plugins.model_rules import model_rules
from oaiproxy.plugins.parameter_rules import parameter_rules
from oaiproxy.rules.params import ParameterRules, RuleBook
from oaiproxy.settings import Access, AuthMode, Settings, TargetApi
from tests.support import http_answer, http_stream
from tests.web.asking import Answer, AskingTestCase
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, delta, response

RESPONSES, COMPLETIONS = TargetApi.RESPONSES, TargetApi.COMPLETIONS
COMPLETION = b'{"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "odd": 1.50}'


class OneEndpointTestCase(AskingTestCase):
    def port(self, target: TargetApi, kind: PortKind = PortKind.PASSTHROUGH, **settings: Any) -> int:
        self.scripted = self.upstream()
        answer = json.dumps(response()).encode() if target is RESPONSES else COMPLETION
        self.scripted.answers(http_answer(answer, "200 OK", JSON))
        return self.proxy(kind, Settings(target_api=target, **settings), transforms=(model_rules, parameter_rules))

    async def ask_it(self, port: int, body: dict[str, Any], *fields: str, path: str = "/proxy") -> Answer:
        return await self.asks(port, f"POST {path}", *fields, body=json.dumps(body).encode())

    def sent(self) -> tuple[str, dict[str, Any]]:
        (request,) = self.scripted.requests
        return request.line.split(" ")[1], json.loads(request.body)


class ResponsesTests(OneEndpointTestCase):
    async def test_a_prompt_is_answered_with_a_completion_on_both_kinds_of_port(self) -> None:
        for kind in PortKind:
            for path in ("/proxy", "/proxy/", "/v1/proxy"):
                port = self.port(RESPONSES, kind)
                answer = await self.ask_it(
                    port, {"model": "gpt-4o", "prompt": "Hi", "max_tokens": 50}, "X-API-KEY: sk-1", path=path
                )
                self.assertEqual(answer.status, 200, answer.body)
                completion = json.loads(answer.body)
                self.assertEqual(completion["object"], "chat.completion")
                self.assertEqual(completion["choices"][0]["message"]["content"], "Hello")
                path_sent, body = self.sent()
                self.assertEqual(path_sent, "/v1/responses")
                self.assertEqual((body["model"], body["max_output_tokens"]), ("gpt-4o", 50))
                self.assertNotIn("prompt", body)
                self.assertIn('"Hi"', json.dumps(body["input"]))
                self.assertEqual(self.scripted.requests[0].field("authorization"), "Bearer sk-1")

    async def test_messages_are_too(self) -> None:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
        answer = await self.ask_it(self.port(RESPONSES), {"model": "gpt-4o", "messages": messages})
        self.assertEqual(answer.status, 200)
        self.assertEqual(len(json.dumps(self.sent()[1]).split("Be brief.")), 2)

    async def test_a_stream_is_one_of_chunks(self) -> None:
        port = self.port(RESPONSES)
        self.scripted.answers(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED))
        answer = await self.ask_it(port, {"model": "gpt-4o", "prompt": "Hi", "stream": True})
        self.assertEqual(answer.fields["content-type"], "text/event-stream; charset=utf-8")
        self.assertIn(b'"object":"chat.completion.chunk"', answer.body)
        self.assertIn(b'"content":"Hello"', answer.body)
        self.assertTrue(answer.body.endswith(b"data: [DONE]\n\n"))

    async def test_an_error_keeps_its_status_and_its_object(self) -> None:
        port = self.port(RESPONSES)
        given = {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        self.scripted.answers(http_answer(json.dumps({"error": given}).encode(), "429 Too Many Requests", JSON))
        answer = await self.ask_it(port, {"model": "gpt-4o", "prompt": "Hi"})
        self.assertEqual((answer.status, answer.error), (429, given))


class CompletionsTests(OneEndpointTestCase):
    async def test_a_chat_goes_on_as_it_is_on_both_kinds_of_port(self) -> None:
        for kind in PortKind:
            answer = await self.ask_it(
                self.port(COMPLETIONS, kind),
                {"model": "local", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50, "top_k": 3},
                path="/proxy?key=not-for-upstream",
            )
            self.assertEqual((answer.status, answer.body), (200, COMPLETION))
            path, body = self.sent()
            self.assertEqual(path, "/v1/chat/completions")
            self.assertEqual(
                body,
                {"model": "local", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50, "top_k": 3},
            )

    async def test_a_prompt_is_one_user_message(self) -> None:
        port = self.port(COMPLETIONS)
        await self.ask_it(port, {"model": "local", "prompt": "Hi"}, "Content-Type: text/plain")
        self.assertEqual(self.sent()[1], {"model": "local", "messages": [{"role": "user", "content": "Hi"}]})
        self.assertEqual(self.scripted.requests[0].field("content-type"), "application/json")

    async def test_a_prompt_that_is_null_is_none(self) -> None:
        messages = [{"role": "user", "content": "Hi"}]
        await self.ask_it(self.port(COMPLETIONS), {"model": "local", "prompt": None, "messages": messages})
        self.assertEqual(self.sent()[1], {"model": "local", "messages": messages})

    async def test_the_limit_is_called_what_the_model_takes(self) -> None:
        for model, given, sent in [
            ("gpt-5.1", {"max_tokens": 5}, {"max_completion_tokens": 5}),
            ("gpt-5.1", {"max_tokens": 5, "max_completion_tokens": 6}, {"max_completion_tokens": 6}),
            ("gpt-5.1", {"max_completion_tokens": 6}, {"max_completion_tokens": 6}),
            ("gpt-4o", {"max_tokens": 5}, {"max_tokens": 5}),
            ("local", {"max_tokens": 5}, {"max_tokens": 5}),
        ]:
            await self.ask_it(self.port(COMPLETIONS), {"model": model, "prompt": "Hi", **given})
            body = self.sent()[1]
            self.assertEqual({name: body[name] for name in body if name.startswith("max_")}, sent, (model, given))

    async def test_a_stream_arrives_as_it_came(self) -> None:
        port = self.port(COMPLETIONS)
        self.scripted.answers(http_stream(b"data: {}\n\n", b"data: [DONE]\n\n"))
        answer = await self.ask_it(port, {"model": "local", "prompt": "Hi", "stream": True})
        self.assertEqual(answer.body, b"data: {}\n\ndata: [DONE]\n\n")

    async def test_an_error_is_upstream_s_word_for_word(self) -> None:
        port = self.port(COMPLETIONS)
        self.scripted.answers(http_answer(b"out of memory", "507 Full", "Content-Type: text/plain", "Retry-After: 3"))
        answer = await self.ask_it(port, {"model": "local", "prompt": "Hi"})
        self.assertEqual((answer.status, answer.body), (507, b"out of memory"))
        self.assertEqual(answer.fields["retry-after"], "3")


class RuleTests(OneEndpointTestCase):
    async def test_the_default_model_fills_in_and_the_rules_hold(self) -> None:
        rules = RuleBook(everywhere=ParameterRules(defaults={"temperature": 0.5}), default_model="gpt-4o")
        for target in TargetApi:
            for kind in PortKind:
                port = self.port(target, kind, rules=rules)
                answer = await self.ask_it(port, {"prompt": "Hi"})
                self.assertEqual(answer.status, 200, answer.body)
                body = self.sent()[1]
                self.assertEqual((body["model"], body["temperature"]), ("gpt-4o", 0.5), (target, kind))

    async def test_what_was_changed_is_said(self) -> None:
        rules = RuleBook(everywhere=ParameterRules(drop=("seed",)))
        for target in TargetApi:
            answer = await self.ask_it(self.port(target, rules=rules), {"model": "m", "prompt": "Hi", "seed": 1})
            self.assertIn("seed", answer.fields["x-oaiproxy-warning"])

    async def test_a_proxy_key_is_shown_and_stays_here(self) -> None:
        access = Access(AuthMode.REPLACE, (Secret("team-key"),), Secret("sk-ours"))
        port = self.port(COMPLETIONS, access=access)
        self.assertEqual((await self.ask_it(port, {"model": "m", "prompt": "Hi"})).status, 401)
        answer = await self.ask_it(port, {"model": "m", "prompt": "Hi"}, "X-API-KEY: team-key")
        self.assertEqual(answer.status, 200)
        (request,) = self.scripted.requests
        self.assertEqual((request.field("authorization"), request.field("x-api-key")), ("Bearer sk-ours", None))


class RefusalTests(OneEndpointTestCase):
    async def test_what_cannot_be_understood_is_refused(self) -> None:
        messages = [{"role": "user", "content": "Hi"}]
        for target in TargetApi:
            port = self.port(target)
            for body, param in [
                (b"{", None),
                (b"[]", None),
                (b'{"model": "m"}', "messages"),
                (b'{"model": "m", "prompt": null}', "messages"),
                (b'{"model": "m", "prompt": 3}', "prompt"),
                (b'{"model": "m", "prompt": ["a", "b"]}', "prompt"),
                (json.dumps({"model": "m", "prompt": "a", "messages": messages}).encode(), "prompt"),
            ]:
                answer = await self.asks(port, "POST /proxy", body=body)
                self.assertEqual((answer.status, answer.error["param"]), (400, param), body)
            self.assertEqual(self.scripted.requests, [])

    async def test_it_takes_post_only(self) -> None:
        answer = await self.asks(self.port(RESPONSES), "GET /proxy")
        self.assertEqual((answer.status, answer.fields["allow"]), (405, "POST"))

    async def test_what_is_below_it_is_somebody_else_s(self) -> None:
        port = self.port(RESPONSES)
        self.assertEqual((await self.asks(port, "POST /proxy/x", body=b"{}")).status, 404)
        await self.asks(port, "POST /v1/proxy/x", body=b"{}")
        self.assertEqual(self.sent()[0], "/v1/proxy/x")
