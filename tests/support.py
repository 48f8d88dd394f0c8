"""Real sockets for tests: an upstream that does exactly what a test says, a client that sees each byte, and a proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from oaiproxy.api.request import PortKind
from oaiproxy.interfaces import IExchangeObserver, IRequestTransform, IStateStore, IToolProvider
from oaiproxy.models import Catalogue
from oaiproxy.relay import Retry, UpstreamClient
from oaiproxy.settings import Settings
from oaiproxy.tools import ToolBox
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext, ProxySite, resource_tree
from oaiproxy.web.exchanges import Exchanges


def http_answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """The bytes of an answer with a Content-Length."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def http_stream(
    *pieces: bytes, end: bool = True, fields: Sequence[str] = ("Content-Type: text/event-stream",)
) -> bytes:
    """The bytes of a chunked answer; without its proper end where `end` is false."""
    head = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + chunks + (b"0\r\n\r\n" if end else b"")


class Received:
    """One request as it arrived at the upstream.

    @ivar line: the request line.
    @ivar fields: (lower-case name, value) pairs in the order they came.
    @ivar body: the body, its chunked coding undone.
    """

    def __init__(self, head: bytes, body: bytes) -> None:
        line, *fields = head.decode("latin-1").split("\r\n")
        self.line = line
        self.fields = [(name.lower(), value.strip()) for name, _, value in (f.partition(":") for f in fields if f)]
        self.body = body

    def field(self, name: str) -> str | None:
        return next((value for field, value in self.fields if field == name), None)


class UpstreamConnection(Protocol):
    """One connection to the scripted upstream."""

    factory: ScriptedUpstream

    def __init__(self) -> None:
        self._buffer = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        self.lost: Deferred[BaseException] = Deferred()

    def connectionMade(self) -> None:
        self.factory.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.factory.bytes_in += len(data)
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return
        self._buffer += b"".join(self._pieces)
        self._pieces.clear()
        while (request := self._next()) is not None:
            self.factory.requests.append(request)
            self.factory.script(self, request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.value)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.loseConnection()

    def reset(self) -> None:
        self.transport.abortConnection()

    def _next(self) -> Received | None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        request = Received(head, b"")
        if (request.field("transfer-encoding") or "").lower() == "chunked":
            body = b""
            while True:
                size, found, rest = rest.partition(b"\r\n")
                if not found or len(rest) < int(size, 16) + 2:
                    return None
                body, rest, last = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :], int(size, 16) == 0
                if last:
                    break
        else:
            length = int(request.field("content-length") or 0)
            if len(rest) < length:
                self._missing = length - len(rest)
                return None
            body, rest = rest[:length], rest[length:]
        self._buffer = rest
        request.body = body
        return request


class ScriptedUpstream(Factory):
    """Does for each request what `script` says; by default answers ``{}``."""

    protocol = UpstreamConnection
    noisy = False

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.connections: list[UpstreamConnection] = []
        self.bytes_in = 0
        self.script: Callable[[UpstreamConnection, Received], None] = lambda connection, request: connection.write(
            http_answer(b"{}", "200 OK", "Content-Type: application/json")
        )

    def answers(self, *answers: bytes) -> None:
        """Give these answers, one a request, the last one again and again."""
        left = list(answers)
        self.script = lambda connection, request: connection.write(left.pop(0) if len(left) > 1 else left[0])


