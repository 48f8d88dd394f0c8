"""A translated answer: what upstream says to one or several requests, as the client's one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger

from oaiproxy.api.errors import ApiError
from oaiproxy.api.headers import STREAM_HEADERS, for_client_bridge, for_client_changed
from oaiproxy.api.place import let_go
from oaiproxy.api.sse import EVENT_LIMIT, says_stream
from oaiproxy.api.streamend import stream_end
from oaiproxy.clients import KeepaliveForm
from oaiproxy.observe.exchange import ExchangeLog
from oaiproxy.relay import UpstreamAnswer, UpstreamBodies, UpstreamBody
from oaiproxy.web.context import PortContext
from oaiproxy.web.continuity import Turns
from oaiproxy.web.dialects import Call
from oaiproxy.web.downstream import Downstream, Pairs
from oaiproxy.web.incoming import Outgoing
from oaiproxy.web.keepalive import Keepalive
from oaiproxy.web.ratelimits import Ticket
from oaiproxy.web.toolrounds import ToolRounds
from oaiproxy.web.unpack import unpacker

#: Of an upstream's failed answer no more than this is read, in bytes: the error object is in it.
_ERROR_LIMIT = 1 << 20

_COMMENT = b": keep-alive\n\n"

#: For so many seconds the end of an answer is held back at most until it is kept.
_LONGEST_PUT = 2.0


class TranslatedAnswer:
    """Sends the requests of a call, and gives the client what becomes of their answers."""

    _log = Logger()

    def __init__(
        self,
        name: str,
        port: PortContext,
        call: Call,
        requests: list[Outgoing],
        client: Downstream,
        logs: list[ExchangeLog | None],
        keepalive: KeepaliveForm,
        accepted: Callable[[], None],
        rounds: ToolRounds | None = None,
        repairs: Callable[[ApiError], bool] = lambda error: False,
        ticket: Ticket | None = None,
        turns: Turns | None = None,
    ) -> None:
        """
        @param name: the exchange's, for the log.
        @param port: where the client's request came in.
        @param call: how the answers become the client's.
        @param requests: what goes upstream.
        @param client: who gets the answer.
        @param logs: what is told of each of the requests.
        @param keepalive: how the client's stream is kept alive.
        @param accepted: called once upstream has taken every request, before the client hears of it.
        @param rounds: says what follows an answer that calls tools of the proxy's; None where none are run.
        @param repairs: whether the request is sent again without what upstream refuses.
        @param ticket: counts what the answers cost; None where nobody does.
        @param turns: keeps the answer for the next request; None where nobody does.
        """
        self._name = name
        self._port = port
        self._call = call
        self._requests = requests
        self._client = client
        self._logs = logs
        # an answer that is passed on says nothing of its own accord, but what its translator takes from it
        self._form = KeepaliveForm.CHUNK if call.as_is else keepalive
        self._stream = call.stream
        self._as_is: UpstreamAnswer | None = None  # whose head the client gets, where it gets upstream's
        self._accepted = accepted
        self._rounds = rounds
        self._repairs = repairs
        self._ticket = ticket
        self._turns = turns
        self._joint = call.translator() if rounds is None else rounds.joint
        self._bodies: UpstreamBodies | None = None  # those that come piece by piece
        self._arriving: dict[int, UpstreamBody] = {}  # of them, those that answer a request, by its number
        self._pieces: list[bytes] = []  # what the client has still to get
        self._headers: list[tuple[bytes, bytes]] = []  # upstream's, as the client gets them
        self._keeping: Deferred[None] | None = None  # fires when the answer is kept
        self._late: list[bytes] = []  # what the client gets then

    async def run(self) -> None:
        """Give the whole answer.

        @raise ApiError: it failed, and the client knows nothing of it yet.
        """
        keepalive = None
        if self._call.stream and self._form is not KeepaliveForm.NONE and (seconds := self._port.settings.keepalive):
            keepalive = Keepalive(self._port.clock, seconds, lambda: self._client.last, self._keep_alive)
        try:
            try:
                await self._all_parts()
                if self._rounds is not None:
                    await self._further_rounds(self._rounds)
                if self._keeping is not None:
                    await self._keeping
            finally:
                if keepalive is not None:
                    keepalive.stop()
                if self._bodies is not None:
                    self._client.flow_ends()
        except (ApiError, CancelledError) as reason:
            e = reason if isinstance(reason, ApiError) else self._client.ending
            if e is None or not self._client.started:
                self._client.extra += self._headers
                raise
            error = self._port.keys.masked(e.message, self._requests[0].headers, self._requests[0].target)
            self._log.info("exchange {id} failed in the middle: {error}", id=self._name, error=error)
            self._kept()
            if not self._client.gone:
                self._client.write(self._joint.fail(e))
            self._client.cut()
            let_go(reason)
        else:
            self._end()

    async def _further_rounds(self, rounds: ToolRounds) -> None:
        """Run the tools that the model calls, and ask it again, until it answers."""
        while (following := await rounds.following()) is not None:
            self._call, self._requests = following
            self._arriving.clear()
            await self._all_parts()

    def _all_parts(self) -> Awaitable[None]:
        """Send every request at once; where one fails, none of the others goes on."""
        return self._part(0) if len(self._requests) == 1 else self._together()

    async def _together(self) -> None:
        parts = [Deferred.fromCoroutine(self._part(part)) for part in range(len(self._requests))]
        try:
            await gatherResults(parts, consumeErrors=True)
        except FirstError as e:
            for part in parts:
                part.cancel()
            e.subFailure.raiseException()

    async def _part(self, part: int) -> None:
        request, log, joint = self._requests[part], self._logs[part], self._joint
        answer = await self._port.upstream.send(
            request.method,
            request.target,
            request.headers,
            request.body,
            log=log,
            name=f"{self._name}/{part}" if len(self._requests) > 1 else self._name,
        )
        if request.body is not None:
            request.body.forget()
        content_type = answer.header(b"content-type").decode("latin-1")
        failed = not 200 <= answer.status < 300
        if failed or not self._headers:
            self._headers = for_client_bridge(answer.headers)
        try:
            unpack = unpacker(answer.header(b"content-encoding").strip().lower())
            if not failed:
                joint.open(part, content_type)
        except ApiError:
            # nobody takes its body
            answer.abort()
            raise
        if failed:
            body = await self._error_body(answer, unpack, log)
            error = self._call.failure(answer.status, content_type, body)
            if self._call.as_is and not self._client.started and not self._repairs(error):
                self._stream, self._as_is = False, answer
                self._give(body)
                return
            raise error
        end = None
        if self._call.as_is:
            self._stream, self._as_is = says_stream(content_type, self._call.stream), answer
            end = stream_end(request.target, content_type.encode("latin-1")) if answer.until_close else None
            self._give(b"")  # the client learns the head now
        ticket = self._ticket
        see = None if ticket is None else ticket.watch_plain(answer.status, content_type, request.target)

        def receive(data: bytes) -> None:
            plain = unpack(data)
            if see is not None:
                see(plain)
            piece = joint.feed(part, plain if end is None else end.feed(plain))
            over = joint.over(part)
            if over:
                self._wait_for_store()
            self._give(piece)
            # what failed after something for the client waits for the next call, and upstream may never give cause
            joint.feed(part, b"")
            if over and (arriving := self._arriving.get(part)) is not None:
                arriving.drop() if joint.cut_short(part) else arriving.drain()

        more = self._read(answer, receive, log, part)
        if more is not None:
            await more
        if not joint.over(part):
            unpack.end()
            if end is not None:
                end.check(answer.upstream)
            piece = joint.end(part)
            self._wait_for_store()
            self._give(piece)

    def _read(
        self, answer: UpstreamAnswer, receive: Callable[[bytes], None], log: ExchangeLog | None, part: int | None = None
    ) -> Deferred[None] | None:
        """Let the body of an answer come, all of it or until there is no use in more of it.

        @param receive: gets the pieces of it.
        @param part: the number of the request that it answers, where `receive` may find that there is no use in more.
        @return: fires then; None where all of it was there already.
        """
        if log is not None:
            plain, told = receive, log.upstream_chunk

            def receive(data: bytes) -> None:
                told(data)
                plain(data)

        whole = answer.whole()
        if whole is not None:
            if whole:
                receive(whole)
            return None

        body = UpstreamBody(answer, receive, self._port.clock, self._port.settings.timeouts.idle)
        if part is not None:
            self._arriving[part] = body
        if self._bodies is None:
            self._bodies = UpstreamBodies()
            self._client.flow_from(self._bodies)
        self._bodies.add(body)
        return body.done

    async def _error_body(
        self, answer: UpstreamAnswer, unpack: Callable[[bytes], bytes], log: ExchangeLog | None
    ) -> bytes:
        pieces: list[bytes] = []
        size = 0
        limit = EVENT_LIMIT if self._call.as_is else _ERROR_LIMIT

        def receive(data: bytes) -> None:
            nonlocal size
            if size <= limit:
                pieces.append(unpack(data)[: limit - size])
                size += len(pieces[-1]) or len(data)

        more = self._read(answer, receive, log)
        if more is not None:
            await more
        whole, masker = b"".join(pieces), self._port.keys.refusal_masker(answer.status)
        return whole if masker is None else masker.feed(whole) + masker.end()

    # what the client gets

    def _wait_for_store(self) -> None:
        """Hold the end of an answer back until it is kept: the client's next request may come at once, and to another
        machine."""
        putting = self._putting()
        if putting is None or self._keeping is not None:
            return
        self._keeping = Deferred()
        # a store has to fail soon; where one does not, an answer is more than its reasoning
        self._keeping.addTimeout(_LONGEST_PUT, self._port.clock)
        self._keeping.addBoth(lambda _: self._kept())
        putting.addBoth(self._is_kept)

    def _putting(self) -> Deferred[None] | None:
        """What the end of the answer has to wait for."""
        turns = self._turns if self._rounds is None else self._rounds.turns
        putting = None if turns is None else turns.putting
        return None if putting is None or putting.called else putting

    def _is_kept(self, result: None) -> None:
        further = self._putting()
        if further is not None:
            # another choice has ended meanwhile
            further.addBoth(self._is_kept)
        elif self._keeping is not None and not self._keeping.called:
            self._keeping.callback(None)

    def _kept(self) -> None:
        """Give what was held back."""
        late = b"".join(self._late)
        self._keeping = None
        self._late.clear()
        if late and not self._client.gone:
            self._give(late)

    def _give(self, data: bytes) -> None:
        """Send a piece of the client's stream, or hold it until upstream has accepted the request."""
        if self._keeping is not None:
            self._late.append(data)
            return
        if self._client.started:
            if data:
                self._client.write(data)
            return
        if data:
            self._pieces.append(data)
        if self._stream and self._joint.accepted:
            self._begin(STREAM_HEADERS)

    def _begin(self, headers: Pairs) -> None:
        """Send the head, and with it what was held back.

        @param headers: what it says of the body.
        """
        self._accepted()
        held = b"".join(self._pieces)
        self._pieces.clear()
        answer = self._as_is
        if answer is None:
            self._client.head(200, [*self._client.extra, *self._headers, *headers], held)
            return
        length = [(name, value) for name, value in headers if name == b"Content-Length" and answer.status != 204]
        self._client.head(
            answer.status, [*for_client_changed(answer.headers), *self._client.extra, *length], held, answer.phrase
        )

    def _end(self) -> None:
        client = self._client
        if client.gone:
            return
        if not client.started:
            length = sum(map(len, self._pieces))
            self._begin(((b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % length)))
        client.finish()

    def _keep_alive(self) -> None:
        """Nothing came for a while: say something that says nothing, unless the client could not take it anyway."""
        client = self._client
        paused = self._bodies is not None and self._bodies.paused
        if client.gone or paused or not (client.started or self._joint.acknowledged):
            # before upstream has said that it works on the request it may refuse it, which the status has to say
            return
        data = self._joint.keepalive() if self._form is KeepaliveForm.CHUNK else _COMMENT
        if not data:
            return
        if client.started:
            client.write(data)
        else:
            self._pieces.append(data)
            self._begin(STREAM_HEADERS)
