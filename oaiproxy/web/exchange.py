"""One exchange: a client's request, the upstream's answer, and everything that ends with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy.api.errors import ApiError
from oaiproxy.api.headers import WARNING, warning_header
from oaiproxy.api.place import let_go, trace_of
from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.bridge import Repair, repair_for
from oaiproxy.observe.exchange import ExchangeLog, exchange_log
from oaiproxy.rates import asking_for_usage
from oaiproxy.tools import marked, offered, own_tools
from oaiproxy.web.context import PortContext
from oaiproxy.web.continuity import Turns
from oaiproxy.web.dialects import Dialect, chat_over_responses, completions_over_responses
from oaiproxy.web.downstream import Downstream
from oaiproxy.web.incoming import Incoming
from oaiproxy.web.passed import PassedAnswer
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.toolrounds import ToolRounds
from oaiproxy.web.translated import TranslatedAnswer

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
        outgoing = self._incoming.passed_on()
        self._warn(outgoing.warnings)
        answer = PassedAnswer(
            name=self.id,
            port=self._port,
            client=self._client,
            traffic=self._traffic,
            ticket=self._ticket,
            request=self._request,
            taken=self._incoming.forget,
        )
        await answer.run(outgoing)

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