class RawClient(Protocol):
    """A client that sends bytes and keeps what it gets.

    @ivar closed: fires with the reason when the connection has ended.
    """

    def __init__(self) -> None:
        self._pieces = bytearray()
        self.closed: Deferred[BaseException] = Deferred()
        self._waiting: list[tuple[Callable[[bytes | bytearray], bool], Deferred[bytes]]] = []

    @property
    def received(self) -> bytes:
        """All that came."""
        return bytes(self._pieces)

    def dataReceived(self, data: bytes) -> None:
        self._pieces += data
        if not self._waiting:
            return
        for condition, waiting in list(self._waiting):
            if condition(self._pieces):
                self._waiting.remove((condition, waiting))
                waiting.callback(self.received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(reason.value)
        for _, waiting in self._waiting:
            waiting.errback(Failure(AssertionError(f"closed after {self.received!r}")))

    def until(self, what: bytes | Callable[[bytes | bytearray], bool]) -> Deferred[bytes]:
        """Fires with all that came once `what` is in it."""
        condition = (lambda data: what in data) if isinstance(what, bytes) else what
        waiting: Deferred[bytes] = Deferred()
        if condition(self.received):
            waiting.callback(self.received)
        else:
            self._waiting.append((condition, waiting))
        return waiting

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def post(self, path: str, body: bytes, *fields: str) -> None:
        """Send a POST request of JSON."""
        head = [
            f"POST {path} HTTP/1.1",
            "Host: proxy",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        self.send("\r\n".join([*head, *fields]).encode() + b"\r\n\r\n" + body)

    def get(self, path: str, *fields: str) -> None:
        self.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: proxy", *fields]).encode() + b"\r\n\r\n")


@implementer(IReactorPluggableNameResolver)
class ClockedReactor(Clock):
    """The reactor's sockets, and time that passes only when a test says so."""

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def waits(self) -> list[float]:
        """How long it is until each of the calls that are due later, in seconds."""
        return [call.getTime() - self.seconds() for call in self.getDelayedCalls()]


class SocketTestCase(TestCase):
    """A test with listeners and connections of its own, all closed at its end."""

    timeout = 20

    def listen(self, factory: Factory) -> int:
        """Listen on a free loopback port and return its number."""
        factory.noisy = False
        ports: list[Any] = []
        TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory).addCallback(ports.append)
        self.addCleanup(lambda: ports[0].stopListening())
        number: int = ports[0].getHost().port
        return number

    def upstream(self) -> ScriptedUpstream:
        """A scripted upstream; its port is `upstream_port`."""
        upstream = ScriptedUpstream()
        self.upstream_port = self.listen(upstream)
        self.addCleanup(self._let_go, upstream.connections)
        return upstream

    def upstream_client(
        self, settings: Settings | None = None, port: int | None = None, retries: int = 0, clock: Any = reactor
    ) -> UpstreamClient:
        """A client of the scripted upstream; what it sends again it sends at once, where upstream asks for no wait."""
        url = f"http://127.0.0.1:{port or self.upstream_port}/v1"
        retry = Retry(retries, random=lambda: 0.0)
        client = UpstreamClient(clock, url, (settings or Settings()).timeouts, retry)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    def proxy(
        self,
        kind: PortKind = PortKind.PASSTHROUGH,
        settings: Settings | None = None,
        transforms: Sequence[IRequestTransform] = (),
        observers: Sequence[IExchangeObserver] = (),
        upstream_port: int | None = None,
        retries: int = 0,
        clock: Any = reactor,
        tools: Iterable[IToolProvider] = (),
        census: list[Exchanges] | None = None,
        store: IStateStore | None = None,
    ) -> int:
        """A proxy port in front of the scripted upstream; returns its number."""
        context = PortContext(
            kind=kind,
            settings=settings or Settings(),
            models=Catalogue.builtin(),
            pipeline=Pipeline(tuple(transforms)),
            upstream=self.upstream_client(settings, upstream_port, retries, clock),
            clock=clock,
            observers=observers,
            tools=ToolBox(tools),
            census=[] if census is None else census,
            store=store,
        )
        # idle connections are let go at the end of the test, which is not when the real time says so
        times = {"timeout": None} if clock is reactor else {"reactor": clock}
        self.site = ProxySite(resource_tree(context), kind.value, context.settings.limits, **times)
        return self.listen(self.site)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the reactor turn until something is so."""
        while not condition():
            await self.turns()

    async def turns(self, count: int = 1) -> None:
        """Let the reactor turn some times."""
        for _ in range(count):
            await deferLater(reactor, 0)

    async def client(self, port: int) -> RawClient:
        """A raw client, connected."""
        client = RawClient()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
        self.addCleanup(self._let_go, [client])
        return client

    async def ask(self, port: int, method: str, path: str, body: bytes = b"", *fields: str) -> tuple[int, bytes, bytes]:
        """Make one request on a connection of its own: its status, head and body (chunked coding undone)."""
        client = await self.client(port)
        head = [
            f"{method} {path} HTTP/1.1",
            "Host: proxy",
            "Connection: close",
            f"Content-Length: {len(body)}",
            *fields,
        ]
        client.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await client.closed
        head_bytes, _, answer = client.received.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head_bytes.lower():
            answer = unchunk(answer)
        return int(head_bytes.split(b" ")[1]), head_bytes, answer

    async def _let_go(self, connections: Sequence[RawClient | UpstreamConnection]) -> None:
        for connection in connections:
            gone = connection.closed if isinstance(connection, RawClient) else connection.lost
            if not gone.called:
                connection.transport.abortConnection()
                await gone


def unchunk(data: bytes) -> bytes:
    """Undo the chunked coding.

    @raise AssertionError: it does not end properly.
    """
    pieces, at = [], 0
    while True:
        end = data.find(b"\r\n", at)
        assert end >= 0, "the chunked body is cut"
        length = int(data[at:end], 16)
        at = end + 2 + length + 2
        assert len(data) >= at, "the chunked body is cut"
        pieces.append(data[end + 2 : end + 2 + length])
        if length == 0:
            return b"".join(pieces)
