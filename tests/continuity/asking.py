"""Requests to the strict upstream, without HTTP and without a proxy."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.continuity.turns import TOOLS, Turn
from tests.continuity.upstream import StrictResponses

ENCRYPTED = "reasoning.encrypted_content"

_TOOLS = [
    {"type": "web_search"},
    *({"type": tool["type"], **tool[tool["type"]]} for tool in TOOLS),
]

HELLO = {"role": "user", "content": "Hello"}


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Output items as input items."""
    return [
        {name: value for name, value in item.items() if name not in ("id", "status") and value is not None}
        for item in items
    ]


def without_status(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Output items as input items that keep their ids."""
    return [
        {name: value for name, value in item.items() if name != "status" or item["type"] != "reasoning"}
        for item in items
    ]


def results(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs of the calls among some items."""
    kinds = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
    return [
        {"type": kinds[item["type"]], "call_id": item["call_id"], "output": "42"}
        for item in items
        if item["type"] in kinds
    ]


def events(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream."""
    return [json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: ")]


class StrictTestCase(SynchronousTestCase):
    """A strict upstream, and what it is asked."""

    def start(self, *turns: Turn, **options: bool) -> StrictResponses:
        self.upstream = StrictResponses(turns, **options)
        return self.upstream

    def post(self, input: Any, account: str = "acme", **fields: Any) -> tuple[int, Any]:
        """Status and JSON of the answer to a request that is stateless unless it says otherwise."""
        body = {
            "model": "gpt-5.6",
            "input": input,
            "store": False,
            "include": [ENCRYPTED],
            "tools": _TOOLS,
            **fields,
        }
        body = {name: value for name, value in body.items() if value is not None}
        answer = self.upstream.answer(json.dumps(body).encode(), account)
        return answer.status, events(answer.body) if answer.body.startswith(b"event") else json.loads(answer.body)

    def output(self, input: Any, account: str = "acme", **fields: Any) -> list[dict[str, Any]]:
        """The output items of the answer; the request has to be taken."""
        status, answer = self.post(input, account, **fields)
        self.assertEqual(status, 200, answer)
        items: list[dict[str, Any]] = answer["output"]
        return items

    def refusal(self, input: Any, account: str = "acme", **fields: Any) -> tuple[int, str | None, str | None, str]:
        """Status, code, param and message of a refusal."""
        status, answer = self.post(input, account, **fields)
        self.assertGreaterEqual(status, 400, answer)
        error = answer["error"]
        self.assertEqual(error["type"], "invalid_request_error")
        return status, error["code"], error["param"], error["message"]
