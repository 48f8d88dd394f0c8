"""JSON objects opened one level at a time: what is in them stays the bytes it was, however many fields nobody knows."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from oaiproxy.api.request import JsonObject

T = TypeVar("T")

_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lists = msgspec.json.Decoder(list[msgspec.Raw])

_EMPTY = frozenset((b"", b"null", b'""', b"[]", b"{}"))


def open_object(data: bytes | msgspec.Raw) -> JsonObject:
    """The fields of a JSON object, as `msgspec.Raw`.

    Where the JSON holds what is no Unicode text, such as half of a surrogate pair, the values are plain ones.

    @raise ValueError: it is no JSON object.
    """
    try:
        return _objects.decode(data)
    except msgspec.ValidationError:
        raise ValueError("no JSON object") from None
    except ValueError:  # DecodeError and UnicodeDecodeError are
        found = decode_odd(bytes(data))
        if not isinstance(found, dict):
            raise ValueError("no JSON object") from None
        return found


def decode_odd(data: bytes) -> Any:
    """Plain values of JSON that holds halves of surrogate pairs or broken UTF-8; servers that cut a text by tokens send
    both.  The halves stay, what is no UTF-8 becomes U+FFFD.

    @raise ValueError: it is no JSON all the same.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(data: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """What a decoder of structs makes of JSON, odd as it may be, or None where it is nothing of that kind."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        return None
    except (ValueError, RecursionError):
        if not data.lstrip().startswith(b"{"):
            return None
    try:
        return msgspec.convert(decode_odd(data), decoder.type)
    except ValueError:
        return None


def as_object(value: Any) -> JsonObject:
    """A value in an opened object as an object of its own, opened; empty where it is none."""
    if isinstance(value, msgspec.Raw):
        try:
            return open_object(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A value in an opened object as a list of its own, opened; empty where it is none.

    @raise ValueError: it is no JSON.
    """
    if isinstance(value, msgspec.Raw):
        try:
            return _lists.decode(value)
        except msgspec.ValidationError:
            return []
        except ValueError:
            value = decode_odd(bytes(value))
    return list(value) if isinstance(value, list) else []


def as_plain(value: Any) -> Any:
    """A value in an opened object, all of it.

    @raise ValueError: it is no JSON.
    """
    if isinstance(value, msgspec.Raw):
        try:
            return msgspec.json.decode(value)
        except ValueError:
            return decode_odd(bytes(value))
    if isinstance(value, dict):
        return {name: as_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_plain(item) for item in value]
    return value


def says_nothing(value: Any) -> bool:
    """Whether a value in an opened object is null or empty."""
    return bytes(value) in _EMPTY if isinstance(value, msgspec.Raw) else value in (None, "", [], {})


def close_object(value: JsonObject) -> bytes:
    """The JSON of an opened object."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # half of a surrogate pair, which only an escape can say
        return json.dumps(as_plain(value), separators=(",", ":")).encode()
