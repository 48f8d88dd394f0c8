"""The rounds of an exchange whose model calls tools of the proxy's."""

from __future__ import annotations

from collections.abc import Sequence

from oaiproxy.api.request import ApiRequest, JsonObject
from oaiproxy.tools import RoundsAnswer, Told, follow_up, tool_message
from oaiproxy.web.context import PortContext
from oaiproxy.web.continuity import Turns
from oaiproxy.web.dialects import Call, Dialect
from oaiproxy.web.incoming import Incoming, Outgoing
from oaiproxy.web.toolcalls import ToolContext, ToolRunner


class ToolRounds:
    """Runs the calls of each round, and says what goes upstream for the next one.

    @ivar joint: makes one answer of those of all rounds.
    """

    def __init__(
        self,
        name: str,
        port: PortContext,
        request: ApiRequest,
        own: frozenset[str],
        dialect: Dialect,
        incoming: Incoming,
        call: Call,
        turns: Turns | None = None,
    ) -> None:
        """
        @param name: the exchange's, for the log.
        @param port: where the request came in.
        @param request: the request after the transforms.
        @param own: the names of the functions that the proxy runs for it.
        @param dialect: how it is said upstream.
        @param incoming: the client's half.
        @param call: what is sent in the first round.
        @param turns: the kept turns of the conversation; None where none are kept.
        """
        self._port = port
        self._request = request
        self._own = own
        self._dialect = dialect
        self._incoming = incoming
        self._turns = turns
        if turns is not None:
            turns.in_rounds = True
        self._rounds: list[list[JsonObject]] = []
        self._runner = ToolRunner(name, port.tools, ToolContext(port.settings, request, port.clock))
        self.joint = RoundsAnswer(own, Told(request.json.get("stop")), call.stream, call.as_is)
        self.joint.next_round(call.translator(), last=False)

    @property
    def turns(self) -> Turns | None:
        """The kept turns for the round that runs."""
        return self._turns

    @property
    def begun(self) -> bool:
        """Whether calls were run, which must not be run again."""
        return bool(self._rounds)

    async def following(self) -> tuple[Call, list[Outgoing]] | None:
        """Run the calls of the round that is over.

        @return: what goes upstream now, or None where the answer is whole.
        @raise ApiError: the model does not stop calling, or cannot be asked again.
        """
        self.joint.check()
        turn = self.joint.turn
        if turn is None:
            return None
        number, calls = len(self._rounds), turn.own_calls
        results = await self._runner.run(calls)
        answers = [tool_message(turn.call_id(call, number), text) for call, text in zip(calls, results, strict=True)]
        self._rounds.append([turn.message(number), *answers])
        last = len(self._rounds) >= self._port.tools.settings.rounds
        request = follow_up(self._request, self._rounds, self._port.tools, self._own, last)
        self._turns = await self._turns_of(request, answers)
        call = self._dialect(request, self._incoming.context(self._turns))
        self.joint.next_round(call.translator(), last)
        return call, [self._incoming.outgoing(call, body) for body in call.bodies]

    async def _turns_of(self, request: ApiRequest, results: Sequence[JsonObject]) -> Turns | None:
        """The kept turns for a round after the first.

        @param results: what the tools gave, as messages.
        """
        last, continuity = self._turns, self._port.continuity
        turns = None if last is None or continuity is None else await continuity.turns(request, self._incoming)
        if last is not None and turns is not None:
            turns.continues(last, results)
        return turns
