"""An answer that is passed on as it is, or a WebSocket in place of one."""

from __future__ import annotations

from collections.abc import Callable

from oaiproxy.api.errors import ApiError, UpstreamInvalid
from oaiproxy.api.headers import for_client, for_client_changed
from oaiproxy.api.secrets import Masker
from oaiproxy.api.streamend import stream_end
from oaiproxy.api.websocket import UPGRADE
from oaiproxy.observe.exchange import ExchangeLog
from oaiproxy.relay import StreamedBody, UpstreamAnswer, UpstreamBody
from oaiproxy.web.context import PortContext
from oaiproxy.web.downstream import Downstream
from oaiproxy.web.incoming import Outgoing
from oaiproxy.web.ratelimits import See, Ticket
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.unpack import unpacker


class PassedAnswer:
    """Sends a request, and gives the client what upstream answers."""

    __slots__ = ("_client", "_name", "_port", "_request", "_taken", "_ticket", "_traffic")

    def __init__(
        self,
        name: str,
        port: PortContext,
        client: Downstream,
        traffic: ExchangeLog | None,
        ticket: Ticket | None,
        request: ProxyRequest,
        taken: Callable[[], None],
    ) -> None:
        """
        @param name: the exchange's, for the log.
        @param port: where the client's request came in.
        @param client: who gets the answer.
        @param traffic: is told of all of it; None where nobody is.
        @param ticket: counts what the answer costs; None where nobody does.
        @param request: the client's, whose connection may go over to a WebSocket.
        @param taken: called once upstream has the request, which is not sent again then.
        """
        self._name = name
        self._port = port
        self._client = client
        self._traffic = traffic
        self._ticket = ticket
        self._request = request
        self._taken = taken

    async def run(self, outgoing: Outgoing) -> None:
        """Do it.

        @raise ApiError: there is no answer, or it ended too early.
        """
        ticket = self._ticket
        fields = outgoing.headers if ticket is None else ticket.readable(outgoing.headers)
        answer = await self._port.upstream.send(
            outgoing.method,
            outgoing.target,
            fields,
            outgoing.body,
            log=self._traffic,
            name=self._name,
            switches=outgoing.switches,
        )
        if answer.status == 101:
            await self._converse(answer)
            return
        if outgoing.body is not None:
            outgoing.body.forget()
            self._taken()
        masker = self._port.keys.refusal_masker(answer.status)
        if masker is not None:
            await self._refusal(answer, masker)
            return
        headers = [*for_client(answer.headers), *self._client.extra]
        if outgoing.method == b"HEAD":
            headers += [(name, value) for name, value in answer.headers if name.lower() == b"content-length"]
        elif answer.length is not None and answer.status not in (204, 304):
            headers.append((b"Content-Length", b"%d" % answer.length))
        see = None if ticket is None else ticket.watch(answer, outgoing.target)
        whole = answer.whole()
        if whole is not None:
            if see is not None:
                see(whole)
            if self._traffic is not None and whole:
                self._traffic.upstream_chunk(whole)
            self._client.head(answer.status, headers, whole, answer.phrase)
            self._client.finish()
            return
        self._client.head(answer.status, headers, phrase=answer.phrase)
        end = None
        if answer.until_close and 200 <= answer.status < 300:
            end = stream_end(outgoing.target, answer.header(b"content-type"))
        await self._copy(answer, None if end is None else end.feed, see)
        if end is not None:
            end.check(answer.upstream)
        self._client.finish()

    async def _converse(self, answer: UpstreamAnswer) -> None:
        """Client and upstream agree on a WebSocket: pass on what each says, until one of them ends the connection."""
        self._client.head(101, [*for_client(answer.headers), *UPGRADE, *self._client.extra], phrase=answer.phrase)
        # an upstream that says nothing waits for a client that thinks
        body = UpstreamBody(answer, self._client.pass_on, self._port.clock, None)
        self._client.flow_from(body)
        try:
            answer.send(StreamedBody(self._request.channel.switch(), framed=False), self._port.clock.seconds)
            body.start()
            await body.done
        finally:
            self._client.flow_ends()
        self._client.finish()

    async def _refusal(self, answer: UpstreamAnswer, masker: Masker) -> None:
        try:
            unpack = unpacker(answer.header(b"content-encoding").strip().lower())
        except UpstreamInvalid:
            answer.abort()
            raise ApiError(
                f"The upstream {answer.upstream} refused this request ({answer.status}).", status=answer.status
            ) from None
        headers = [*for_client_changed(answer.headers), *self._client.extra]
        self._client.head(answer.status, headers, phrase=answer.phrase)
        await self._copy(answer, lambda data: masker.feed(unpack(data)))
        unpack.end()
        self._client.write(masker.end())
        self._client.finish()

    async def _copy(
        self, answer: UpstreamAnswer, change: Callable[[bytes], bytes] | None = None, see: See | None = None
    ) -> None:
        """Let the body flow at the client's pace until it ends.

        @param change: makes of a piece of it what the client gets.
        @param see: sees each piece.
        @raise ApiError: it ended too early.
        """
        receive, traffic = self._client.write, self._traffic
        if change is not None:

            def receive(data: bytes) -> None:
                self._client.write(change(data))

        told = [tell for tell in (None if traffic is None else traffic.upstream_chunk, see) if tell is not None]
        if told:
            plain = receive

            def receive(data: bytes) -> None:
                for tell in told:
                    tell(data)
                plain(data)

        body = UpstreamBody(answer, receive, self._port.clock, self._port.settings.timeouts.idle)
        self._client.flow_from(body)
        try:
            body.start()
            await body.done
        finally:
            self._client.flow_ends()
