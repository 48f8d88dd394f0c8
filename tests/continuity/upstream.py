"""A Responses API that forgives nothing about reasoning, and counts what it is given (bridge.md section 6).

It keeps what the API keeps: responses that were to be stored.  Everything else that it remembers is for the tests to
look at, and changes no answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from oaiproxy.api.errors import ApiError, NotFound
from oaiproxy.api.request import decode_object
from oaiproxy.demo import checks
from oaiproxy.demo.responses_fields import CREATE_RESPONSE
from oaiproxy.demo.responses_question import input_items
from oaiproxy.demo.responses_rules import check_model, check_tools, previous_not_found
from tests.continuity import rules
from tests.continuity.canonical import Item, digest, encoded, kind_of, rounds_of
from tests.continuity.events import failure, stream
from tests.continuity.ledger import Answered, Ledger, Seen, Shown, show
from tests.continuity.output import Output
from tests.continuity.sealing import Contents, Sealer
from tests.continuity.turns import Asked, Ending, Play, Turn

_check_fields = checks.fields(CREATE_RESPONSE, "model")
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: When every response was made, in Unix seconds.
_CREATED = 1_790_000_000

#: How a response ends -> the type of its stream's closing event.
_CLOSING = {
    Ending.COMPLETED: "response.completed",
    Ending.INCOMPLETE: "response.incomplete",
    Ending.FAILED: "response.failed",
    Ending.CUT: None,
}

#: The fields beside the input that a prompt is made of, and that it begins with.
_AT_THE_HEAD = ("instructions", "tools", "text")

Script = Callable[[Asked], Turn]


class Answer(NamedTuple):
    """What a request is answered with.

    @ivar status: the HTTP status.
    @ivar body: JSON, or the events of a stream.
    @ivar cut: the connection breaks at its end.
    """

    status: int
    body: bytes
    cut: bool = False

    @property
    def content_type(self) -> str:
        return "application/json" if self.body.lstrip()[:1] == b"{" else "text/event-stream; charset=utf-8"


class StrictResponses:
    """The Responses API.

    @ivar seen: every request, as it was judged.
    @ivar late: what is refused in a stream is refused in the stream, and not by the status.
    """

    def __init__(self, script: Script | Sequence[Turn] = (), *, late: bool = False) -> None:
        """@param script: says what is answered; or the turns of a conversation."""
        self.late = late
        self._script = script if callable(script) else Play(script)
        self._sealers: dict[str, Sealer] = {}
        self._lost = 0
        self._opened: dict[str, Contents] = {}
        self._ledger = Ledger(self._open)
        self._stored: dict[str, tuple[str, tuple[Item, ...]]] = {}
        self._conversations: dict[str, tuple[str, tuple[Item, ...]]] = {}
        self.seen: list[Seen] = self._ledger.seen

    # -- what tests look at, and do to it

    @property
    def last(self) -> Seen:
        """The last request."""
        return self.seen[-1]

    @property
    def answered(self) -> list[Seen]:
        """The requests that were not refused."""
        return [seen for seen in self.seen if seen.status == 200 and seen.code is None]

    @property
    def refused(self) -> list[str]:
        """What was said of the requests that were refused."""
        return [seen.message for seen in self.seen if seen.code is not None or seen.status != 200]

    def forget_key(self, account: str) -> None:
        """What was sealed for an account cannot be opened any more, as when the account is another's behind the key."""
        self._lost += 1
        self._opened.clear()
        self._sealers[account] = self._new_sealer(account)

    def conversation(self, account: str, *items: Item) -> str:
        """Begin a conversation object, and return its id."""
        name = f"conv_{digest(account.encode(), b'%d' % len(self._conversations))}"
        self._conversations[name] = (account, items)
        return name

    # -- answering

    def answer(self, body: bytes, account: str) -> Answer:
        """Answer ``POST /v1/responses``.

        @param account: whose key the request came with.
        """
        seen = Seen(len(self.seen), account, body)
        self.seen.append(seen)
        request: dict[str, Any] = {}
        try:
            request = decode_object(body)
            _check_fields(request, "")
            return self._answer(request, seen)
        except ApiError as error:
            seen.status, seen.code, seen.message = error.status, error.code or error.type, error.message
            if self.late and request.get("stream"):
                seen.status = 200
                told = {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
                return Answer(200, failure(told, self._envelope(request, "resp_failed", "failed")))
            return Answer(error.status, error.body())

    def _answer(self, request: Mapping[str, Any], seen: Seen) -> Answer:
        model = seen.model = request["model"]
        account, family, stored = seen.account, rules.family_of(model), request.get("store") is not False
        effort = check_model(request)
        check_tools(request)
        rules.check_chain(request)
        all_turns = rules.renders_all_turns(model, (request.get("reasoning") or {}).get("context"))
        own = input_items(request.get("input"))
        rules.check_reasoning_fields(own, model)
        rules.check_known(own, self._ledger, account, stored)
        chain = self._chain(request, account)
        sealed = [*map(self._known, chain), *self._contents(own, account, family)]
        conversation = (*chain, *(self._resolved(item) for item in own))
        rules.check_once(conversation, sealed)
        rules.check_pairs(conversation)
        rules.check_places(conversation, sealed, self._ledger, len(chain))
        shown = show(conversation, sealed, all_turns)
        again = self._ledger.times(account, model, conversation)
        asked = self._asked(request, seen, conversation, again)
        self._judge(seen, asked, sealed, shown)
        turn = self._script(Asked(rounds_of(conversation), again, model))
        if effort is None and not rules.is_open(model):
            turn = turn.without_thoughts()
        return self._make(request, asked, shown, turn)

    @staticmethod
    def _asked(request: Mapping[str, Any], seen: Seen, conversation: tuple[Item, ...], again: int) -> Answered:
        fields = _raw_fields.decode(seen.body)
        raw = bytes(fields.get("input", b""))
        name = digest(seen.account.encode(), seen.model.encode(), encoded(list(conversation)), b"%d" % again)
        chained = any(request.get(field) is not None for field in ("previous_response_id", "conversation"))
        return Answered(
            number=seen.number,
            response_id=f"resp_{name}",
            account=seen.account,
            model=seen.model,
            family=rules.family_of(seen.model),
            head=b",".join(bytes(fields.get(name, b"")) for name in _AT_THE_HEAD),
            raw=raw,
            chained=chained,
            conversation=conversation,
            output=(),
            kept=False,
        )

    def _judge(self, seen: Seen, asked: Answered, sealed: Sequence[Contents | None], shown: Shown) -> None:
        seen.response_id = asked.response_id
        seen.given = seen.verified = tuple(contents.item_id for contents in sealed if contents is not None)
        seen.used, seen.dropped, seen.unrendered = shown.used, shown.dropped, shown.unrendered
        seen.plain = sum(
            kind_of(item) == "reasoning" and contents is None
            for item, contents in zip(asked.conversation, sealed, strict=True)
        )
        self._ledger.judge(seen, asked)

    def _make(self, request: Mapping[str, Any], asked: Answered, shown: Shown, turn: Turn) -> Answer:
        seals = "reasoning.encrypted_content" in (request.get("include") or ()) and not rules.is_open(asked.model)
        sealer = self._sealer(asked.account) if seals else None
        output = Output(asked.response_id, asked.account, asked.family, shown.prompt, sealer)
        tools = {tool.get("name", tool["type"]): tool["type"] for tool in request.get("tools") or ()}
        for part in turn.parts:
            output.add(part, tools)
        streams = bool(request.get("stream"))
        ending = Ending.FAILED if turn.ending is Ending.CUT and not streams else turn.ending
        kept = ending in (Ending.COMPLETED, Ending.INCOMPLETE)
        stored = request.get("store") is not False
        asked = replace(asked, output=tuple(output.items), kept=kept)
        self._ledger.keep(asked, stored and kept, output.contents)
        if kept:
            self._store(request, asked, stored)
        response = self._envelope(request, asked.response_id, ending.value, output.items)
        if not streams:
            return Answer(200, json.dumps(response).encode())
        events = stream(response, output.as_in("added"), output.as_in("completed"), _CLOSING[ending])
        return Answer(200, events, cut=ending is Ending.CUT)

    # -- what is kept

    def _store(self, request: Mapping[str, Any], answered: Answered, stored: bool) -> None:
        whole = (*answered.conversation, *answered.output)
        if stored:
            self._stored[answered.response_id] = answered.account, whole
        conversation = request.get("conversation")
        if conversation is not None:
            self._conversations[_conversation_id(conversation)] = answered.account, whole

    def _chain(self, request: Mapping[str, Any], account: str) -> tuple[Item, ...]:
        """What the request goes on with.

        @raise ApiError: there is no such thing.
        """
        previous, conversation = request.get("previous_response_id"), request.get("conversation")
        if previous is not None:
            owner, items = self._stored.get(previous, (None, ()))
            if owner != account:
                raise previous_not_found(previous)
            return items
        if conversation is not None:
            name = _conversation_id(conversation)
            owner, items = self._conversations.get(name, (None, ()))
            if owner != account:
                raise NotFound(f"Conversation with id '{name}' not found.", param="conversation")
            return items
        return ()

    # -- what is sealed

    def _sealer(self, account: str) -> Sealer:
        if account not in self._sealers:
            self._sealers[account] = self._new_sealer(account)
        return self._sealers[account]

    def _new_sealer(self, account: str) -> Sealer:
        return Sealer(b"%d %b" % (self._lost, account.encode()))

    def _open(self, blob: str) -> Contents | None:
        """What is sealed, whoever's it is."""
        for sealer in self._sealers.values() if blob not in self._opened else ():
            contents = sealer.open(blob)
            if contents is not None:
                self._opened[blob] = contents
        return self._opened.get(blob)

    def _contents(self, own: Sequence[Item], account: str, family: str) -> Iterator[Contents | None]:
        opened = rules.opened(own, self._open, account, family)
        for item, contents in zip(own, opened, strict=True):
            yield contents if contents is not None else self._known(item)

    def _known(self, item: Item) -> Contents | None:
        made = self._ledger.made(item.get("id"))
        return made.contents if made is not None else None

    def _resolved(self, item: Item) -> Item:
        """What an item refers to, or the item."""
        made = self._ledger.made(item.get("id")) if kind_of(item) == "item_reference" else None
        return made.item if made is not None else item

    # -- the response object

    @staticmethod
    def _envelope(
        request: Mapping[str, Any], name: str, status: str, output: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        """A response object (schema ``Response``)."""
        failed = status in ("failed", "cut")
        reasoning = request.get("reasoning") or {}
        thinking = sum(item["type"] == "reasoning" for item in output)
        error = {"code": "server_error", "message": "The model gave up."}
        return {
            "id": name,
            "object": "response",
            "created_at": _CREATED,
            "status": "failed" if failed else status,
            "error": error if failed else None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": request.get("instructions"),
            "metadata": {},
            "model": request.get("model"),
            "output": list(output),
            "parallel_tool_calls": True,
            "previous_response_id": request.get("previous_response_id"),
            "prompt_cache_key": request.get("prompt_cache_key"),
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "service_tier": "default",
            "store": request.get("store") is not False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": request.get("tools") or [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 10 + 8 * thinking,
                "output_tokens_details": {"reasoning_tokens": 8 * thinking},
                "total_tokens": 110 + 8 * thinking,
            },
        }


def _conversation_id(value: Any) -> str:
    return str(value["id"]) if isinstance(value, Mapping) else str(value)
