"""How a client is told that its chat request failed before the answer began: as its profile says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from oaiproxy.api.chat import ChunkEncoder, FinishReason
from oaiproxy.api.errors import ApiError
from oaiproxy.api.sse import DONE

#: The id of an answer that the proxy wrote itself.
ANSWER_ID = "chatcmpl-oaiproxy-error"


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it is sent.

    @ivar status: the HTTP status.
    @ivar content_type: the body's media type.
    @ivar body: the body.
    """

    status: int
    content_type: bytes
    body: bytes


def error_answer(error: ApiError) -> ErrorAnswer:
    """An error as the API sends it."""
    return ErrorAnswer(error.status, b"application/json", error.body())


def error_message(error: ApiError, request: Mapping[str, Any], created: int) -> ErrorAnswer:
    """An error as a chat answer in which the assistant says it, for clients that show no errors.

    @param request: the chat request; what of it cannot be read is taken for absent.
    @param created: Unix time in seconds.
    """
    given = request.get("model")
    model = given if isinstance(given, str) else ""
    text = error_text(error)
    if request.get("stream") is not True:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FinishReason.STOP}
        head = {"id": ANSWER_ID, "object": "chat.completion", "created": created, "model": model}
        return ErrorAnswer(200, b"application/json", msgspec.json.encode({**head, "choices": [choice]}))
    chunks = ChunkEncoder(ANSWER_ID, created, model, usage=False)
    stream = (
        chunks.delta({"role": "assistant", "content": "", "refusal": None}),
        chunks.text("content", text),
        chunks.delta({}, FinishReason.STOP),
        DONE,
    )
    return ErrorAnswer(200, b"text/event-stream; charset=utf-8", b"".join(stream))


def error_text(error: ApiError) -> str:
    """An error in a sentence: status, code, what happened and what to do, and the field at fault."""
    kind = f"{error.status}, {error.code}" if error.code else str(error.status)
    field = f" (field: {error.param})" if error.param else ""
    return f"The request failed ({kind}): {error.message}{field}"
