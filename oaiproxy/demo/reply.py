"""An answer of the demo on the wire, as a value: what is sent, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import msgspec

from oaiproxy.api.errors import ApiError
from oaiproxy.demo.directives import Directives, Trouble

_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"

#: The last event of a chat stream.
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Wait:
    """A step of a reply: nothing is sent for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A step of a reply: the connection is aborted."""


Step = bytes | Wait | Cut

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back for one request.

    @ivar steps: what is done one after the other; each piece of bytes is one write.
    @ivar length: the ``Content-Length`` in bytes, or None for a body in chunks.
    @ivar live: the head is sent at once, before the first piece is there.
    @ivar silence: seconds before the first step.
    @ivar slow: seconds between two pieces.
    """

    steps: Iterable[Step]
    status: int = 200
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    live: bool = False
    silence: float = 0.0
    slow: float = 0.0


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return msgspec.json.encode(value)


def typed_event(event: Mapping[str, Any]) -> bytes:
    """A server-sent event of the Responses API: its type is said in the ``event`` field, too."""
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + encode(event) + b"\n\n"


def data_event(value: object) -> bytes:
    """A server-sent event of the chat API: data alone."""
    return b"data: " + encode(value) + b"\n\n"


def whole(value: object, directives: Directives | None = None, *, content_type: str = _JSON) -> Reply:
    """A reply with all of its body at once: `value` as JSON, or as it is where it is bytes."""
    asked = directives or Directives()
    body = value if isinstance(value, bytes) else encode(value)
    half = len(body) // 2
    steps: list[Step] = [body]
    if asked.trouble is Trouble.CUT:
        steps = [body[:half], Cut()]
    elif asked.trouble is Trouble.EOF:
        steps = [body[:half]]
    elif asked.stall:
        steps = [body[:half], Wait(asked.stall), body[half:]]
    # a body that ends too early can only look complete where its length was not announced
    length = None if asked.trouble is Trouble.EOF else len(body)
    return Reply(steps, content_type=content_type, length=length, silence=asked.silence, slow=asked.slow)


def stream(steps: Iterable[Step], directives: Directives) -> Reply:
    """A reply of server-sent events, with nothing known of its length."""
    return Reply(steps, content_type=_EVENTS, live=True, silence=directives.silence, slow=directives.slow)


def failed(error: ApiError) -> Reply:
    """The reply that tells of `error`."""
    body = error.body()
    return Reply([body], error.status, headers=error.headers, length=len(body))


def halfway(
    events: Callable[[], Iterator[Event]],
    is_delta: Callable[[Event], bool],
    steps: Iterable[Event | Step],
    *,
    resume: bool = False,
) -> Iterator[Event | Step]:
    """A stream with something in its middle.

    @param events: makes the stream; called twice.
    @param is_delta: whether an event is one of those that hold the answer; `steps` come after half of these, or after
        the first event where there are none.
    @param resume: the other half follows; otherwise the stream ends with `steps`.
    """
    deltas = [index for index, event in enumerate(events()) if is_delta(event)]
    middle = deltas[(len(deltas) - 1) // 2] + 1 if deltas else 1
    rest = events()
    yield from islice(rest, middle)
    yield from steps
    if resume:
        yield from rest
