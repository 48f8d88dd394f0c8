"""Told to end: what runs goes on for a while, what is left is ended with an error, and the exit status says which."""

from __future__ import annotations

import os
import signal
import sys
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThread

from oaiproxy.api.request import PortKind
from oaiproxy.service import ProxyService
from oaiproxy.settings import ServiceSettings, Settings, port_at
from oaiproxy.stopping import EXIT_ENDED
from oaiproxy.transforms import Pipeline
from tests.process import Service
from tests.support import (
    RawClient,
    Received,
    ScriptedUpstream,
    SocketTestCase,
    UpstreamConnection,
    http_answer,
    http_stream,
    unchunk,
)
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, chat, delta

#: What `http_stream` puts at the end of a body.
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class StoppingTestCase(SocketTestCase):
    """A service in a process of its own, in front of a scripted upstream that answers when the test says."""

    timeout = 60
    drain = 30.0

    def setUp(self) -> None:
        self.scripted: ScriptedUpstream = self.upstream()
        self.asked: list[UpstreamConnection] = []
        self.scripted.script = self.script

    def script(self, connection: UpstreamConnection, request: Received) -> None:
        self.asked.append(connection)

    def start(self, *arguments: str, command: bool = False) -> Service:
        url = f"http://127.0.0.1:{self.upstream_port}"
        options = ["--passthrough=0", "--bridge=0", f"--upstream={url}", f"--drain={self.drain}", *arguments]
        service = Service(*options, command=[sys.executable, "-m", "oaiproxy", *options] if command else None)
        self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
        self.passthrough = urlsplit(service.passthrough).port or 0
        self.bridge = urlsplit(service.bridge).port or 0
        return service

    async def stream(self, port: int, path: str = "/v1/chat/completions", first: bytes = CREATED) -> RawClient:
        """A client whose answer has begun."""
        client = await self.client(port)
        count = len(self.asked)
        client.post(path, chat(stream=True))
        await self.until(lambda: len(self.asked) > count)
        self.asked[-1].write(http_stream(first, ADDED, delta("one"), end=False))
        await client.until(b"one")
        return client

    async def told(self, service: Service, how: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to end, and wait until it does no longer listen."""
        os.kill(service.pid, how)
        while True:
            try:
                protocol = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.bridge), Protocol())
            except ConnectError:
                return
            protocol.transport.abortConnection()
            await self.turns(20)

    def ended(self, service: Service) -> Deferred[int]:
        """The exit status of a service that ends by itself."""
        return deferToThread(service.wait)


class OrderTests(SocketTestCase):
    """What is done before what, in a service within this process."""

    async def test_connections_know_of_the_end_before_the_ports_are_closed(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        settings = Settings(upstream=f"http://127.0.0.1:{self.upstream_port}/v1")
        port = port_at(PortKind.PASSTHROUGH, "tcp:0:interface=127.0.0.1", settings=settings)
        service = ProxyService(reactor, ServiceSettings((port,)), Pipeline(()))
        service.startService()
        client = await self.client(urlsplit(service.addresses[0][1]).port or 0)
        client.get("/v1/files")
        await self.until(lambda: upstream.requests)
        close, heads = service.stop_listening, []

        async def answered_meanwhile() -> None:
            upstream.connections[0].write(http_answer(b"[]"))
            heads.append(await client.until(b"\r\n\r\n"))
            await close()

        self.patch(service, "stop_listening", answered_meanwhile)
        await service.stopService()
        self.assertIn(b"\r\nConnection: close\r\n", heads[0])


class DrainTests(StoppingTestCase):
    async def test_a_running_stream_goes_on_to_its_end(self) -> None:
        service = self.start()
        client = await self.stream(self.bridge)
        await self.told(service)
        self.asked[0].write(chunk(delta("two")))
        await client.until(b"two")
        self.asked[0].write(chunk(COMPLETED) + END)
        await client.closed
        self.assertTrue(unchunk(client.received.partition(b"\r\n\r\n")[2]).endswith(b"data: [DONE]\n\n"))
        self.assertEqual(await self.ended(service), 0)
        self.assertNotIn("Traceback", service.output)

    async def test_an_answer_that_begins_later_says_that_the_connection_closes(self) -> None:
        service = self.start()
        client = await self.client(self.passthrough)
        client.post("/v1/responses", b"{}")
        await self.until(lambda: self.asked)
        await self.told(service)
        self.asked[0].write(http_stream(b"hello"))
        await client.closed
        head, _, body = client.received.partition(b"\r\n\r\n")
        self.assertIn(b"connection: close", head.lower())
        self.assertEqual(unchunk(body), b"hello")
        self.assertEqual(await self.ended(service), 0)

    async def test_an_idle_connection_is_closed_at_once(self) -> None:
        service = self.start()
        idle = await self.client(self.passthrough)
        idle.get("/v1/models")
        await idle.until(b"gpt-5.1")
        busy = await self.stream(self.bridge)
        os.kill(service.pid, signal.SIGTERM)
        await idle.closed
        self.assertFalse(busy.closed.called)
        self.asked[0].write(chunk(COMPLETED) + END)
        self.assertEqual(await self.ended(service), 0)

    async def test_a_connection_that_was_just_made_may_bring_its_request(self) -> None:
        service = self.start()
        client = await self.client(self.passthrough)
        await self.told(service)
        client.post("/v1/responses", b"{}")
        await self.until(lambda: self.asked)
        self.asked[0].write(http_stream(b"hello"))
        await client.closed
        self.assertIn(b"hello", client.received)
        self.assertIn(b"connection: close", client.received.lower())
        self.assertEqual(await self.ended(service), 0)

    async def test_one_whose_request_is_half_here_is_answered(self) -> None:
        service = self.start()
        client = await self.client(self.passthrough)
        client.send(b"POST /v1/respon")
        # what another connection gets came later
        await self.ask(self.passthrough, "GET", "/v1/models")
        await self.told(service)
        client.send(b"ses HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        await self.turns(50)
        client.send(b"}")
        await self.until(lambda: self.asked)
        self.asked[0].write(http_stream(b"hello"))
        await client.closed
        self.assertIn(b"connection: close", client.received.lower())
        self.assertEqual(await self.ended(service), 0)

    async def test_the_health_check_says_so(self) -> None:
        service = self.start()
        client = await self.client(self.bridge)
        await self.told(service)
        client.get("/health")
        await client.closed
        self.assertTrue(client.received.startswith(b"HTTP/1.1 503 "), client.received)
        self.assertIn(b'{"status":"shutting_down"}', client.received)
        self.assertEqual(await self.ended(service), 0)

    async def test_with_a_delay_balancers_see_it_while_connections_are_still_taken(self) -> None:
        service = self.start("--drain-delay=1000")
        client = await self.stream(self.bridge)
        os.kill(service.pid, signal.SIGTERM)
        while (await self.ask(self.bridge, "GET", "/health"))[0] != 503:
            pass
        # whoever has not seen it is served
        for _ in range(4):
            self.assertEqual((await self.ask(self.passthrough, "GET", "/v1/models"))[0], 200)
        self.asked[0].write(chunk(COMPLETED) + END)
        await client.until(b"data: [DONE]")
        # the delay is over by then: nobody waits 1,000 seconds
        os.kill(service.pid, signal.SIGTERM)
        self.assertEqual(await self.ended(service), 0)
        self.assertNotIn("Traceback", service.output)

    async def test_a_service_with_nothing_to_do_ends_with_status_0(self) -> None:
        for command in (False, True):
            for how in (signal.SIGTERM, signal.SIGINT):
                service = self.start(command=command)
                os.kill(service.pid, how)
                self.assertEqual(await self.ended(service), 0, (command, how, service.output))

    async def test_the_embedded_upstream_is_there_for_as_long(self) -> None:
        service = self.start("--upstream=demo")
        client = await self.client(self.passthrough)
        await self.told(service)
        client.post("/v1/chat/completions", chat(messages=[{"role": "user", "content": "demo:tokens=3"}]))
        await client.closed
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 "), client.received)
        self.assertEqual(await self.ended(service), 0)


class EndTests(StoppingTestCase):
    """What has not ended in time."""

    drain = 0.3

    async def test_a_stream_of_the_bridge_ends_with_an_error_event(self) -> None:
        service = self.start()
        client = await self.stream(self.bridge)
        os.kill(service.pid, signal.SIGTERM)
        await client.closed
        body = client.received.partition(b"\r\n\r\n")[2]
        self.assertIn(b'"code":"shutting_down"', body)
        self.assertNotIn(b"[DONE]", body)
        self.assertFalse(body.endswith(END), "it looks whole")
        self.assertEqual(await self.ended(service), EXIT_ENDED)
        self.assertNotIn("Traceback", service.output)

    async def test_a_stream_that_is_passed_on_is_cut(self) -> None:
        service = self.start()
        client = await self.stream(self.passthrough)
        os.kill(service.pid, signal.SIGTERM)
        await client.closed
        # all that came, and no last chunk
        self.assertTrue(client.received.endswith(delta("one") + b"\r\n"), client.received)
        self.assertEqual(await self.ended(service), EXIT_ENDED)
        await self.asked[0].lost

    async def test_an_answer_that_has_not_begun_is_a_503(self) -> None:
        service = self.start()
        clients = [await self.client(port) for port in (self.passthrough, self.bridge)]
        for client in clients:
            client.post("/v1/chat/completions", chat())
        await self.until(lambda: len(self.asked) == 2)
        os.kill(service.pid, signal.SIGTERM)
        for client in clients:
            await client.closed
            self.assertTrue(client.received.startswith(b"HTTP/1.1 503 "), client.received)
            self.assertIn(b"\r\nConnection: close\r\n", client.received)
            self.assertIn(b'"code":"shutting_down"', client.received)
        self.assertEqual(await self.ended(service), EXIT_ENDED)

    async def test_a_request_that_never_comes_whole_is_a_503(self) -> None:
        service = self.start()
        clients = [await self.client(port) for port in (self.passthrough, self.bridge)]
        for client in clients:
            client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        await self.ask(self.bridge, "GET", "/v1/models")
        os.kill(service.pid, signal.SIGTERM)
        for client in clients:
            await client.closed
            self.assertTrue(client.received.startswith(b"HTTP/1.1 503 "), client.received)
            self.assertIn(b'"code":"shutting_down"', client.received)
        self.assertEqual(await self.ended(service), EXIT_ENDED)

    async def test_a_head_that_never_comes_whole_is_not_waited_for(self) -> None:
        service = self.start()
        client = await self.client(self.passthrough)
        client.send(b"POST /v1/responses HTTP/1.1\r\nHost:")
        await self.ask(self.passthrough, "GET", "/v1/models")
        os.kill(service.pid, signal.SIGTERM)
        await client.closed
        self.assertEqual(client.received, b"")
        self.assertEqual(await self.ended(service), EXIT_ENDED)

    async def test_a_connection_without_a_request_is_no_exchange(self) -> None:
        service = self.start()
        client = await self.client(self.passthrough)
        await self.ask(self.passthrough, "GET", "/v1/models")
        os.kill(service.pid, signal.SIGTERM)
        await client.closed
        self.assertEqual(await self.ended(service), 0)

    async def test_a_client_that_takes_nothing_does_not_hold_it(self) -> None:
        service = self.start()
        client = await self.stream(self.passthrough)
        client.transport.pauseProducing()  # type: ignore[union-attr]
        self.asked[0].write(chunk(b"x" * 2**25))
        await self.turns(50)
        os.kill(service.pid, signal.SIGTERM)
        self.assertEqual(await self.ended(service), EXIT_ENDED)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await client.closed

    async def test_the_command_has_the_same_status(self) -> None:
        service = self.start(command=True)
        await self.stream(self.bridge)
        os.kill(service.pid, signal.SIGTERM)
        self.assertEqual(await self.ended(service), EXIT_ENDED)


class AgainTests(StoppingTestCase):
    """A second signal."""

    async def test_it_ends_what_runs_at_once(self) -> None:
        for how in (signal.SIGTERM, signal.SIGINT):
            service = self.start()
            client = await self.stream(self.bridge)
            await self.told(service, how)
            self.assertFalse(client.closed.called)
            os.kill(service.pid, how)
            await client.closed
            self.assertIn(b'"code":"shutting_down"', client.received)
            self.assertEqual(await self.ended(service), EXIT_ENDED)
            self.assertNotIn("Traceback", service.output)

    async def test_with_a_drain_of_0_the_first_does(self) -> None:
        self.drain = 0.0
        service = self.start()
        client = await self.stream(self.bridge)
        os.kill(service.pid, signal.SIGTERM)
        await client.closed
        self.assertIn(b'"code":"shutting_down"', client.received)
        self.assertEqual(await self.ended(service), EXIT_ENDED)
