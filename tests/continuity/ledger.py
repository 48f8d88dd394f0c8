"""What the upstream of these tests remembers: what it answered, and what it was given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import zip_longest

from tests.continuity.canonical import CALLS, Item, Rendered, canonical, digest, encoded, is_text, kind_of, visible
from tests.continuity.sealing import Contents


@dataclass(frozen=True)
class Made:
    """An output item, and what belongs to it.

    @ivar item: the item.
    @ivar following: the item that came right after it in the response, or None.
    @ivar reasoning: the id of the last reasoning item before it in the response, or None.
    @ivar account: whose it is.
    @ivar stored: whether it was kept.
    @ivar contents: what is sealed in it, or would be.
    """

    item: Item
    following: Item | None
    reasoning: str | None
    account: str
    stored: bool
    contents: Contents | None


@dataclass(frozen=True)
class Answered:
    """A request that was answered.

    @ivar number: its place among the requests.
    @ivar response_id: the response's.
    @ivar account: whose it was.
    @ivar model: the model.
    @ivar family: the model's family.
    @ivar head: what of the body else is at the head of the prompt, as bytes.
    @ivar raw: the ``input`` as bytes.
    @ivar chained: upstream itself held what went before.
    @ivar conversation: all items that the model was asked with.
    @ivar output: the items of the response.
    @ivar kept: the response came to an end that a client may go on from.
    """

    number: int
    response_id: str
    account: str
    model: str
    family: str
    head: bytes
    raw: bytes
    chained: bool
    conversation: tuple[Item, ...]
    output: tuple[Item, ...]
    kept: bool

    @cached_property
    def prompt(self) -> str:
        """Stands for what the model was asked with."""
        return _prompt(self.conversation)

    @cached_property
    def after(self) -> tuple[tuple[str, ...], ...]:
        """The conversation as a client sees it, with the response."""
        return visible((*self.conversation, *self.output))


class Prefix(str, Enum):
    """What of a conversation's last turn came again byte for byte."""

    FIRST = "first"  # there was no turn before
    SAME = "same"
    CHANGED = "changed"


@dataclass
class Seen:
    """One request, as the upstream judged it.

    The reasoning items are named by their ids, which a request need not send: they are in what is sealed.

    @ivar number: its place among the requests.
    @ivar account: whose key it came with.
    @ivar model: the model.
    @ivar body: the request's body.
    @ivar status: the HTTP status that it was answered with.
    @ivar code: the code of the error, or None.
    @ivar message: the message of the error, or an empty string.
    @ivar response_id: the response's, where there was one.
    @ivar given: the reasoning items in it, those of the chain included.
    @ivar verified: those that were opened.
    @ivar used: those that the model was shown.
    @ivar dropped: those that were left out, as the prompt before them is not the one that they were made with (R10).
    @ivar unrendered: those that ``reasoning.context`` leaves out (R11).
    @ivar plain: how many reasoning items were given in the model's own words, and not sealed.
    @ivar missing: those that could have been given as well.
    @ivar prefix: whether the last turn came again as it was.
    @ivar head_same: whether tools and instructions, which are at the head of the prompt, are what they were then.
    """

    number: int
    account: str
    body: bytes
    model: str = ""
    status: int = 200
    code: str | None = None
    message: str = ""
    response_id: str | None = None
    given: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    unrendered: tuple[str, ...] = ()
    plain: int = 0
    missing: tuple[str, ...] = ()
    prefix: Prefix = Prefix.FIRST
    head_same: bool = True


Opens = Callable[[str], Contents | None]


