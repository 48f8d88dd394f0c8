"""A client that leaves takes its upstream request with it, at whatever stage it does so."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SkipTest

from oaiproxy.api.request import PortKind
from tests.faults.exchanges import (
    CHAT_EVENTS,
    CHAT_JSON,
    OWN_CALL_STREAM,
    RESPONSE_BEGINS,
    RESPONSE_JSON,
    request,
    text_delta,
)
from tests.faults.test_cuts import CHAT, THINK, TOOLS
from tests.support import RawClient, Received, SocketTestCase, UpstreamConnection, http_answer
from tests.tools.support import Tool
from tests.web import test_uploads

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

#: How a client leaves: in good order, and otherwise.
WAYS: tuple[Callable[[RawClient], None], ...] = (
    lambda client: client.transport.loseConnection(),  # type: ignore[union-attr]
    lambda client: client.transport.abortConnection(),  # type: ignore[union-attr]
)

PORTS = ((PortKind.PASSTHROUGH, None), (PortKind.BRIDGE, None), (PortKind.PASSTHROUGH, THINK))


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class LeavingTests(SocketTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()

    async def leaves(
        self, port: int, stream: bool, answer: bytes, heard: bytes | None, way: Callable[[RawClient], None]
    ) -> None:
        """A client asks, hears something or nothing, and leaves; then its upstream connection ends.

        @param answer: what upstream has said by then.
        @param heard: what the client has of it by then, if anything.
        """
        asked: Deferred[UpstreamConnection] = Deferred()

        def script(connection: UpstreamConnection, request: Received) -> None:
            if answer:
                connection.write(answer)
            asked.callback(connection)

        self.scripted.script = script
        client = await self.client(port)
        client.post(CHAT, request(stream))
        connection = await asked
        if heard is not None:
            await client.until(heard)
        await self.turns(3)
        self.assertFalse(connection.lost.called)
        self.assertFalse(client.closed.called)
        way(client)
        # no timer and no further byte of upstream's is needed for it
        await connection.lost

    async def everywhere(self, stream: bool, said: dict[PortKind, tuple[bytes, bytes | None]]) -> None:
        for kind, settings in PORTS:
            port = self.proxy(kind, settings)
            for way in WAYS:
                await self.leaves(port, stream, *said[kind], way)

    async def test_before_the_head_of_a_stream(self) -> None:
        await self.everywhere(True, dict.fromkeys(PortKind, (b"", None)))

    async def test_before_the_head_of_an_object(self) -> None:
        await self.everywhere(False, dict.fromkeys(PortKind, (b"", None)))

    async def test_in_the_head(self) -> None:
        await self.everywhere(True, dict.fromkeys(PortKind, (HEAD[:30], None)))

    async def test_before_the_first_token(self) -> None:
        begun = HEAD + chunked(RESPONSE_BEGINS[0])
        await self.everywhere(True, {PortKind.PASSTHROUGH: (HEAD, b"\r\n\r\n"), PortKind.BRIDGE: (begun, None)})

    async def test_in_the_middle_of_a_stream(self) -> None:
        await self.everywhere(
            True,
            {
                PortKind.PASSTHROUGH: (HEAD + chunked(CHAT_EVENTS[0]), b"assistant"),
                PortKind.BRIDGE: (HEAD + chunked(b"".join(RESPONSE_BEGINS) + text_delta("Gr")), b'"Gr"'),
            },
        )

    async def test_in_the_middle_of_an_object(self) -> None:
        await self.everywhere(
            False,
            {PortKind.PASSTHROUGH: (CHAT_JSON[:-5], None), PortKind.BRIDGE: (RESPONSE_JSON[:-5], None)},
        )

    async def test_in_the_middle_of_a_stream_that_becomes_an_object(self) -> None:
        begun = HEAD + chunked(b"".join(RESPONSE_BEGINS))
        port = self.proxy(PortKind.BRIDGE)
        for way in WAYS:
            await self.leaves(port, False, begun, None, way)

    async def test_in_the_middle_of_several_answers(self) -> None:
        port = self.proxy(PortKind.BRIDGE)
        for way in WAYS:
            connections: list[UpstreamConnection] = []
            self.scripted.script = lambda connection, request, found=connections: found.append(connection)  # type: ignore[misc]
            client = await self.client(port)
            client.post(CHAT, request(True, n=3))
            await self.until(lambda found=connections: len(found) == 3)  # type: ignore[misc]
            way(client)
            for connection in connections:
                await connection.lost

    async def test_while_it_waits_for_another_attempt_there_is_none(self) -> None:
        self.scripted.answers(http_answer(b"{}", "429 Too Many Requests", "Retry-After: 1"))
        port = self.proxy(retries=2)
        for way in WAYS:
            before = len(self.scripted.requests)
            client = await self.client(port)
            client.post(CHAT, request(False))
            await self.until(lambda before=before: len(self.scripted.requests) == before + 1)  # type: ignore[misc]
            await self.turns(3)
            way(client)
            await client.closed
            await self.turns(20)
            self.assertEqual(len(self.scripted.requests), before + 1)

    async def test_while_a_tool_runs_it_is_cancelled(self) -> None:
        cancelled: list[object] = []
        running: list[Deferred[str]] = []

        def does(arguments: object, context: object) -> Deferred[str]:
            running.append(Deferred(cancelled.append))
            return running[-1]

        self.scripted.answers(OWN_CALL_STREAM)
        port = self.proxy(settings=TOOLS, tools=[Tool(does=does)])
        for way in WAYS:
            running.clear()
            cancelled.clear()
            client = await self.client(port)
            client.post(CHAT, request(True))
            await self.until(lambda: running)
            way(client)
            await self.until(lambda: cancelled)
            self.assertEqual(len(self.scripted.requests), 1)
            self.scripted.requests.clear()

    async def test_a_client_that_takes_nothing_is_noticed_when_it_leaves(self) -> None:
        for kind, begin, piece in (
            (PortKind.PASSTHROUGH, b"", CHAT_EVENTS[0] * 500),
            (PortKind.BRIDGE, b"".join(RESPONSE_BEGINS), text_delta("x" * 900) * 60),
        ):
            port = self.proxy(kind)
            for way in WAYS:
                answer = HEAD + chunked(begin or CHAT_EVENTS[0]) + chunked(piece) * 500
                asked: Deferred[UpstreamConnection] = Deferred()

                def script(
                    connection: UpstreamConnection,
                    request: Received,
                    answer: bytes = answer,
                    asked: Deferred[UpstreamConnection] = asked,
                ) -> None:
                    connection.write(answer)
                    asked.callback(connection)

                self.scripted.script = script
                client = await self.client(port)
                client.transport.pauseProducing()  # type: ignore[union-attr]
                client.post(CHAT, request(True))
                connection = await asked
                await self.turns(200)
                self.assertFalse(connection.lost.called)
                way(client)
                await connection.lost


class HeldBackTests(test_uploads.UploadTestCase):
    """A client that nothing is read from, as the upstream takes nothing, and behind whose end bytes stand unread."""

    ways = (*WAYS, lambda client: client.transport.loseWriteConnection())

    def setUp(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("only Linux tells of the end of what is not read")

    def spoken(self, factory: Factory) -> Any:
        """The upstream as it is spoken to."""
        return factory

    def narrow(self) -> test_uploads.TakingUpstream:
        """An upstream whose kernel takes little, so that it takes nothing more soon, and then never."""
        upstream = test_uploads.TakingUpstream()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.upstream_port = listening.getsockname()[1]
            port = reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, self.spoken(upstream))  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.addCleanup(self._end, upstream)
        return upstream

    async def holds_back(self, client: RawClient) -> None:
        """Let a client send until it is held back; then what it has sent is in the kernel, and some of it unread."""
        (channel,) = (channel for channel in self.site.connections if not channel.leaving)
        still = 0
        while still < 100:
            if channel.reading:
                still = 0
                client.send(bytes(1 << 14))
            await self.turns()
            still += 1
        client.send(bytes(1000))

    def cut(self, connection: test_uploads.Taking) -> bool:
        """Whether the other side has ended a connection that is not read from."""
        poll = select.poll()
        poll.register(connection.transport.fileno(), select.POLLRDHUP)  # type: ignore[union-attr]
        return bool(poll.poll(0))

    async def test_while_an_upload_is_held_back(self) -> None:
        for kind in PortKind:
            upstream = self.narrow()
            port = self.proxy(kind)
            for way in self.ways:
                begun: Deferred[test_uploads.Taking] = Deferred()

                def begins(connection: test_uploads.Taking, begun: Deferred[test_uploads.Taking] = begun) -> None:
                    connection.transport.pauseProducing()  # type: ignore[union-attr]
                    begun.callback(connection)

                upstream.begun = begins
                client = await self.begins(port, 10**9)
                connection = await begun
                await self.holds_back(client)
                self.assertFalse(self.cut(connection))
                way(client)
                # the upstream takes nothing more, and no timer is needed
                await self.until(lambda connection=connection: self.cut(connection))  # type: ignore[misc]
                await self.until(lambda: not len(self.site.connections))

    async def test_while_it_asks_too_far_ahead(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        port = self.proxy()
        for way in self.ways:
            upstream.requests.clear()
            client = await self.client(port)
            client.get("/v1/files")
            await self.until(lambda: upstream.requests)
            client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
            await self.until(lambda: any(not channel.reading for channel in self.site.connections))
            connection = upstream.connections[-1]
            self.assertFalse(connection.lost.called)
            way(client)
            await connection.lost
            await self.until(lambda: not len(self.site.connections))

    async def test_one_that_goes_on_is_not_taken_for_one_that_has_left(self) -> None:
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.pauseProducing()
        upstream.took = lambda c: c.transport.write(test_uploads.DONE) if c.taken == 1 << 25 else None
        client = await self.begins(self.proxy(), 1 << 25)
        test_uploads.Pieces(client, bytes(1 << 20), 32)
        await self.held_back(upstream)
        upstream.connections[0].transport.resumeProducing()  # type: ignore[union-attr]
        await client.until(b"file-1")
        client.get("/v1/models")
        await client.until(b'"object":"list"')
