"""One exchange: a client's request, the upstream's answer, and everything that ends with them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy.api.errors import ApiError
from oaiproxy.api.headers import WARNING, for_client, warning_header
from oaiproxy.api.request import ApiRequest
from oaiproxy.bridge import Repair, repair_for
from oaiproxy.observe.exchange import ExchangeLog, exchange_log
from oaiproxy.relay import UpstreamAnswer, UpstreamBody
from oaiproxy.web.context import PortContext
from oaiproxy.web.dialects import Dialect
from oaiproxy.web.downstream import Downstream
from oaiproxy.web.incoming import Incoming
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.translated import TranslatedAnswer


class Exchange:
    """Owns one request from its arrival to its end: its id, its cancellation and its log.

    When the client leaves, what is under way is cancelled, which closes the connections to the upstream.
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
        self._work: Deferred[None] | None = None
        self._traffic = self._new_log(self.id)
        self._logs = [self._traffic]
        self._client = Downstream(request, port.clock, self._traffic)

    def _new_log(self, name: str) -> ExchangeLog | None:
        return exchange_log(self._port.observers, self._port.kind.value, name, time.time)

    def start(self) -> None:
        """Begin; the exchange ends by itself."""
        self._request.notifyFinish().addErrback(self._client_left)
        self._work = Deferred.fromCoroutine(self._run())

    def _client_left(self, reason: Failure) -> None:
        self._client.gone = True
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            if self._traffic is not None:
                incoming = self._incoming
                self._traffic.downstream_request(
                    incoming.method.decode("latin-1"), self._request.uri, incoming.headers, incoming.in_memory()
                )
            if self._dialect is None:
                await self._pass_on()
            else:
                await self._translate(self._dialect)
        except CancelledError:
            # the client left; where it was something else that cancelled us, the client is not left waiting
            self._client.cut()
        except ApiError as e:
            self._fail(e)
        except Exception:
            self._log.failure("exchange {id} failed inside the proxy", id=self.id)
            self._fail(ApiError("The proxy failed to handle this exchange; its log says why.", code="proxy_error"))
        finally:
            for log in self._logs:
                if log is not None:
                    log.close()

    def _fail(self, error: ApiError) -> None:
        if not self._client.gone:
            self._log.info(
                "exchange {id} failed: {status} {error}", id=self.id, status=error.status, error=error.message
            )
        self._client.fail(error)

    # the answer, as it is

    async def _pass_on(self) -> None:
        outgoing = self._incoming.passed_on()
        self._warn(outgoing.warnings)
        traffic = self._traffic
        if traffic is not None:
            traffic.upstream_request(
                outgoing.method.decode("latin-1"),
                self._port.upstream.url(outgoing.target),
                outgoing.headers,
                outgoing.body_bytes(),
            )
        answer = await self._port.upstream.send(outgoing.method, outgoing.target, outgoing.headers, outgoing.body)
        if traffic is not None:
            traffic.upstream_response(answer.status, answer.headers)
        headers = [*for_client(answer.headers), *self._client.extra]
        if outgoing.method == b"HEAD":
            headers += [(name, value) for name, value in answer.headers if name.lower() == b"content-length"]
        elif answer.length is not None and answer.status not in (204, 304):
            headers.append((b"Content-Length", b"%d" % answer.length))
        self._client.head(answer.status, headers, answer.phrase)
        await self._copy(answer)
        self._client.finish()

    async def _copy(self, answer: UpstreamAnswer) -> None:
        """Let the body flow at the client's pace until it ends.

        @raise ApiError: it ended too early.
        """
        receive, traffic = self._client.write, self._traffic
        if traffic is not None:

            def receive(data: bytes) -> None:
                traffic.upstream_chunk(data)
                self._client.write(data)

        body = UpstreamBody(answer, receive, self._port.clock, self._port.settings.timeouts.idle)
        self._client.flow_from(body)
        try:
            body.start()
            await body.done
        finally:
            self._client.flow_ends()

    # the answer, translated

    async def _translate(self, dialect: Dialect) -> None:
        request = self._port.learnt.apply(self._incoming.asked(), self._incoming.account)
        repairs: list[Repair] = []
        while True:
            try:
                await self._answer(request, dialect, repairs)
                return
            except ApiError as e:
                found = None if self._client.started or self._client.gone else repair_for(request, e)
                if found is None:
                    raise
                self._log.info(
                    "exchange {id}: upstream refused {name}, which the proxy added, for {model}; sending it again "
                    "without: {error}",
                    id=self.id,
                    name=found[0].name,
                    model=request.model,
                    error=e.message,
                )
                repairs.append(found[0])
                request = found[1]

    async def _answer(self, request: ApiRequest, dialect: Dialect, repairs: Sequence[Repair]) -> None:
        call = dialect(request, self._incoming.context)
        self._client.extra.clear()
        self._warn(request.warnings + call.warnings)
        count = len(call.bodies)
        await TranslatedAnswer(
            name=self.id,
            port=self._port,
            call=call,
            requests=[self._incoming.outgoing(call, body) for body in call.bodies],
            client=self._client,
            logs=self._part_logs(count) if count > 1 else [self._traffic],
            keepalive=self._incoming.profile.keepalive,
            accepted=lambda: self._learn(request.model, repairs),
        ).run()

    def _learn(self, model: str | None, repairs: Sequence[Repair]) -> None:
        """Remember what helped."""
        for repair in repairs:
            if self._port.learnt.keep(model, self._incoming.account, repair):
                self._log.info("from now on {name} is not added to requests for {model}", name=repair.name, model=model)

    def _part_logs(self, count: int) -> list[ExchangeLog | None]:
        """A log for each of several upstream requests, so that their chunks can be told apart."""
        logs = [self._new_log(f"{self.id}/{part}") for part in range(count)]
        self._logs += logs
        return logs

    def _warn(self, warnings: tuple[str, ...]) -> None:
        if warnings:
            self._client.extra.append((WARNING, warning_header(warnings)))
