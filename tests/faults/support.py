"""Upstreams that die, and the eye of a client that takes nothing on trust."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support import Received, SocketTestCase, UpstreamConnection

#: So many exchanges are under way at once.
AT_ONCE = 64


def send_now(connection: UpstreamConnection, data: bytes) -> None:
    """Give bytes to the kernel at once, so that a reset that follows does not take them back."""
    transport: Any = connection.transport
    while data:
        data = data[transport.getHandle().send(data) :]


@dataclass(frozen=True)
class Seen:
    """An answer as a client sees it that believes only what is proved.

    @ivar status: its status; 0 where not even a head came.
    @ivar body: what came of the body, the chunked coding undone.
    @ivar whole: whether it ended as its head says that it will.
    """

    status: int
    body: bytes
    whole: bool

    @classmethod
    def of(cls, data: bytes) -> Seen:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            return cls(0, b"", whole=False)
        status = int(head.split(b" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (f.partition(b":") for f in head.split(b"\r\n"))}
        if fields.get(b"transfer-encoding") == b"chunked":
            body, whole = _chunks(rest)
            return cls(status, body, whole)
        assert b"content-length" in fields, f"nothing says where this ends: {head!r}"
        assert len(rest) <= int(fields[b"content-length"]), data
        return cls(status, rest, whole=len(rest) == int(fields[b"content-length"]))

    @property
    def error(self) -> dict[str, Any]:
        """The error object of an answer that is one."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def _chunks(data: bytes) -> tuple[bytes, bool]:
    """What there is of a chunked body, and whether its last chunk is there."""
    pieces: list[bytes] = []
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        length = int(data[at:end], 16)
        at = end + 2
        if length == 0:
            rest = data[at:]
            assert rest in (b"", b"\r", b"\r\n"), rest
            return b"".join(pieces), rest == b"\r\n"
        pieces.append(data[at : at + length])
        at += length + 2
    return b"".join(pieces), False


class Listener(Protocol):
    """Sends a request, and keeps all that comes until the connection ends."""

    transport: Any

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.received = bytearray()
        self.closed: Deferred[bytes] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        self.transport.write(self.request)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.closed.called:
            self.closed.callback(bytes(self.received))


class FaultTestCase(SocketTestCase):
    """Tests with an upstream that does to each request what its query says."""

    timeout = 120

    async def seen(self, port: int, path: str, body: bytes) -> Seen:
        """What a client sees of one exchange on a connection of its own."""
        fields = f"Host: proxy\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        listener = Listener(f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), listener)
        return Seen.of(await listener.closed)

    async def all_of(self, cases: Iterable[Any], one: Callable[[Any], Any]) -> None:
        """Do something for each case, many at once; the first failure is the test's."""
        left = iter(cases)

        async def worker() -> None:
            for case in left:
                await one(case)

        # all of them end before the test does, whatever becomes of one
        done = await DeferredList([Deferred.fromCoroutine(worker()) for _ in range(AT_ONCE)], consumeErrors=True)
        for succeeded, result in done:
            if not succeeded:
                failure: Any = result
                failure.raiseException()

    def dying(self, *answers: bytes) -> Callable[[UpstreamConnection, Received], None]:
        """An upstream that breaks its answer off where the query says: ``?cut=NUMBER.OFFSET.HOW``: of the answer with
        that number only so many bytes come, then ``close`` or ``reset``."""

        def script(connection: UpstreamConnection, request: Received) -> None:
            number, offset, how = request.line.split(" ")[1].partition("cut=")[2].split(".")
            send_now(connection, answers[int(number)][: int(offset)])
            connection.close() if how == "close" else connection.reset()

        return script
