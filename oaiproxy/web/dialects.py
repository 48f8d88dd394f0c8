"""What the proxy can speak upstream in place of what the client speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oaiproxy.api.body import BodyTranslator
from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import ApiRequest
from oaiproxy.bridge import answer_translator, translate, upstream_error
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings


@dataclass(frozen=True, slots=True)
class Call:
    """A request in the upstream's dialect, and how what comes back becomes the client's.

    @ivar path: the path below the upstream's base.
    @ivar body: the JSON bytes to send.
    @ivar stream: whether the client gets a stream.
    @ivar warnings: what the client must be told of the translation.
    @ivar translator: gives the body translator for an answer's content type.
    @ivar failure: makes the client's error of a failed answer's status, content type and body.
    """

    path: bytes
    body: bytes
    stream: bool
    warnings: tuple[str, ...]
    translator: Callable[[str], BodyTranslator]
    failure: Callable[[int, str, bytes], ApiError]


#: Makes a call of a request in the client's dialect.
#: @raise oaiproxy.api.errors.BadRequest: it cannot be said in the upstream's.
Dialect = Callable[[ApiRequest, Catalogue, Settings], Call]


def chat_over_responses(request: ApiRequest, models: Catalogue, settings: Settings) -> Call:
    """The bridge: Chat Completions for the client, Responses upstream."""
    translation = translate(request, models.capabilities(request.model), settings.reasoning_field)
    plan = translation.plan
    return Call(
        path=b"/responses",
        body=translation.body,
        stream=plan.stream,
        warnings=translation.warnings,
        translator=lambda content_type: answer_translator(plan, content_type),
        failure=lambda status, content_type, body: upstream_error(status, content_type, body, plan),
    )
