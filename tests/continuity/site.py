"""The strict upstream over HTTP, for real sockets and for those in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.continuity.upstream import Answer


class Answers(Protocol):
    """What can stand behind the site: the strict upstream, or recordings."""

    def answer(self, body: bytes, account: str) -> Answer:
        """Answer a request."""


def _error(message: str, code: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return json.dumps({"error": error}).encode()


class ResponsesResource(Resource):
    """``POST /v1/responses``."""

    isLeaf = True

    def __init__(self, upstream: Answers, accounts: Mapping[str, str] | None = None) -> None:
        """
        @param upstream: what answers.
        @param accounts: key -> whose it is; where None each key is an account of its own.
        """
        super().__init__()
        self._upstream = upstream
        self._accounts = accounts

    def render(self, request: Any) -> Any:
        """Answer; a key that nobody has is refused."""
        key = (request.getHeader("authorization") or "").removeprefix("Bearer ")
        account = key if self._accounts is None else self._accounts.get(key, "")
        if not account:
            answer = Answer(401, _error("Incorrect API key provided.", "invalid_api_key"))
        elif request.method != b"POST" or request.path != b"/v1/responses":
            answer = Answer(404, _error("Unknown request URL.", "unknown_url"))
        else:
            answer = self._upstream.answer(request.content.read(), account)
        request.setResponseCode(answer.status)
        request.setHeader(b"content-type", answer.content_type.encode())
        if answer.cut:
            request.write(answer.body)
            request.transport.loseConnection()
            return NOT_DONE_YET
        request.setHeader(b"content-length", b"%d" % len(answer.body))
        return answer.body


class _QuietSite(Site):
    def log(self, request: Any) -> None:
        """Nobody reads it."""


def strict_site(upstream: Answers, accounts: Mapping[str, str] | None = None, clock: Any = None) -> Any:
    """A `Site` with an upstream behind it, to listen with or to speak to in memory.

    @param accounts: key -> whose it is; where None each key is an account of its own.
    @param clock: tells the time where it is not the real one that counts.
    """
    site = _QuietSite(ResponsesResource(upstream, accounts), timeout=None, **({"reactor": clock} if clock else {}))
    site.noisy = False
    site.displayTracebacks = False
    return site