class Ledger:
    """All that was answered.

    @ivar seen: every request.
    """

    def __init__(self, opens: Opens) -> None:
        """@param opens: opens what is sealed."""
        self.seen: list[Seen] = []
        self._opens = opens
        self._answered: list[Answered] = []
        self._made: dict[str, Made] = {}

    # -- what was made

    def keep(self, answered: Answered, stored: bool, sealed: Mapping[str, Contents]) -> None:
        """Remember an answer.

        @param stored: its items can be named by their ids from now on.
        @param sealed: what is sealed in its reasoning items, by their ids.
        """
        self._answered.append(answered)
        reasoning = None
        for item, following in zip_longest(answered.output, answered.output[1:]):
            self._made[item["id"]] = Made(item, following, reasoning, answered.account, stored, sealed.get(item["id"]))
            if kind_of(item) == "reasoning":
                reasoning = item["id"]

    def made(self, item_id: object) -> Made | None:
        """What is known of an item of that id."""
        return self._made.get(item_id) if isinstance(item_id, str) else None

    def times(self, account: str, model: str, conversation: Sequence[Item]) -> int:
        """How often the very same was asked before."""
        asked = _prompt(conversation)
        return sum(
            (answered.account, answered.model) == (account, model) and answered.prompt == asked
            for answered in self._answered
        )

    # -- what may come back

    def carriable(self, output: Sequence[Item]) -> Iterator[Item]:
        """The reasoning items of a response that a later request can hold: sealed ones with something whole behind them
        that they led to, and none behind the last call."""
        calls = [index for index, item in enumerate(output) if kind_of(item) in CALLS]
        last = calls[-1] if calls else len(output)
        for index, item in enumerate(output):
            blob = item.get("encrypted_content")
            if kind_of(item) != "reasoning" or not isinstance(blob, str) or index > last or not self._opens(blob):
                continue
            led_to = next((later for later in output[index + 1 :] if kind_of(later) != "reasoning"), None)
            if led_to is not None and led_to.get("status", "completed") == "completed":
                yield item

    def replayed(self, output: Sequence[Item]) -> list[Item]:
        """A response's items as a later request should hold them."""
        carried = {item["id"] for item in self.carriable(output)}
        return [item for item in output if kind_of(item) != "reasoning" or item["id"] in carried]

    # -- what came back

    def judge(self, seen: Seen, asked: Answered) -> None:
        """Say what a request could have given and did not, and whether it begins as the one before it did.

        @param asked: the request as an answer to it would be kept; its output does not matter.
        """
        now = visible(asked.conversation)
        earlier = [
            answered
            for answered in self._answered
            if (answered.account, answered.family, answered.kept) == (asked.account, asked.family, True)
            and _begins_with(now, answered.after)
        ]
        given = set(seen.given)
        # one history may have been answered several times in the same words: any of these is as good as another
        by_history: dict[int, list[set[str]]] = {}
        for answered in earlier:
            ids = {item["id"] for item in self.carriable(answered.output)}
            by_history.setdefault(len(answered.after), []).append(ids)
        missing = [min((ids - given for ids in several), key=len) for several in by_history.values()]
        seen.missing = tuple(sorted(item_id for ids in missing for item_id in ids))
        if not earlier or asked.chained:
            return
        longest = max(len(answered.after) for answered in earlier)
        last = [answered for answered in earlier if len(answered.after) == longest and not answered.chained]
        same = [answered for answered in last if self._goes_on(answered, asked)]
        seen.prefix = Prefix.SAME if same or not last else Prefix.CHANGED
        seen.head_same = not last or any(answered.head == asked.head for answered in last)

    def _goes_on(self, last: Answered, asked: Answered) -> bool:
        """Whether a request begins with the bytes of an earlier one, and goes on with what that was answered."""
        if not last.raw.startswith(b"["):
            return False
        begins = asked.raw.startswith(last.raw.rstrip()[:-1].rstrip())
        there = asked.conversation[len(last.conversation) :]
        # reasoning that led to half an item may come back, and need not
        return begins and any(
            [canonical(item) for item in there[: len(expected)]] == [canonical(item) for item in expected]
            for expected in (self.replayed(last.output), last.output)
        )


def _begins_with(now: Sequence[tuple[str, ...]], then: Sequence[tuple[str, ...]]) -> bool:
    """Whether a conversation goes on from an earlier one, with the model's last turn in it as it was."""
    more = now[len(then) : len(then) + 1]
    return now[: len(then)] == then and not (more and more[0][0] in ("assistant", "call"))


def _prompt(conversation: Sequence[Item]) -> str:
    return digest(encoded([canonical(item) for item in conversation]))


@dataclass(frozen=True)
class Shown:
    """What of the reasoning in a request the model is shown."""

    used: tuple[str, ...]
    dropped: tuple[str, ...]
    unrendered: tuple[str, ...]
    prompt: Rendered


def show(conversation: Sequence[Item], sealed: Sequence[Contents | None], all_turns: bool) -> Shown:
    """Render a conversation.

    @param conversation: all its items.
    @param sealed: for each of them what is sealed in it, or None.
    @param all_turns: reasoning of all turns is shown, not only that behind the last message of the user (R11).
    """
    users = [index for index, item in enumerate(conversation) if kind_of(item) == "message" and not is_text(item)]
    turn = 0 if all_turns or not users else users[-1]
    prompt = Rendered()
    used, dropped, unrendered = [], [], []
    for index, (item, contents) in enumerate(zip(conversation, sealed, strict=True)):
        if contents is None:
            prompt.add(item)
        elif index < turn:
            unrendered.append(contents.item_id)
        elif contents.prefix != prompt.state:
            dropped.append(contents.item_id)
        else:
            used.append(contents.item_id)
            prompt.add_thought(contents.item_id)
    return Shown(tuple(used), tuple(dropped), tuple(unrendered), prompt)
