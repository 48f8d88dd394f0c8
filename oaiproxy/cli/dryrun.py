"""A dry run: what a bridge port would make of a request and of an answer, without either going anywhere.

The transforms and dialects are those of the port itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from oaiproxy.api.errors import ApiError
from oaiproxy.api.notes import Note
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge.completions.fields import CHAT_FIELDS, COMPLETION_FIELDS
from oaiproxy.bridge.fields import KNOWN_FIELDS, Field
from oaiproxy.cli.recorded import Recorded
from oaiproxy.tools import ToolBox, marked, offered
from oaiproxy.transforms import Pipeline, TransformContext
from oaiproxy.web.dialects import Call, CallContext, Dialect, chat_over_responses, completions_over_responses

CHAT = "/chat/completions"
COMPLETIONS = "/completions"


@dataclass(frozen=True, slots=True)
class Route:
    """What a bridge port translates.

    @ivar dialect: how.
    @ivar fields: what becomes of each field of such a request.
    """

    dialect: Dialect
    fields: Mapping[str, Field]


#: By the path below ``/v1``.
ROUTES: Mapping[str, Route] = {
    CHAT: Route(chat_over_responses, KNOWN_FIELDS),
    COMPLETIONS: Route(
        completions_over_responses, {**{name: KNOWN_FIELDS[name] for name in CHAT_FIELDS}, **COMPLETION_FIELDS}
    ),
}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request transform did.

    @ivar transform: its name.
    @ivar added: fields that were not in the body.
    @ivar changed: fields that were, with what they were and what they are.
    @ivar removed: fields that are gone.
    @ivar notes: what it told the client.
    """

    transform: str
    added: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestRun:
    """A request, as it would go upstream.

    @ivar asked: what the client sent.
    @ivar request: after the transforms.
    @ivar effects: what each transform did, those that did nothing left out.
    @ivar call: the translation.
    @ivar profile: the name of the client profile.
    """

    asked: ApiRequest
    request: ApiRequest
    effects: tuple[Effect, ...]
    call: Call
    profile: str


def chat_request(
    raw: bytes, path: str, headers: Sequence[tuple[str, str]] = (), stream: bool | None = None
) -> ApiRequest:
    """The request that a client would make of a bridge port.

    @param raw: its body.
    @param path: where it goes, a key of `ROUTES`; ``""`` for what its body looks like.
    @param headers: its header fields, names in lower case.
    @param stream: the ``stream`` that it has instead of its own, or None for its own.
    @raise BadRequest: the body is no JSON object.
    """
    body = Body(raw)
    if not path:
        value = body.json()
        legacy = isinstance(value.get("prompt"), (str, list)) and not value.keys() & {"messages", "input"}
        path = COMPLETIONS if legacy else CHAT
    request = ApiRequest(PortKind.BRIDGE, "POST", path, tuple(headers), body)
    return request if stream is None else request.with_fields(stream=stream)


def run_request(
    asked: ApiRequest, pipeline: Pipeline, context: CallContext, tools: ToolBox | None = None
) -> RequestRun:
    """Do with a request what a bridge port does before it goes upstream.

    @param tools: the tools that the port runs itself, which are offered with it.
    @raise ApiError: the client would get that.
    """
    request, effects = asked, []
    known = TransformContext(context.settings, context.models)
    for transform in pipeline.for_request(asked.port, asked.path):
        before, request = request, Pipeline((transform,)).run(request, known)
        if request is not before:
            effects.append(_effect(transform.name, before, request))
    if tools:
        before, request = request, offered(marked(request, tools), tools)
        if request is not before:
            effects.append(_effect("tool-execution", before, request))
    call = ROUTES[asked.path].dialect(request, replace(context, named=asked.model))
    return RequestRun(asked, request, tuple(effects), call, context.profile.name)


def _effect(name: str, before: ApiRequest, after: ApiRequest) -> Effect:
    old, new = before.json, after.json
    return Effect(
        name,
        added={key: value for key, value in new.items() if key not in old},
        changed={key: (old[key], value) for key, value in new.items() if key in old and old[key] != value},
        removed=tuple(key for key in old if key not in new),
        notes=after.notes[len(before.notes) :],
    )


@dataclass(frozen=True, slots=True)
class AnswerRun:
    """An answer, as the client would get it.

    @ivar status: its HTTP status.
    @ivar stream: whether its body is a stream of events; else it is JSON.
    @ivar body: its body.
    @ivar error: how the exchange failed, or None.
    """

    status: int
    stream: bool
    body: bytes
    error: ApiError | None = None


def run_answer(call: Call, parts: Sequence[Recorded]) -> AnswerRun:
    """Do with upstream's answers what a bridge port does with them.

    @param call: the translated request that they answer.
    @param parts: an answer for each of the call's requests.
    """
    joint = call.translator()
    pieces: list[bytes] = []
    try:
        for part, answer in enumerate(parts):
            if not 200 <= answer.status < 300:
                raise call.failure(answer.status, answer.content_type, answer.body)
            joint.open(part, answer.content_type)
            pieces.append(joint.feed(part, answer.body))
            if not joint.over(part):
                pieces.append(joint.end(part))
    except ApiError as e:
        if not (call.stream and joint.accepted):
            # the client knows nothing yet, so it is told with the status
            return AnswerRun(e.status, False, e.body(), e)
        return AnswerRun(200, True, b"".join(pieces) + joint.fail(e), e)
    return AnswerRun(200, call.stream, b"".join(pieces))
