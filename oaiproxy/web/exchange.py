"""One exchange: a client's request, the upstream's answer, and everything that ends with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy.api.errors import ApiError, UpstreamInvalid
from oaiproxy.api.headers import WARNING, for_client, for_client_changed, warning_header
from oaiproxy.api.place import let_go, trace_of
from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.api.secrets import Masker
from oaiproxy.api.streamend import stream_end
from oaiproxy.api.websocket import FIELDS
from oaiproxy.bridge import Repair, repair_for
from oaiproxy.observe.exchange import ExchangeLog, exchange_log
from oaiproxy.rates import asking_for_usage
from oaiproxy.relay import StreamedBody, UpstreamAnswer, UpstreamBody
from oaiproxy.tools import marked, offered, own_tools
from oaiproxy.web.context import PortContext
from oaiproxy.web.continuity import Turns
from oaiproxy.web.dialects import Dialect, chat_over_responses, completions_over_responses
from oaiproxy.web.downstream import Downstream
from oaiproxy.web.incoming import Incoming
from oaiproxy.web.ratelimits import See
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.toolrounds import ToolRounds
from oaiproxy.web.translated import TranslatedAnswer
from oaiproxy.web.unpack import unpacker

#: All of whose streams say what they cost without being asked.
_OVER_RESPONSES = (chat_over_responses, completions_over_responses)


@dataclass(frozen=True, slots=True)
class Choice:
    """Chooses a dialect, or none, by the body of a request.

    @ivar choose: gets the request, its body collected.
    """

    choose: Callable[[ProxyRequest], Dialect | None]


class Exchange:
    """Owns one request from its arrival to its end: its id, its cancellation and its log.

    When the client leaves, what is under way is cancelled, which closes the connections to the upstream.
    """

    _log = Logger()

    def __init__(
        self,
        port: PortContext,
        request: ProxyRequest,
        dialect: Dialect | Choice | None = None,
        incoming: Incoming | None = None,
    ) -> None:
        """
        @param port: where the request came in.
        @param request: the client's request, its body still to come.
        @param dialect: how it is said upstream; as it is where None.
        @param incoming: the request as it is to be understood, where that is not as it came.
        @raise ApiError: its path is none that is passed on.
        """
        self.id = next(port.ids)
        self._port = port
        self._request = request
        self._dialect = dialect
        self._incoming = incoming or Incoming(port, request)
        self._work: Deferred[None] | None = None
        self._rounds: ToolRounds | None = None
        self._asked: ApiRequest | None = None  # what the client asks for, while it may be asked in other words
        self._turns: Turns | None = None
        self._traffic = self._new_log(self.id)
        self._logs = [self._traffic]
        self._client = Downstream(request, port.clock, self._traffic)
        self._ticket = None if port.rates is None else port.rates.ticket(request)
        self._began = port.clock.seconds()

    def _new_log(self, name: str) -> ExchangeLog | None:
        port = self._port
        return exchange_log(port.observers, port.kind.value, name, time.time, port.keys.secrets)

    def start(self) -> None:
        """Begin; the exchange ends by itself.

        @raise ApiError: too many others run.
        """
        self._port.exchanges.enter(self, lambda: self._port.keys.client(self._request))
        self._request.notifyFinish().addErrback(self._client_left)
        self._work = Deferred.fromCoroutine(self._run())

    def _client_left(self, reason: Failure) -> None:
        self._client.gone = True
        if self._work is not None:
            self._work.cancel()

    def end(self, error: ApiError) -> None:
        """End it before it is over.

        @param error: what the client is told.
        """
        self._client.ending = error
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            try:
                if self._ticket is not None:
                    await self._ticket.admit()
                coming = self._get_body()
                if coming is not None:
                    await coming
            finally:
                if self._traffic is not None:
                    self._tell_request(self._traffic)
            dialect = self._dialect
            if isinstance(dialect, Choice):
                dialect = dialect.choose(self._request)
            if dialect is None:
                await self._pass_on()
            else:
                await self._translate(dialect)
        except CancelledError as e:
            # the client left; where it was something else that cancelled us, the client is not left waiting
            if self._client.ending is not None:
                self._fail(self._client.ending)
            else:
                self._client.cut()
            let_go(e)
        except ApiError as e:
            self._fail(e)
            let_go(e)
        except Exception as e:
            self._log.error("exchange {id} failed inside the proxy\n{trace}", id=self.id, trace=trace_of(e))
            self._fail(ApiError("The proxy failed to handle this exchange; its log says why.", code="proxy_error"))
            let_go(e)
        finally:
            self._port.exchanges.leave(self)
            if self._ticket is not None:
                self._ticket.end(whole=bool(self._request.finished))
            for log in self._logs:
                if log is not None:
                    log.close()
            if self._port.debug:
                self._tell_end()

    def _get_body(self) -> Deferred[None] | None:
        """Let the request's body come, but for one that is passed on as it comes.

        @return: fires when it is there; None where there is nothing to wait for.
        @raise ApiError: it is too large, or will not come.
        """
        return self._incoming.collect() if self._dialect is not None or not self._incoming.streams else None

    def _tell_request(self, traffic: ExchangeLog) -> None:
        incoming = self._incoming
        traffic.downstream_request(
            incoming.method.decode("latin-1"), self._request.uri, incoming.headers, incoming.in_memory()
        )

    def _tell_end(self) -> None:
        """For the service's log; what a query or a body holds is the client's."""
        request, client = self._request, self._client
        self._log.debug(
            "exchange {id}: {port} {method} {path} -> {end}, {bytes} bytes, {seconds:.3f} s",
            id=self.id,
            port=self._port.kind.value,
            method=request.method.decode("latin-1"),
            path=request.shown_path(),
            end=f"{request.code}, and the client left" if client.gone else request.code,
            bytes=request.sentLength,
            seconds=self._port.clock.seconds() - self._began,
        )

    def _fail(self, error: ApiError) -> None:
        if not self._client.gone:
            self._log.info(
                "exchange {id} failed: {status} {error}",
                id=self.id,
                status=error.status,
                error=self._port.keys.masked(error.message, self._incoming.headers, self._request.uri),
            )
        self._client.fail(error)

    # the answer, as it is

    async def _pass_on(self) -> None:
        outgoing, ticket = self._incoming.passed_on(), self._ticket
        self._warn(outgoing.warnings)
        fields = outgoing.headers if ticket is None else ticket.readable(outgoing.headers)
        answer = await self._port.upstream.send(
            outgoing.method,
            outgoing.target,
            fields,
            outgoing.body,
            log=self._traffic,
            name=self.id,
            switches=self._incoming.switches,
        )
        if answer.status == 101:
            await self._switch(answer)
            return
        if outgoing.body is not None:
            outgoing.body.forget()
            self._incoming.forget()
        masker = self._port.keys.refusal_masker(answer.status)
        if masker is not None:
            await self._pass_on_refusal(answer, masker)
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

    async def _switch(self, answer: UpstreamAnswer) -> None:
        """Client and upstream agree on a WebSocket: pass on what each says, until one of them ends the connection."""
        self._client.head(101, [*for_client(answer.headers), *FIELDS, *self._client.extra], phrase=answer.phrase)
        # what a client says behind the head is silent for as long as its user thinks
        body = UpstreamBody(answer, self._client.pass_on, self._port.clock, None)
        self._client.flow_from(body)
        try:
            answer.send(StreamedBody(self._request.channel.switch(), framed=False), self._port.clock.seconds)
            body.start()
            await body.done
        finally:
            self._client.flow_ends()
        self._client.finish()

    async def _pass_on_refusal(self, answer: UpstreamAnswer, masker: Masker) -> None:
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

    # the answer, translated

    async def _translate(self, dialect: Dialect) -> None:
        request = self._incoming.asked(reworded=self._port.kind is PortKind.BRIDGE)
        self._incoming.forget()
        if self._port.tools:
            request = marked(request, self._port.tools)
        if self._port.settings.rates.tokens and dialect not in _OVER_RESPONSES:
            request = asking_for_usage(request)
        if self._port.learnt:
            request = self._port.learnt.apply(request, self._incoming.account)
        self._asked = request
        if self._port.continuity is not None and dialect is chat_over_responses:
            self._turns = await self._port.continuity.turns(request, self._incoming)
        del request
        repairs: list[Repair] = []
        while True:
            try:
                # nothing here holds on to the request while the answer comes
                await self._translated(dialect, repairs).run()
                return
            except ApiError as e:
                if not self._without_turns(e):
                    repair = self._repaired(e)
                    if repair is None:
                        raise
                    repairs.append(repair)
                let_go(e)

    def _without_turns(self, error: ApiError) -> bool:
        """Whether upstream refused what the proxy put back into the history, and can be asked again without."""
        if self._turns is None or not self._may_repair() or not self._turns.refused(error):
            return False
        self._log.info(
            "exchange {id}: upstream refused the kept turns of the conversation; sending it again without: {error}",
            id=self.id,
            error=self._port.keys.masked(error.message, self._incoming.headers, self._request.uri),
        )
        return True

    def _repaired(self, error: ApiError) -> Repair | None:
        """Change the request so that upstream may take it after all.

        @return: how it was changed, or None where that is not possible.
        """
        found = self._repair(error)
        if found is None:
            return None
        repair, self._asked = found
        self._log.info(
            "exchange {id}: upstream refused {name}, which the proxy added, for {model}; sending it again without: "
            "{error}",
            id=self.id,
            name=repair.name,
            model=self._asked.model,
            error=self._port.keys.masked(error.message, self._incoming.headers, self._request.uri),
        )
        return repair

    def _translated(self, dialect: Dialect, repairs: Sequence[Repair]) -> TranslatedAnswer:
        request, rounds, box = self._asked, None, self._port.tools
        assert request is not None
        own: frozenset[str] = own_tools(request, box) if box else frozenset()
        turns = self._turns
        call = dialect(offered(request, box) if request.tools else request, self._incoming.context(turns))
        if own:
            rounds = ToolRounds(self.id, self._port, request, own, dialect, self._incoming, call, turns)
        self._rounds = rounds
        self._client.extra.clear()
        if notes := request.notes + call.notes:
            self._warn(tuple(note.text for note in notes))
        if turns is not None and (told := turns.header()) is not None:
            self._client.extra.append(told)
        count = len(call.bodies)
        return TranslatedAnswer(
            name=self.id,
            port=self._port,
            call=replace(call, bodies=()),
            requests=[self._incoming.outgoing(call, body) for body in call.bodies],
            client=self._client,
            logs=self._part_logs(count) if count > 1 else [self._traffic],
            keepalive=self._incoming.profile.keepalive,
            accepted=lambda: self._accepted(repairs),
            rounds=rounds,
            repairs=lambda error: self._repair(error) is not None,
            ticket=self._ticket,
            turns=turns,
        )

    def _repair(self, error: ApiError) -> tuple[Repair, ApiRequest] | None:
        """What can be done about a refusal of which the client knows nothing."""
        return repair_for(self._asked, error) if self._asked is not None and self._may_repair() else None

    def _may_repair(self) -> bool:
        """Whether the request can be sent again: not where tools were run, which must not be run twice."""
        begun = self._rounds is not None and self._rounds.begun
        return self._asked is not None and not self._client.gone and not begun

    def _accepted(self, repairs: Sequence[Repair]) -> None:
        """Upstream has taken the request, and the client is about to hear of it: it is not sent again."""
        request, self._asked = self._asked, None
        if self._turns is not None:
            self._turns.accepted()
        if request is None:
            return
        # remember what helped
        for repair in repairs:
            model = request.model
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
