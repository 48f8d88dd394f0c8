"""The tables of how an answer ends: finish reasons, and failures (bridge.md 3.5 and 5.2).

The code reads the first, the tests hold the second against the code, the documentation shows both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from oaiproxy.api.chat import FinishReason


class End(msgspec.Struct, frozen=True):
    """What is known of a turn at its end.

    @ivar status: the response's: ``completed`` or ``incomplete``.
    @ivar reason: its ``incomplete_details.reason``, if it has one.
    @ivar called: whether the client was shown a call.
    @ivar legacy: whether the client speaks ``functions``.
    @ivar stopped: whether a stop sequence came.
    """

    status: str
    reason: Any = None
    called: bool = False
    legacy: bool = False
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """Why a choice ended.

    @ivar when: what has to be, in words.
    @ivar holds: whether it is so.
    @ivar reason: what the client is told.
    """

    when: str
    holds: Callable[[End], bool]
    reason: FinishReason


#: The first that holds counts; the last one always does.  The schema's enum of reasons says ``max_output_tokens``, its
#: own example ``max_tokens``; an unknown reason is still no normal end.
FINISHES = (
    Finish(
        "`incomplete` for `content_filter`",
        lambda end: end.status == "incomplete" and not end.stopped and end.reason == "content_filter",
        FinishReason.CONTENT_FILTER,
    ),
    Finish(
        "`incomplete` for `max_output_tokens` or any other reason, calls or not",
        lambda end: end.status == "incomplete" and not end.stopped,
        FinishReason.LENGTH,
    ),
    Finish(
        "`completed`, or a stop sequence came, and the client has no call to make",
        lambda end: not end.called,
        FinishReason.STOP,
    ),
    Finish("the same with a call, for a client of `functions`", lambda end: end.legacy, FinishReason.FUNCTION_CALL),
    Finish("the same with calls", lambda end: True, FinishReason.TOOL_CALLS),
)


def finish_reason(end: End) -> FinishReason:
    """Why the choice ended."""
    for finish in FINISHES:
        if finish.holds(end):
            break
    return finish.reason


@dataclass(frozen=True, slots=True)
class FailureCase:
    """A way in which an upstream fails on HTTP status 200.

    @ivar when: what happened, in words.
    @ivar status: the HTTP status that the client gets before its stream has begun; None where the code decides.
    @ivar code: the error's code; None for upstream's own.
    """

    when: str
    status: int | None
    code: str | None


#: In a stream that has begun, the same error is an event, the body is cut, and neither a finish reason nor ``[DONE]``
#: comes.
FAILURES = {
    "failed": FailureCase("the response `failed`: `response.failed`, or that status in an object", None, None),
    "error": FailureCase("an `error` event, or an error object on status 200", None, None),
    "cancelled": FailureCase("the response was `cancelled`", 502, "response_cancelled"),
    "unfinished": FailureCase("an object that is still `queued` or `in_progress`", 502, "upstream_incomplete"),
    "cut": FailureCase("a stream that ends and no event ended the response", 502, "upstream_incomplete"),
    "empty": FailureCase("an empty body", 502, "upstream_incomplete"),
    "chat": FailureCase("a chat completion, or chunks of one", 502, "upstream_invalid_response"),
    "other": FailureCase("anything else that is no response", 502, "upstream_invalid_response"),
    "large": FailureCase("an event over the limit of 128 MiB", 502, "upstream_event_too_large"),
}
