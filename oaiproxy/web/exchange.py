"""One exchange: a client's request, the upstream's answer, and everything that ends with them."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy.api.body import BodyTranslator
from oaiproxy.api.errors import ApiError, UpstreamInvalid
from oaiproxy.api.headers import STREAM_HEADERS, WARNING, for_client, for_client_bridge, warning_header
from oaiproxy.observe.exchange import exchange_log
from oaiproxy.relay import BytesBody, UpstreamAnswer, UpstreamBody
from oaiproxy.web.context import PortContext
from oaiproxy.web.dialects import Call, Dialect
from oaiproxy.web.incoming import Incoming
from oaiproxy.web.respond import write_error, write_head
from oaiproxy.web.site import ProxyRequest

Pairs = Sequence[tuple[bytes, bytes]]

#: Of an upstream's failed answer no more than this is read, in bytes: the error object is in it.
_ERROR_LIMIT = 1 << 20

#: A client that does not take the rest of a cut answer is let go after this many seconds.
_CUT_GRACE = 30.0


class Exchange:
    """Owns one request from its arrival to its end: its id, its cancellation and its log.

    When the client leaves, what is under way is cancelled, which closes the connection to the upstream.
    """

    _log = Logger()

    def __init__(self, port: PortContext, request: ProxyRequest, dialect: Dialect | None = None) -> None:
        """
        @param port: where the request came in.
        @param request: the client's request, its body read.
        @param dialect: how it is said upstream; as it is where None.
        @raise ApiError: its path is none that is passed on.
        """
        self.id = next(port.ids)
        self._port = port
        self._request = request
        self._dialect = dialect
        self._incoming = Incoming(port, request)
        self._extra: list[tuple[bytes, bytes]] = []
        self._gone = False
        self._started = False
        self._work: Deferred[None] | None = None
        self._traffic = exchange_log(port.observers, port.kind.value, self.id, time.time)

    def start(self) -> None:
        """Begin; the exchange ends by itself."""
        self._request.notifyFinish().addErrback(self._client_left)
        self._work = Deferred.fromCoroutine(self._run())

    def _client_left(self, reason: Failure) -> None:
        self._gone = True
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            await self._serve()
        except CancelledError:
            # the client left; where it was something else that cancelled us, the client is not left waiting
            self._cut()
        except ApiError as e:
            self._fail(e)
        except Exception:
            self._log.failure("exchange {id} failed inside the proxy", id=self.id)
            self._fail(ApiError("The proxy failed to handle this exchange; its log says why.", code="proxy_error"))
        finally:
            if self._traffic is not None:
                self._traffic.close()

    async def _serve(self) -> None:
        incoming = self._incoming
        if self._traffic is not None:
            self._traffic.downstream_request(
                incoming.method.decode("latin-1"), self._request.uri, incoming.headers, incoming.in_memory()
            )
        outgoing = incoming.outgoing(self._dialect)
        if outgoing.warnings:
            self._extra.append((WARNING, warning_header(outgoing.warnings)))
        if self._traffic is not None:
            sent = outgoing.body.data if isinstance(outgoing.body, BytesBody) else None
            self._traffic.upstream_request(
                outgoing.method.decode("latin-1"), self._port.upstream.url(outgoing.target), outgoing.headers, sent
            )
        answer = await self._port.upstream.send(outgoing.method, outgoing.target, outgoing.headers, outgoing.body)
        if self._traffic is not None:
            self._traffic.upstream_response(answer.status, answer.headers)
        if outgoing.call is None:
            await self._pass_on(answer)
        else:
            await self._translate(answer, outgoing.call)

    # the answer, as it is

    async def _pass_on(self, answer: UpstreamAnswer) -> None:
        headers = [*for_client(answer.headers), *self._extra]
        if self._incoming.method == b"HEAD":
            headers += [(name, value) for name, value in answer.headers if name.lower() == b"content-length"]
        elif answer.length is not None and answer.status not in (204, 304):
            headers.append((b"Content-Length", b"%d" % answer.length))
        self._head(answer.status, headers, answer.phrase)
        await self._receive(answer, self._write)
        self._finish()

    # the answer, translated

    async def _translate(self, answer: UpstreamAnswer, call: Call) -> None:
        content_type = answer.header(b"content-type").decode("latin-1")
        self._extra += for_client_bridge(answer.headers)
        unpack = _unpacker(answer.header(b"content-encoding").strip().lower())
        if not 200 <= answer.status < 300:
            body = await self._error_body(answer, unpack)
            raise call.failure(answer.status, content_type, body)
        translator = call.translator(content_type)
        if call.stream:
            await self._translate_stream(answer, translator, unpack)
        else:
            await self._translate_object(answer, translator, unpack)

    async def _translate_object(
        self, answer: UpstreamAnswer, translator: BodyTranslator, unpack: Callable[[bytes], bytes]
    ) -> None:
        pieces: list[bytes] = []
        await self._receive(answer, lambda data: pieces.append(translator.feed(unpack(data))))
        pieces.append(translator.end())
        body = b"".join(pieces)
        self._head(200, [*self._extra, (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))])
        self._write(body)
        self._finish()

    async def _translate_stream(
        self, answer: UpstreamAnswer, translator: BodyTranslator, unpack: Callable[[bytes], bytes]
    ) -> None:
        held: list[bytes] = []

        def send(data: bytes) -> None:
            """Send a piece of the client's stream, or hold it until upstream has accepted the request."""
            if not self._started:
                held.append(data)
                if not translator.accepted:
                    return
                self._head(200, [*self._extra, *STREAM_HEADERS])
                data = b"".join(held)
            if data:
                self._write(data)

        def receive(data: bytes) -> None:
            send(translator.feed(unpack(data)))
            if translator.finished:
                body.drain()

        body = self._body(answer, receive)
        try:
            await self._flow(body)
            if not translator.finished:
                send(translator.end())
        except ApiError as e:
            if not self._started:
                raise
            self._log.info("exchange {id} failed in the middle: {error}", id=self.id, error=e.message)
            self._write(translator.fail(e))
            self._cut()
        else:
            self._finish()

    async def _error_body(self, answer: UpstreamAnswer, unpack: Callable[[bytes], bytes]) -> bytes:
        pieces: list[bytes] = []
        size = 0

        def receive(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size <= _ERROR_LIMIT:
                pieces.append(unpack(data))

        await self._receive(answer, receive)
        return b"".join(pieces)

    # the body from upstream

    def _body(self, answer: UpstreamAnswer, receive: Callable[[bytes], None]) -> UpstreamBody:
        traffic = self._traffic
        if traffic is not None:
            plain = receive

            def receive(data: bytes) -> None:
                traffic.upstream_chunk(data)
                plain(data)

        return UpstreamBody(answer, receive, self._port.clock, self._port.settings.timeouts.idle)

    async def _receive(self, answer: UpstreamAnswer, receive: Callable[[bytes], None]) -> None:
        await self._flow(self._body(answer, receive))

    async def _flow(self, body: UpstreamBody) -> None:
        """Let a body flow at the client's pace until it ends.

        @raise ApiError: it ended too early, or its receiver refused it.
        """
        self._request.registerProducer(body, True)
        try:
            body.start()
            await body.done
        finally:
            if not self._gone:
                self._request.unregisterProducer()

    # the client

    def _head(self, status: int, headers: Pairs, phrase: bytes | None = None) -> None:
        self._started = True
        write_head(self._request, status, headers, phrase)
        # the client learns the head now, not with the first piece of the body
        self._request.write(b"")
        if self._traffic is not None:
            self._traffic.downstream_response(status, headers)

    def _write(self, data: bytes) -> None:
        self._request.write(data)
        if self._traffic is not None:
            self._traffic.downstream_chunk(data)

    def _finish(self) -> None:
        if not self._gone:
            self._request.finish()

    def _fail(self, error: ApiError) -> None:
        if self._gone:
            return
        self._log.info("exchange {id} failed: {status} {error}", id=self.id, status=error.status, error=error.message)
        if self._started:
            self._cut()
            return
        if self._traffic is not None:
            self._traffic.downstream_response(error.status, self._extra, error.body())
        write_error(self._request, error, self._extra)

    def _cut(self) -> None:
        """End the answer so that the client sees it is not whole: what did arrive, and no proper end."""
        if self._gone:
            return
        channel = self._request.channel
        reset: Callable[[], None] = channel.transport.abortConnection  # type: ignore[union-attr]
        if not (self._request.chunked or self._request.responseHeaders.hasHeader(b"content-length")):
            # a body that only the end of the connection ends, as HTTP/1.0 has it: nothing but a reset tells
            reset()
            return
        channel.loseConnection()
        grace: IDelayedCall = self._port.clock.callLater(_CUT_GRACE, reset)
        self._request.notifyFinish().addErrback(lambda _: grace.cancel() if grace.active() else None)


def _unpacker(encoding: bytes) -> Callable[[bytes], bytes]:
    """What undoes a content coding that was not asked for but used.

    @raise UpstreamInvalid: it is one that we do not read.
    """
    if encoding in (b"", b"identity"):
        return lambda data: data
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        name = encoding.decode("latin-1")
        raise UpstreamInvalid(f"The upstream compressed its answer ({name}) although it was asked not to.")
    # 32: the window size is in the data, whether gzip or zlib
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress

    def unpack(data: bytes) -> bytes:
        try:
            return inflate(data)
        except zlib.error:
            raise UpstreamInvalid("The upstream's compressed answer is damaged.") from None

    return unpack
