"""Responses: what its stream events and response objects hold (API reference, "Responses").

These types take what servers send, not only what the schema says: no field is required, a field of another type than
expected is kept as it is (whoever uses it looks), and a field nobody asks for is skipped without being decoded.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.request import JsonObject

_NOTHING = msgspec.Raw(b"")
_T = TypeVar("_T")


class StreamEvent(msgspec.Struct, gc=False):
    """A stream event of any type.  Large parts stay bytes until they are asked for.

    @ivar type: the kind of event, such as ``response.output_text.delta``.
    @ivar output_index: the place in the response's ``output`` that it is about.
    @ivar item_id: the id of that item; some servers change it from event to event.
    @ivar call_id: no part of the schema, yet sent by some servers with the events of a call.
    """

    type: Any = None
    output_index: Any = None
    item_id: Any = None
    call_id: Any = None
    content_index: Any = None
    summary_index: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    name: Any = None
    annotation: Any = None
    logprobs: msgspec.Raw = _NOTHING
    item: msgspec.Raw = _NOTHING
    part: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None
    status: Any = None
    choices: msgspec.Raw = _NOTHING


class ResponseHead(msgspec.Struct, gc=False):
    """What is known of a response from its beginning, without its echo of the request."""

    id: Any = None
    model: Any = None
    created_at: Any = None


class Response(msgspec.Struct):
    """A response object: its state, and its output as plain values.

    @ivar output: the items; each of the schema's 28 types and any other.
    @ivar status: ``completed``, ``incomplete``, ``failed``, ``cancelled``, ``queued`` or ``in_progress``.
    """

    id: Any = None
    object: Any = None
    model: Any = None
    created_at: Any = None
    status: Any = None
    output: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None
    moderation: Any = None
    metadata: Any = None
    choices: msgspec.Raw = _NOTHING

    def items(self) -> list[JsonObject]:
        """The output items; what is no object is left out."""
        return [item for item in self.output if isinstance(item, dict)] if isinstance(self.output, list) else []


_events = msgspec.json.Decoder(StreamEvent)
_heads = msgspec.json.Decoder(ResponseHead)
_responses = msgspec.json.Decoder(Response)
_anything: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def decode_event(data: bytes) -> StreamEvent:
    """Decode the data of one stream event.

    @raise UpstreamInvalid: it is not a JSON object.
    """
    return _decode(_events, data, "an event")


def decode_head(data: msgspec.Raw) -> ResponseHead:
    """Decode the beginning of the response in a ``response.created`` event; empty where there is none."""
    try:
        return _decode(_heads, data, "a response")
    except UpstreamInvalid:
        return ResponseHead()


def decode_response(data: bytes | msgspec.Raw) -> Response:
    """Decode a response object.

    @raise UpstreamInvalid: it is not a JSON object.
    """
    return _decode(_responses, data, "a response")


def decode_object(data: msgspec.Raw) -> JsonObject:
    """Decode a part of an event that should be an object (an item, a content part); empty where it is none.

    @raise UpstreamInvalid: it is no JSON.
    """
    value = _plain(data)
    return value if isinstance(value, dict) else {}


def decode_list(data: msgspec.Raw) -> list[Any]:
    """Decode a part of an event that should be an array (log probabilities); empty where it is none.

    @raise UpstreamInvalid: it is no JSON.
    """
    value = _plain(data)
    return value if isinstance(value, list) else []


def _plain(data: msgspec.Raw) -> Any:
    # what an event's decoder keeps raw it does not look into: neither at its UTF-8 nor at its depth
    return _decode(_anything, data, "a part of an event") if data else None


def _decode(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw, what: str) -> _T:
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        try:
            return decoder.decode(_mended(bytes(data)))
        except (ValueError, RecursionError) as e:
            raise UpstreamInvalid(f"The upstream sent {what} that is not the JSON that it should be ({e}).") from None


def _mended(data: bytes) -> bytes:
    """The same JSON with each half of a surrogate pair replaced by U+FFFD.

    Servers that cut a text by tokens send such halves, as escapes.  The standard library's decoder takes them; a pair
    whose halves meet in one string is put together.

    @raise ValueError: it is no JSON for other reasons.  Broken UTF-8 is none (RFC 8259 section 8.1): it is what damage
        on the way looks like, and a text with holes must not look whole.
    """
    return msgspec.json.encode(_without_surrogates(json.loads(data.decode("utf-8"))))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(v) for v in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value
