"""What the proxy can speak upstream in place of what the client speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from oaiproxy.api.body import BodyTranslator
from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import ApiRequest
from oaiproxy.bridge import answer_translator, translate, upstream_error
from oaiproxy.clients import ClientProfile
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings


@dataclass(frozen=True, slots=True)
class Call:
    """A request in the upstream's dialect, and how what comes back becomes the client's.

    @ivar path: the path below the upstream's base.
    @ivar bodies: the JSON bytes to send: one request each, all at once; the answers are joined to one.
    @ivar stream: whether the client gets a stream.
    @ivar asks_stream: whether upstream is asked for one.
    @ivar warnings: what the client must be told of the translation.
    @ivar translator: gives the body translator for an answer's content type.
    @ivar failure: makes the client's error of a failed answer's status, content type and body.
    """

    path: bytes
    bodies: tuple[bytes, ...]
    stream: bool
    asks_stream: bool
    warnings: tuple[str, ...]
    translator: Callable[[str], BodyTranslator]
    failure: Callable[[int, str, bytes], ApiError]


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a dialect may know beside the request.

    @ivar settings: the service's settings.
    @ivar models: the models and what each can do.
    @ivar profile: how to speak to this client.
    @ivar now: the Unix time in seconds, for answers whose upstream does not say when they were made.
    """

    settings: Settings
    models: Catalogue
    profile: ClientProfile
    now: int


#: Makes a call of a request in the client's dialect.
#: @raise oaiproxy.api.errors.BadRequest: it cannot be said in the upstream's.
Dialect = Callable[[ApiRequest, CallContext], Call]


def chat_over_responses(request: ApiRequest, context: CallContext) -> Call:
    """The bridge: Chat Completions for the client, Responses upstream."""
    capabilities = context.models.capabilities(request.model)
    translation = translate(request, capabilities, context.settings.reasoning_field)
    plan = replace(translation.plan, created=context.now)
    return Call(
        path=b"/responses",
        bodies=(translation.body,),
        stream=plan.stream,
        asks_stream=plan.asks_stream,
        warnings=translation.warnings,
        translator=lambda content_type: answer_translator(plan, content_type),
        failure=lambda status, content_type, body: upstream_error(status, content_type, body, plan),
    )
