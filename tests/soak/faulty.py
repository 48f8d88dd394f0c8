"""Both sides of an exchange, doing wrong: an upstream, a client, and what is asked."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.interfaces import IExchangeObserver, IToolContext, IToolProvider
from tests.support import Received, ScriptedUpstream, UpstreamConnection, http_answer, http_stream
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, chat, delta, response

reactor: Any = global_reactor

_CALL = {"type": "function_call", "id": "fc", "call_id": "c", "name": "nap", "arguments": "{}", "status": "completed"}

STREAM = http_stream(CREATED, ADDED, *(delta(f"word {number} ") for number in range(20)), COMPLETED)
WHOLE = http_answer(json.dumps(response()).encode(), "200 OK", JSON)
CALL = http_answer(json.dumps(response(output=[_CALL])).encode(), "200 OK", JSON)
SOCKET = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + b"x" * 100_000
LARGE = http_stream(*[b"data: " + b"x" * 65_000 + b"\n\n"] * 40)

#: What a client asks for: port, path, body.  `HANDSHAKE` goes with a request for a WebSocket.
QUESTIONS: Sequence[tuple[str, str, bytes]] = (
    ("passthrough", "/v1/responses", b'{"stream":true}'),
    ("passthrough", "/v1/responses", b"{}"),
    ("passthrough", "/v1/files", b"f" * 300_000),
    ("passthrough", "/v1/large", b"{}"),
    ("passthrough", "/v1/socket", b""),
    ("bridge", "/v1/socket", b""),
    ("bridge", "/v1/chat/completions", chat(stream=True)),
    ("bridge", "/v1/chat/completions", chat()),
    ("bridge", "/v1/chat/completions", chat(stream=True, n=3)),
    ("bridge", "/v1/chat/completions", chat(user="tools")),
    ("bridge", "/v1/chat/completions", b"{"),
    ("nowhere", "/v1/responses", b"{}"),
)

HANDSHAKE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

#: What the upstream does: at some byte of its answer, or in place of it.
UPSTREAM = (
    *("whole", "whole", "whole", "slow"),
    *("close", "reset", "stall", "garbage", "silent", "refuse", "break", "last"),
)

#: What the client does.
CLIENT = ("stay", "stay", "stay", "stay", "leave", "reset", "first", "half", "pause", "pipeline", "stop")


@implementer(IToolProvider)
class Nap:
    """A tool that takes its time, sometimes more than it has."""

    name = "nap"
    description = "Sleeps."
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

    def call(self, arguments: dict[str, Any], context: IToolContext) -> Deferred[str]:
        return deferLater(reactor, random.choice((0.0, 0.02, 0.2)), lambda: "slept")


@implementer(IExchangeObserver)
class Nobody:
    """Is told everything, and forgets it."""

    def observe(self, record: dict[str, object]) -> None:
        pass


class FaultyUpstream(ScriptedUpstream):
    """Does to each request what its query says: ``?do=HOW.PERMILLE``."""

    def __init__(self) -> None:
        super().__init__()
        self.script = self._do

    def _do(self, connection: UpstreamConnection, request: Received) -> None:
        target = request.line.split(" ")[1]
        how, permille = target.partition("do=")[2].split(".")
        answer = self._answer(target, request.body)
        at = len(answer) * int(permille) // 1000
        transport: Any = connection.transport
        if "/socket" in target:
            # what the client says on it is no request, and only its end is an end
            connection.dataReceived = lambda data: None  # type: ignore[method-assign]
            reactor.callLater(0.05, connection.close)
        if how in ("silent", "slow"):
            if how == "slow":
                self._dribble(connection, answer)
        elif how == "refuse":
            connection.write(http_answer(b'{"error":{"message":"No.","type":"x"}}', "429 Slow Down", JSON))
        elif how == "break":
            connection.write(http_answer(b"", "500 Broken", "Retry-After: 0"))
        elif how == "last":
            connection.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            connection.close()
        else:
            connection.write(answer if how == "whole" else answer[:at])
            if how == "garbage":
                connection.write(b"\xff\0garbage\r\n\r\n" * 3)
            if how in ("close", "garbage"):
                connection.close()
            elif how == "reset":
                transport.abortConnection()

    @staticmethod
    def _answer(target: str, body: bytes) -> bytes:
        if "/large" in target:
            return LARGE
        if "/socket" in target:
            return SOCKET
        if b'"stream":true' in body or b'"stream": true' in body:
            return STREAM
        return CALL if b'"nap"' in body and b"function_call_output" not in body and b"tools" in body else WHOLE

    @staticmethod
    def _dribble(connection: UpstreamConnection, answer: bytes) -> None:
        size = len(answer) // 5 + 1

        def go_on(at: int) -> None:
            if connection.lost.called:
                return
            connection.write(answer[at : at + size])
            if at + size < len(answer):
                reactor.callLater(0.005, go_on, at + size)

        go_on(0)


class Client(Protocol):
    """A client that does wrong.

    @ivar began: fires when something has come, or the connection has ended.
    @ivar ended: fires when the connection has ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.began: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if not self.began.called:
            self.began.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.dataReceived(b"")
        self.ended.callback(None)
