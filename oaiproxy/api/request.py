"""A request to the API as a value: what a port received, what transforms pass on, what is sent upstream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from msgspec.structs import replace

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.notes import Note, dropped


class PortKind(str, Enum):
    """What a listening port does with a request."""

    PASSTHROUGH = "passthrough"
    BRIDGE = "bridge"


#: A JSON object, decoded.
JsonObject = dict[str, Any]


class Body:
    """A JSON request body that is decoded at most once, and re-encoded only when it was changed or its bytes were given
    up.

    Immutable, as the requests that carry it are shared: whoever wants another body makes one with `Body.of`.
    """

    __slots__ = ("_object", "_raw")

    def __init__(self, raw: bytes | None, value: JsonObject | None = None) -> None:
        """
        @param raw: the bytes; None where they are the encoding of `value`.
        @param value: what they say, where that is known; it is the body's from here on.
        """
        self._raw = raw
        self._object = value

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Body:
        """A body holding `value`, encoded when its bytes are asked for."""
        return cls(None, dict(value))

    @property
    def raw(self) -> bytes:
        """The bytes: as they came, or the encoding of what replaced them.

        @raise BadRequest: JSON has no way to say what replaced them.
        """
        if self._raw is None:
            try:
                self._raw = msgspec.json.encode(self._object)
            except (RecursionError, UnicodeError, OverflowError):
                # what a decoded body cannot hold, and a body made by a transform can
                raise BadRequest("The request holds a value that JSON cannot carry.", code="invalid_value") from None
        return self._raw

    def json(self) -> Mapping[str, Any]:
        """The decoded JSON object.  Do not change it: it is shared.

        @raise BadRequest: the bytes are not JSON, or the JSON is not an object.
        """
        if self._object is None:
            self._object = decode_object(self.raw)
        return self._object

    def keep_decoded(self) -> None:
        """Hold on to the decoded object alone, where nobody will ask for the bytes as they came: a large body is not
        to be there twice.

        @raise BadRequest: as `json`.
        """
        self.json()
        self._raw = None

    def __repr__(self) -> str:
        # never the content: it belongs to the client
        return f"<Body {len(self._raw)} bytes>" if self._raw is not None else "<Body changed>"


def decode_object(raw: bytes) -> JsonObject:
    """Decode a request body that has to be a JSON object.

    @raise BadRequest: it is not; the message says what was found.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise BadRequest(
            f"The request body is not valid JSON ({e}). Send a JSON object with Content-Type: application/json.",
            code="invalid_json",
        ) from None
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
        raise BadRequest(f"The request body must be a JSON object, not {kind}.", code="invalid_type")
    return value


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a model's name asked for beside the model itself (an alias such as ``gpt-5.1:res-high:sum-auto``).

    @ivar requested: the name as the client sent it; empty where it named none.
    @ivar effort: the alias's reasoning effort, or None where it names none.
    @ivar summary: the alias's reasoning summary (``auto``, ``none``, ...), or None where it names none.
    """

    requested: str
    effort: str | None = None
    summary: str | None = None


class ApiRequest(msgspec.Struct, frozen=True):
    """One request in the client's dialect.

    @ivar port: the kind of port it came in on.
    @ivar method: the HTTP method, as sent.
    @ivar path: the path below ``/v1``, as sent: ``/chat/completions``.
    @ivar headers: header names in lower case and values, in the order sent; credentials are left out.
    @ivar body: the JSON body.
    @ivar choice: what the ``identify`` phase found in the model's name, or None.
    @ivar added: the top-level fields that the proxy put into the body on its own and the client did not ask for.
    @ivar demanded: the top-level fields whose value is the operator's: nothing that the client asked for, and nothing
        that the proxy may take out again.
    @ivar leave_out: the fields that a translation must not add of its own, as upstream refuses them.
    @ivar tools: names of the tools that the proxy runs itself and that are offered to the model; their schemas are put
        into the body when it is sent.
    @ivar notes: what the client must be told of what was dropped or changed, in the order it happened.
    """

    port: PortKind
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: Body
    choice: ModelChoice | None = None
    added: frozenset[str] = frozenset()
    demanded: frozenset[str] = frozenset()
    leave_out: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the notes."""
        return tuple(note.text for note in self.notes)

    @property
    def json(self) -> Mapping[str, Any]:
        """The body's JSON object; see `Body.json`."""
        return self.body.json()

    @property
    def model(self) -> str | None:
        """The name of the model in the body, or None where there is none or it is no string."""
        model = self.body.json().get("model")
        return model if isinstance(model, str) else None

    def with_json(self, value: Mapping[str, Any]) -> ApiRequest:
        """The same request with another body."""
        return replace(self, body=Body.of(value))

    def with_fields(self, **fields: Any) -> ApiRequest:
        """The same request with some top-level fields of the body set."""
        return replace(self, body=Body(None, {**self.body.json(), **fields}))

    def with_added(self, **fields: Any) -> ApiRequest:
        """Like `with_fields`, noting that the proxy added them, so that they can be taken out again."""
        return replace(self, body=Body(None, {**self.body.json(), **fields}), added=self.added.union(fields))

    def with_demanded(self, body: Mapping[str, Any], names: Iterable[str]) -> ApiRequest:
        """The same request with a body in which the operator has set some top-level fields.

        @param body: the body; the request's own where only those fields are to be named.
        """
        request = self if body is self.json else self.with_json(body)
        demanded = self.demanded | frozenset(names)
        return request if demanded == self.demanded else replace(request, demanded=demanded)

    def without_fields(self, names: Iterable[str]) -> ApiRequest:
        """The same request without some top-level fields of the body."""
        gone = set(names)
        return self.with_json({k: v for k, v in self.json.items() if k not in gone})

    def with_choice(self, choice: ModelChoice) -> ApiRequest:
        """The same request with what its model name asked for."""
        return replace(self, choice=choice)

    def warn(self, *warnings: str) -> ApiRequest:
        """The same request with more for the client to know (it is sent in ``x-oaiproxy-warning``)."""
        return replace(self, notes=self.notes + tuple(map(Note, warnings)))

    def warn_dropped(self, what: str, why: str, param: str | None = None) -> ApiRequest:
        """Like `warn`, for something that the client asked for and that is left out; a strict bridge refuses it.

        @param what: how the client is told of it: a field, or a part of one.
        @param why: the reason.
        @param param: the field in the client's words, where that is not `what`.
        """
        return replace(self, notes=(*self.notes, dropped(what, why, param)))
