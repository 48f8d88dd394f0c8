"""What the proxy takes back of its own when an upstream refuses it.

The proxy adds things that a client did not ask for: reasoning, summaries, the web search tool, a cache key.  Where an
upstream refuses a request because of one of them, the request is sent again without it, before the client sees
anything.  What the client itself asked for is never taken out.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from oaiproxy.api.errors import ApiError, UpstreamError
from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.bridge.request import ENCRYPTED

#: The statuses with which servers refuse a field: 403 for what an account may not use, 422 as FastAPI does.
REFUSALS = frozenset({400, 403, 422})

#: For how long, in seconds, what was learnt of a model holds; then it is tried again.
LEARNT_FOR = 24 * 3600.0

#: Of how many models and accounts something is remembered; clients can name any model.
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that the proxy adds and can leave out.

    @ivar name: what it is, as the log says it.
    @ivar refused: finds it in an upstream's refusal: in the name of the field, a line end, and the message.
    @ivar leave_out: the request without it, or None where the proxy did not add it.
    @ivar of_account: an upstream refuses it to some accounts, and not to others.
    """

    name: str
    refused: re.Pattern[str]
    leave_out: Callable[[ApiRequest], ApiRequest | None]
    of_account: bool = False


def _without_summary(request: ApiRequest) -> ApiRequest | None:
    reasoning = request.json.get("reasoning")
    if "reasoning" not in request.added or not isinstance(reasoning, dict) or "summary" not in reasoning:
        return None
    if request.choice is not None and request.choice.summary is not None:
        return None  # the client asked for it, by an alias
    rest = {key: value for key, value in reasoning.items() if key != "summary"}
    return request.with_fields(reasoning=rest) if rest else request.without_fields({"reasoning"})


def _without(field: str) -> Callable[[ApiRequest], ApiRequest | None]:
    """Leave out a field that a transform added."""

    def leave_out(request: ApiRequest) -> ApiRequest | None:
        added = field in request.added and request.json.get(field) is not None
        return request.without_fields({field}) if added else None

    return leave_out


def _without_reasoning(request: ApiRequest) -> ApiRequest | None:
    choice = request.choice
    if choice is not None and (choice.effort is not None or choice.summary is not None):
        return None
    return _without("reasoning")(request)


def _without_tools(request: ApiRequest) -> ApiRequest | None:
    """Offer none of the tools that the proxy runs itself."""
    return replace(request, tools=frozenset()) if request.tools else None


def _without_usage(request: ApiRequest) -> ApiRequest | None:
    """Do not ask for the usage of a stream: its tokens are not counted then."""
    options = request.json.get("stream_options")
    if "stream_options" not in request.added or not isinstance(options, dict) or "include_usage" not in options:
        return None
    rest = {key: value for key, value in options.items() if key != "include_usage"}
    return request.with_fields(stream_options=rest) if rest else request.without_fields({"stream_options"})


def _untranslated(field: str, own: str | None = None) -> Callable[[ApiRequest], ApiRequest | None]:
    """Leave out a field that the translation adds.

    @param own: what the client would have said in that field, if only a part of it is upstream's.
    """

    def leave_out(request: ApiRequest) -> ApiRequest | None:
        if request.port is not PortKind.BRIDGE:
            return None  # nothing is translated there
        given = request.json.get(field)
        if own is not None and isinstance(given, dict):
            given = given.get(own)
        if field in request.leave_out or given is not None:
            return None
        return replace(request, leave_out=request.leave_out | {field})

    return leave_out


def _repair(
    name: str, refused: str, leave_out: Callable[[ApiRequest], ApiRequest | None], of_account: bool = False
) -> Repair:
    return Repair(name, re.compile(refused, re.IGNORECASE), leave_out, of_account)


_SAMPLING = r"temperature|top_p|logprobs"


def _without_encrypted(request: ApiRequest) -> ApiRequest | None:
    """Do not ask for reasoning that can be given back."""
    asked = request.json.get("include")
    by_client = isinstance(asked, list) and ENCRYPTED in asked
    if request.port is not PortKind.BRIDGE or "include" in request.leave_out or by_client:
        return None
    return replace(request, leave_out=request.leave_out | {"include"})


#: The repairs, in the order in which they are tried: of those that fit a refusal the first one that is possible.
REPAIRS = (
    # "Encrypted content is not supported with this model", by models of which nobody knows whether they reason
    _repair(
        "reasoning.encrypted_content",
        r"\binclude\b|reasoning\.encrypted_content|encrypted content is not supported",
        _without_encrypted,
    ),
    # "Your organization must be verified to generate reasoning summaries": continuedev/continue#12031
    _repair("reasoning.summary", r"reasoning\.(generate_)?summary|summar(y|ies)", _without_summary, of_account=True),
    # "The following tools cannot be used with reasoning.effort 'minimal': web_search": openai/codex#3559; llama.cpp
    # says that the 'type' of a tool must be 'function'
    _repair("web_search", r"web_search|web search|\btools?\b|hosted", _without("tools")),
    _repair("the proxy's tools", r"\btools?\b|function", _without_tools),
    _repair("prompt_cache_key", r"prompt_cache_key", _without("prompt_cache_key")),
    # a model that samples refuses that while it reasons, which it does only because of us
    _repair("reasoning", rf"reasoning|\beffort\b|{_SAMPLING}", _without_reasoning),
    _repair("stream_options.include_usage", r"stream_options|include_usage", _without_usage),
    _repair(
        "stream_options", r"stream_options|include_obfuscation", _untranslated("stream_options", "include_obfuscation")
    ),
    _repair("store", r"\bstore\b", _untranslated("store")),
)


def repair_for(request: ApiRequest, error: ApiError) -> tuple[Repair, ApiRequest] | None:
    """What can be done about a refusal.

    @param request: the request that was refused, with the transforms' additions named in its ``added``.
    @param error: what the client would be told.
    @return: the repair and the repaired request, or None where it is not the proxy's fault.
    """
    if not isinstance(error, UpstreamError) or error.status not in REFUSALS:
        return None
    said = f"{error.upstream_param or ''}\n{error.message}"
    for repair in REPAIRS:
        if repair.refused.search(said):
            repaired = repair.leave_out(request)
            if repaired is not None:
                return repair, repaired
    return None


class Learnt:
    """What upstream was seen to refuse, so that only one request pays for the lesson.

    A repair is remembered for a model, or, where upstream's accounts differ in it, for a model and an account.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """@param clock: tells the time, in seconds."""
        self._clock = clock
        self._known: OrderedDict[tuple[str, bytes], dict[str, float]] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there is anything to leave out of anybody's requests."""
        return bool(self._known)

    def keep(self, model: str | None, account: bytes, repair: Repair) -> bool:
        """Remember a repair that helped.

        @param account: stands for the credentials of the request; never those themselves.
        @return: whether it is news.
        """
        key = (model or "", account if repair.of_account else b"")
        known = self._known.setdefault(key, {})
        news = repair.name not in known
        known[repair.name] = self._clock()
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return news

    def apply(self, request: ApiRequest, account: bytes) -> ApiRequest:
        """The request without what upstream refuses for its model."""
        model = request.model or ""
        for repair in REPAIRS:
            known = self._known.get((model, account if repair.of_account else b""))
            since = known.get(repair.name) if known else None
            if known is None or since is None:
                continue
            if self._clock() - since > LEARNT_FOR:
                del known[repair.name]
                continue
            request = repair.leave_out(request) or request
        return request
