"""Requests that upstream refuses for something the proxy added: sent again without it, through real sockets."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from oaiproxy.api.request import PortKind
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.reasoning_default import reasoning_default
from oaiproxy.plugins.web_search_default import web_search_default
from tests.support import Received, SocketTestCase, UpstreamConnection, http_answer, http_stream
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, chat, delta, event, response


def refusal(param: str, message: str = "No.") -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_value"}
    return http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON)


class HealingTests(SocketTestCase):
    def setUp(self) -> None:
        self.refused: dict[str, bytes] = {}
        self.scripted = self.upstream()
        self.scripted.script = self.answer
        self.port = self.proxy(PortKind.BRIDGE, transforms=(model_alias, reasoning_default, web_search_default))

    def answer(self, connection: UpstreamConnection, received: Received) -> None:
        """Refuse what is to be refused, and answer everything else."""
        body = json.loads(received.body)
        for field, refused in self.refused.items():
            value = body
            for name in field.split("."):
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                connection.write(refused)
                return
        if body.get("stream"):
            connection.write(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED))
        else:
            connection.write(http_answer(json.dumps(response()).encode(), "200 OK", JSON))

    async def status(self, **fields: Any) -> int:
        body = chat(**fields)
        status, self.head, self.body = await self.ask(self.port, "POST", "/v1/chat/completions", body, JSON)
        return status

    def sent(self) -> list[dict[str, Any]]:
        """The bodies that reached upstream since the last time."""
        bodies = [json.loads(request.body) for request in self.scripted.requests]
        self.scripted.requests.clear()
        return bodies

    async def test_it_is_sent_again_without_what_was_refused(self) -> None:
        self.refused = {"reasoning.summary": refusal("reasoning.summary")}
        self.assertEqual(await self.status(), 200)
        self.assertEqual(
            [body.get("reasoning") for body in self.sent()],
            [{"effort": "medium", "summary": "auto"}, {"effort": "medium"}],
        )
        self.assertIn(b'"Hello"', self.body)

    async def test_the_lesson_is_kept_for_the_model(self) -> None:
        self.refused = {"tools": refusal("tools", "web_search is not supported with this model")}
        self.assertEqual([await self.status(), await self.status()], [200, 200])
        self.assertEqual([("tools" in body) for body in self.sent()], [True, False, False])
        await self.status(model="gpt-5")
        self.assertEqual([("tools" in body) for body in self.sent()], [True, False])

    async def test_several_things_are_left_out_one_after_the_other(self) -> None:
        self.refused = {"tools": refusal("tools"), "reasoning": refusal("reasoning")}
        self.assertEqual(await self.status(), 200)
        self.assertEqual(
            [("tools" in body, "reasoning" in body) for body in self.sent()],
            [(True, True), (False, True), (False, False)],
        )

    async def test_streams_too_whether_refused_by_status_or_by_an_event(self) -> None:
        failed = {"type": "invalid_request_error", "code": "unsupported_value", "message": "No.", "param": "reasoning"}
        for refused in (refusal("reasoning"), http_stream(CREATED, event("error", error=failed))):
            self.refused = {"reasoning": refused}
            self.assertEqual(await self.status(stream=True, model=f"gpt-5.{len(refused) % 2 + 1}"), 200)
            self.assertIn(b"[DONE]", self.body)
            self.assertEqual([("reasoning" in body) for body in self.sent()], [True, False])

    async def test_what_the_client_asked_for_is_refused_as_upstream_refused_it(self) -> None:
        self.refused = {"reasoning": refusal("reasoning.effort", "No such effort.")}
        self.assertEqual(await self.status(reasoning_effort="low", tools=None), 400)
        error = json.loads(self.body)["error"]
        self.assertEqual((error["param"], error["message"]), ("reasoning_effort", "No such effort."))
        # the summary was the proxy's, and leaving it out was tried
        self.assertLessEqual(len(self.sent()), 2)

    async def test_nothing_is_learnt_of_what_did_not_help(self) -> None:
        self.refused = {"model": refusal("reasoning", "It is never right.")}
        self.assertEqual(await self.status(), 400)
        self.sent()
        self.refused = {}
        self.assertEqual(await self.status(), 200)
        self.assertIn("reasoning", self.sent()[0])

    async def test_it_is_said_in_the_log_without_the_client_s_words(self) -> None:
        self.refused = {"tools": refusal("tools", "web_search: no")}
        lines: list[str] = []

        def observe(logged: Any) -> None:
            lines.append(formatEvent(logged))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        await self.status()
        said = "\n".join(lines)
        self.assertIn("web_search", said)
        self.assertIn("from now on web_search is not added to requests for gpt-5.1", said)
        self.assertNotIn("Hi", said)
