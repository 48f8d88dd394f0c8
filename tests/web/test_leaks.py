"""Nothing is left behind by exchanges at which both sides do wrong; ``python -m tests.soak.leaks`` makes 10,000."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from oaiproxy.api.request import PortKind
from oaiproxy.models import Catalogue
from oaiproxy.relay import Retry, UpstreamClient
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext, ProxySite, resource_tree
from oaiproxy.web.exchange import Exchange
from tests.bridge.wire import added, created, sse, text
from tests.memory import CLIENT as ADDRESS
from tests.memory import MemoryReactor, MemoryTransport
from tests.soak.faulty import CLIENT, UPSTREAM
from tests.soak.leaks import Rig, differences

_BODY = b'{"model":"gpt-5.1","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
SOCKET = b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class LeakTests(TestCase):
    timeout = 100

    def setUp(self) -> None:
        if not os.path.isdir("/proc/self/fd"):
            raise SkipTest("open files are counted where Linux shows them")

    async def test_what_there_was_before_is_what_there_is_after(self) -> None:
        rig = Rig()
        self.addCleanup(lambda: Deferred.fromCoroutine(rig.close()))
        constants = await rig.left()
        await rig.run(100)
        before = await rig.left()
        await rig.run(400)
        after = await rig.left()
        self.assertEqual(differences(before, after), [])
        # other tests have requests among their constants
        made = before.made - constants.made
        self.assertEqual((before.exchanges, sum(made.values()) - made["Deferred"]), (0, 0))
        # a Deferred that fails unseen says so when it is collected
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        # every fault was made
        self.assertEqual({f"upstream: {how}" for how in UPSTREAM} - set(rig.ended), set())
        self.assertEqual({f"client: {how}" for how in CLIENT} - set(rig.ended), set())


class CycleTests(SynchronousTestCase):
    """What goes wrong leaves no exchange to the garbage collector."""

    def setUp(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def ends(self, kind: PortKind, ends: Callable[[Any, MemoryTransport], None], request: bytes = CHAT) -> None:
        """Let an exchange end in some way that an upstream has, and see that it is gone."""
        reactor, settings = MemoryReactor(), Settings()
        upstream = UpstreamClient(reactor, "http://127.0.0.1:1/v1", settings.timeouts, Retry(0))
        context = PortContext(kind, settings, Catalogue.builtin(), Pipeline(()), upstream, reactor)
        protocol: Any = ProxySite(resource_tree(context), kind.value, reactor=reactor).buildProtocol(ADDRESS)
        transport = MemoryTransport(protocol, IPv4Address("TCP", "127.0.0.1", 5101), ADDRESS)
        protocol.dataReceived(request)
        self.assertEqual(len(self.exchanges()), 1)
        ends(*reactor.upstream[-1])
        reactor.advance(0)
        self.assertIn(b"HTTP/1.1 ", transport.value())
        # the client reads that, and closes
        transport.tell()
        self.assertEqual(self.exchanges(), [])

    def exchanges(self) -> list[Exchange]:
        return [each for each in gc.get_objects() if isinstance(each, Exchange)]

    def test_where_the_upstream_breaks_off_before_its_answer(self) -> None:
        for kind in PortKind:
            self.ends(kind, lambda protocol, transport: transport.tell(ConnectionLost))

    def test_where_it_does_so_in_the_middle_of_a_stream(self) -> None:
        began = sse(created(), added(0, type="message"), text("Hello"))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

        def breaks_off(protocol: Any, transport: MemoryTransport) -> None:
            protocol.dataReceived(head + b"%x\r\n%b\r\n" % (len(began), began))
            transport.tell(ConnectionLost)

        for kind in PortKind:
            self.ends(kind, breaks_off)

    def test_where_it_refuses(self) -> None:
        refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        for kind in PortKind:
            self.ends(kind, lambda protocol, transport: protocol.dataReceived(refusal))

    def test_where_a_websocket_ends(self) -> None:
        for error in (ConnectionDone, ConnectionLost):

            def ends(protocol: Any, transport: MemoryTransport, error: type[Exception] = error) -> None:
                protocol.dataReceived(SWITCH + b"Hello")
                transport.tell(error)

            for kind in PortKind:
                self.ends(kind, ends, SOCKET)
