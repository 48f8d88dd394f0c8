"""How many exchanges may run at the same time."""

from __future__ import annotations

import json

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.settings import Access, AuthMode, Concurrency, Settings
from tests.support import RawClient, Received, SocketTestCase, UpstreamConnection, http_answer, http_stream
from tests.web.test_bridge import chat

OURS = Access(
    mode=AuthMode.REPLACE, proxy_keys=(Secret("key-one"), Secret("key-two")), upstream_key=Secret("sk-upstream")
)


class ConcurrencyTestCase(SocketTestCase):
    """An upstream that answers when the test says."""

    def setUp(self) -> None:
        self.asked: list[UpstreamConnection] = []
        self.upstream().script = self.script

    def script(self, connection: UpstreamConnection, request: Received) -> None:
        self.asked.append(connection)

    async def begin(self, port: int, *fields: str) -> RawClient:
        """A client whose request has reached the upstream."""
        client = await self.client(port)
        count = len(self.asked)
        client.post("/v1/responses", b"{}", *fields)
        await self.until(lambda: len(self.asked) > count)
        return client

    async def end(self, client: RawClient, number: int) -> None:
        """Answer the request with that number."""
        self.asked[number].write(http_answer(b'{"ok":1}'))
        await client.until(b'{"ok":1}')
        await self.turns(2)

    async def refused(self, port: int, *fields: str) -> bytes:
        """A request that is refused; its head."""
        count = len(self.asked)
        status, head, body = await self.ask(port, "POST", "/v1/responses", b"{}", *fields)
        self.assertEqual(status, 429, body)
        error = json.loads(body)["error"]
        self.assertEqual((error["type"], error["code"]), ("requests", "too_many_concurrent_requests"))
        self.assertEqual(len(self.asked), count, "upstream was asked")
        return head


class PortTests(ConcurrencyTestCase):
    async def test_one_too_many_is_a_429_that_says_when_to_come_again(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(port=2)))
        await self.begin(port)
        await self.begin(port)
        head = await self.refused(port)
        self.assertIn(b"429 Too Many Requests", head)
        self.assertIn(b"\r\nRetry-After: 1", head)

    async def test_there_is_room_again_when_one_has_ended(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(port=1)))
        for number in range(3):
            client = await self.begin(port)
            await self.refused(port)
            await self.end(client, number)

    async def test_a_client_that_leaves_makes_room(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(port=1)))
        client = await self.begin(port)
        await self.refused(port)
        client.transport.abortConnection()  # type: ignore[union-attr]
        await self.asked[0].lost
        await self.begin(port)

    async def test_one_that_fails_makes_room(self) -> None:
        for kind, answer in ((PortKind.PASSTHROUGH, b"nonsense\r\n\r\n"), (PortKind.BRIDGE, http_answer(b"{"))):
            port = self.proxy(kind, Settings(concurrency=Concurrency(port=1)))
            client = await self.client(port)
            count = len(self.asked)
            client.post("/v1/chat/completions", chat())
            while len(self.asked) == count:
                await self.turns()
            self.asked[-1].write(answer)
            self.asked[-1].close()
            await client.until(b'"error"')
            await self.begin(port)

    async def test_one_that_is_cut_in_the_middle_makes_room(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(port=1)))
        client = await self.begin(port)
        self.asked[0].write(http_stream(b"data: 1\n\n", end=False))
        await client.until(b"data: 1")
        self.asked[0].reset()
        await client.closed
        await self.begin(port)

    async def test_a_request_that_is_refused_anyway_takes_no_room(self) -> None:
        port = self.proxy(PortKind.BRIDGE, Settings(concurrency=Concurrency(port=1)))
        for _ in range(3):
            status, _, body = await self.ask(port, "POST", "/v1/chat/completions", b"{")
            self.assertEqual(status, 400, body)

    async def test_what_the_proxy_answers_itself_is_not_counted(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(port=1)))
        await self.begin(port)
        for path in ("/v1/models", "/health"):
            self.assertEqual((await self.ask(port, "GET", path))[0], 200)

    async def test_by_default_there_is_no_limit(self) -> None:
        port = self.proxy()
        for _ in range(50):
            await self.begin(port)


class ClientTests(ConcurrencyTestCase):
    async def test_a_key_of_the_proxy_is_a_client_however_it_is_sent(self) -> None:
        port = self.proxy(settings=Settings(access=OURS, concurrency=Concurrency(client=1)))
        first = await self.begin(port, "Authorization: Bearer key-one")
        await self.refused(port, "Authorization: Bearer key-one")
        await self.refused(port, "X-API-Key: key-one")
        await self.begin(port, "Authorization: Bearer key-two")
        await self.end(first, 0)
        await self.begin(port, "X-API-Key: key-one")

    async def test_else_a_key_of_its_own_is(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(client=1)))
        await self.begin(port, "Authorization: Bearer sk-a")
        await self.refused(port, "Authorization: Bearer sk-a")
        await self.begin(port, "Authorization: Bearer sk-b")

    async def test_without_keys_the_address_is(self) -> None:
        port = self.proxy(settings=Settings(concurrency=Concurrency(client=1)))
        await self.begin(port)
        await self.refused(port)
        await self.begin(port, "Authorization: Bearer sk-a")

    async def test_where_the_key_is_lent_to_all_a_key_that_is_none_of_ours_makes_no_other_client(self) -> None:
        lending = Access(mode=AuthMode.REPLACE, upstream_key=Secret("sk-upstream"))
        port = self.proxy(settings=Settings(access=lending, concurrency=Concurrency(client=1)))
        head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        client = await self.client(port)
        client.send(head + b"\r\n{}")
        await self.until(lambda: self.asked)
        second = await self.client(port)
        second.send(head + b"Authorization: Bearer x\r\n\r\n{}")
        self.assertIn(b"HTTP/1.1 429 ", await second.until(b"too_many_concurrent_requests"))

    async def test_the_message_holds_no_key(self) -> None:
        port = self.proxy(settings=Settings(access=OURS, concurrency=Concurrency(client=1)))
        await self.begin(port, "Authorization: Bearer key-one")
        status, head, body = await self.ask(port, "POST", "/v1/responses", b"{}", "Authorization: Bearer key-one")
        self.assertEqual(status, 429)
        self.assertNotIn(b"key-one", head + body)
        self.assertIn(b"1 requests of yours", body)
