"""Turns that are kept between the requests of a conversation: what asks the store, and what fills it.

What is kept and when it goes back is `oaiproxy.bridge.continuity`'s to say.  A store that fails costs the reasoning,
and never the answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy.api.errors import ApiError
from oaiproxy.api.place import trace_of
from oaiproxy.api.request import ApiRequest, JsonObject
from oaiproxy.bridge.continuity import (
    NOTHING,
    Before,
    Conversation,
    KeptTurn,
    Recalled,
    Scope,
    blames_recall,
    blames_these,
    carried,
    converse,
    details,
    family,
    kept_items,
    kept_turn,
    recall,
    says_more,
    turn_key,
)
from oaiproxy.bridge.continuity.turns import Item
from oaiproxy.bridge.slots import Slots
from oaiproxy.interfaces import IStateStore
from oaiproxy.models import Capabilities, Catalogue
from oaiproxy.settings import ReasoningContinuity
from oaiproxy.store import StoreUnavailable

#: The response header field that says what of the assistant's turns went back: ``2 of 3 turns``.
CONTINUITY = b"x-oaiproxy-continuity"

#: A turn of more bytes is not kept: pictures that a model drew are the client's to send back.
LARGEST_TURN = 1 << 20

#: For so many seconds nothing goes back to a model that takes no such items; of so many models it is remembered.
_GIVEN_UP_FOR, _REMEMBERED = 3600.0, 1024

#: How often, in seconds, the service's log is told of a store that fails.
_TOLD_EVERY = 60.0

#: With these upstream knows the conversation itself (R12).
_CHAINS = ("previous_response_id", "conversation")


class Owner(Protocol):
    """Whose conversation a request is of.

    @ivar tenant: stands for who asks.
    @ivar account: stands for the upstream's account.
    @ivar own_account: that is the client's own.
    """

    @property
    def tenant(self) -> bytes: ...

    @property
    def account(self) -> bytes: ...

    @property
    def own_account(self) -> bool: ...


class Continuity:
    """The kept turns of a port."""

    _log = Logger()

    def __init__(
        self,
        mode: ReasoningContinuity,
        store: IStateStore,
        seconds: float,
        models: Catalogue,
        clock: Callable[[], float],
    ) -> None:
        """
        @param mode: who keeps turns.
        @param store: where they are kept.
        @param seconds: for how long.
        @param models: what models can do.
        @param clock: tells the time, in seconds.
        """
        self.mode = mode
        self._store = store
        self._seconds = seconds
        self._models = models
        self._clock = clock
        self._told = float("-inf")
        self._refused: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    async def turns(self, request: ApiRequest, owner: Owner) -> Turns | None:
        """What is kept for a request, and what will keep its answer.

        @param request: a chat request, after the transforms.
        @param owner: whose it is.
        @return: None where there is nothing to keep.
        """
        asked, model = request.json, request.model
        if model is None or not self._may_reason(model) or any(asked.get(name) is not None for name in _CHAINS):
            return None
        conversation = converse(asked.get("messages"))
        if conversation is None:
            return None
        turns = Turns(self, conversation, model, owner)
        if conversation.turns:
            try:
                await turns.look_up()
            except CancelledError:
                raise
            except Exception as e:
                # the client's own words do without
                self._log.error("nothing can be put back into a conversation\n{trace}", trace=trace_of(e))
        return turns

    def _may_reason(self, model: str) -> bool:
        can = self._models.capabilities(model)
        return can.reasoning or can == Capabilities()

    async def found(self, keys: dict[int, bytes]) -> dict[int, KeptTurn]:
        """The turns that are kept by some keys."""
        try:
            values = await self._store.get(list(keys.values()))
        except StoreUnavailable as e:
            self._tell(e)
            return {}
        turns = {index: KeptTurn.decoded(value) for index, value in zip(keys, values, strict=True) if value is not None}
        return {index: turn for index, turn in turns.items() if turn is not None}

    def keep(self, entries: Mapping[bytes, bytes]) -> Deferred[None] | None:
        """Keep turns; it is begun at once.

        @return: fires when they are kept, or cannot be; None where they are already.
        """
        putting = self._look_after(self._store.put(entries, self._seconds))
        return None if putting.called else putting

    def forget(self, keys: Iterable[bytes]) -> None:
        """Let go of turns that upstream refused."""
        self._look_after(self._store.forget(list(keys)))

    def give_up(self, scope: Scope) -> None:
        """Put nothing back for a model for a while, as upstream takes none of it."""
        self._refused[scope.model, scope.account] = self._clock()
        self._refused.move_to_end((scope.model, scope.account))
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)

    def gave_up(self, scope: Scope) -> bool:
        """Whether nothing is put back for a model."""
        since = self._refused.get((scope.model, scope.account))
        return since is not None and self._clock() - since < _GIVEN_UP_FOR

    def _look_after(self, doing: Deferred[None]) -> Deferred[None]:
        return doing.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, StoreUnavailable):
            self._tell(error)
        elif error is not None and not isinstance(error, CancelledError):
            self._log.error("the store failed\n{trace}", trace=trace_of(error))

    def _tell(self, error: StoreUnavailable) -> None:
        now = self._clock()
        if now - self._told >= _TOLD_EVERY:
            self._told = now
            self._log.warn("turns are not kept, and reasoning is lost between requests: {error}", error=error)


class Turns:
    """What goes back into the history of one request, and what becomes of its answer.

    @ivar recalled: what goes back.
    @ivar putting: fires when the answer, or each of its choices so far, is kept; None where it is already, or will not
        be.
    @ivar in_rounds: the answer may take several rounds, as tools of the proxy's may be called in it.
    """

    _log = Logger()

    def __init__(self, continuity: Continuity, conversation: Conversation, model: str, owner: Owner) -> None:
        """
        @param continuity: who keeps turns.
        @param conversation: the request's history.
        @param model: the model that is asked for.
        @param owner: whose request it is.
        """
        self.recalled = NOTHING
        self.putting: Deferred[None] | None = None
        self.in_rounds = False
        self._continuity = continuity
        self._conversation: Conversation | None = conversation
        self._before = conversation.before
        self._asked = conversation.before  # what the client asked, where the answer takes several rounds
        self._model = model
        self._owner = owner
        self._said: list[Item] | None = None  # what was kept of the answer
        self._earlier: list[Item] = []  # what was said in earlier rounds of the same answer
        self._keys: dict[int, bytes] = {}
        self._refusal: ApiError | None = None  # of what went back
        self._suspects: list[bytes] = []  # the keys of that

    @cached_property
    def _scope(self) -> Scope:
        # most answers have nothing to keep: then nobody needs to know whose they are
        return Scope(self._owner.tenant, self._owner.account, family(self._model))

    async def look_up(self) -> None:
        """Find out what goes back."""
        conversation, scope = self._conversation, self._scope
        # an answer may take long, and the history is of no use to it
        self._conversation = None
        if conversation is None:
            return
        if self._continuity.gave_up(scope):
            self.recalled = Recalled({}, len(conversation.turns))
            return
        found: dict[int, KeptTurn] = {}
        keys = self._keys
        for said in conversation.turns:
            turn = carried(said, scope, own_account=self._owner.own_account) if said.carried else None
            if turn is not None:
                found[said.index] = turn
            elif key := turn_key(scope.tenant, said):
                keys[said.index] = key
        if keys:
            found.update(await self._continuity.found(keys))
        self.recalled = recall(conversation, found, scope)

    def header(self) -> tuple[bytes, bytes] | None:
        """What the client is told; None where its history has no turns."""
        count = self.recalled.asked
        return (CONTINUITY, b"%d of %d turns" % (len(self.recalled.turns), count)) if count else None

    def continues(self, last: Turns, results: Iterable[JsonObject]) -> None:
        """The answer is one more round of an answer in which tools of the proxy's were called: to the client it is all
        one turn.

        @param last: those of the round before.
        @param results: what the tools gave, as messages.
        """
        self.in_rounds = True
        if last._said is None:
            return
        outputs = [
            {"type": "function_call_output", "call_id": result["tool_call_id"], "output": result["content"]}
            for result in results
        ]
        self._earlier = [*last._earlier, *last._said, *outputs]
        self._asked = last._asked

    def keep(self, slots: Slots) -> list[JsonObject]:
        """Keep a finished answer.

        @return: what the client is to carry.
        """
        try:
            return self._kept(slots)
        except Exception as e:
            # the answer is whole, whatever upstream has put into it
            self._log.error("an answer cannot be kept\n{trace}", trace=trace_of(e))
            return []

    def _kept(self, slots: Slots) -> list[JsonObject]:
        if not (self.in_rounds or says_more(slots)):
            return []
        self._said = items = kept_items(slots)
        if items is None:
            return []
        entries: dict[bytes, bytes] = {}
        turn = self._enter(entries, items, self._before)
        if self._earlier:
            self._enter(entries, [*self._earlier, *items], self._asked)
        if entries:
            self.putting = _both(self.putting, self._continuity.keep(entries))
        carries = self._continuity.mode is ReasoningContinuity.CARRIER and not self._earlier
        return details(turn, self._scope) if carries and turn is not None else []

    def _enter(self, entries: dict[bytes, bytes], items: list[Item], before: Before) -> KeptTurn | None:
        turn = kept_turn(items, self._scope, before.prefix)
        value = None if turn is None else turn.encoded()
        if turn is not None and value is not None and len(value) <= LARGEST_TURN:
            entries[turn.key(self._scope.tenant, before.since)] = value
        return turn

    def accepted(self) -> None:
        """Upstream has taken the request: what went back is not needed any more, and what it refused was to blame."""
        self.recalled = NOTHING
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            return
        if self._suspects:
            self._continuity.forget(self._suspects)
        if not blames_these(refusal):
            self._continuity.give_up(self._scope)

    def refused(self, error: ApiError) -> bool:
        """Whether upstream may have refused what went back; it does not go back again then.

        It is forgotten when upstream takes the request without it; otherwise it was not to blame.
        """
        if not self.recalled.turns or not blames_recall(error):
            return False
        self._refusal = error
        self._suspects = [self._keys[index] for index in self.recalled.turns if index in self._keys]
        self.recalled = Recalled({}, self.recalled.asked)
        return True


def _both(one: Deferred[None] | None, other: Deferred[None] | None) -> Deferred[None] | None:
    """Fires when both have; neither ever fails."""
    if one is None or one.called or other is None:
        return one if other is None else other
    together: Deferred[None] = gatherResults([one, other]).addCallback(lambda _: None)
    return together
