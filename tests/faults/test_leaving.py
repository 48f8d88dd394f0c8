"""A client that leaves takes its upstream request with it, at whatever stage it does so."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

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
