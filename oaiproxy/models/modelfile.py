"""Reading a file of models: JSON in, checked entries out, or one line that says what is wrong and where.

Any of these will do::

    {"models": ["gpt-5.1", {"id": "gpt-4o", "ports": ["passthrough"]}]}
    ["gpt-5.1", {"id": "gpt-4o"}]
    {"object": "list", "data": [{"id": "gpt-5.1", "object": "model", "created": 1762992000, "owned_by": "system"}]}

The last is what ``GET /v1/models`` answers; as a machine wrote it, keys that we do not know are no error in it.  A key
that begins with ``//`` or ``_comment`` is a comment anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oaiproxy.api.request import PortKind


class CatalogueError(ValueError):
    """A file of models cannot be used; the message is one line that names the file and the place in it."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What a file says about one model; None where it says nothing.

    @ivar id: the model's name.
    @ivar created: a Unix time, in seconds.
    @ivar owned_by: who owns it.
    @ivar ports: the kinds of port that list it.
    @ivar reasoning: it reasons.
    @ivar web_search: it takes the hosted ``web_search`` tool.
    """

    id: str
    created: int | None = None
    owned_by: str | None = None
    ports: frozenset[PortKind] | None = None
    reasoning: bool | None = None
    web_search: bool | None = None


class _Wrong(Exception):
    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}" if place else problem)


def read_models(path: Path) -> tuple[ModelEntry, ...]:
    """Read a file of models.

    @raise CatalogueError: it cannot be read, or does not hold what it should.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CatalogueError(f"{path}: there is no such file") from None
    except OSError as e:
        raise CatalogueError(f"{path}: it cannot be read ({e.strerror or e})") from None
    return parse_models(decode_file(raw, path), path)


def decode_file(raw: bytes, path: Path) -> Any:
    """Decode the JSON of a file; `path` is for messages only.

    @raise CatalogueError: it is not JSON in UTF-8, or an object in it has one key twice.
    """
    try:
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as e:
        raise CatalogueError(f"{path}: byte {e.start}: it is not UTF-8 text") from None
    except json.JSONDecodeError as e:
        raise CatalogueError(f"{path}: line {e.lineno}, column {e.colno}: not JSON ({e.msg})") from None
    except RecursionError:
        raise CatalogueError(f"{path}: it is nested too deeply") from None
    except _Wrong as e:
        raise CatalogueError(f"{path}: {e}") from None
    except ValueError as e:
        # a number with more digits than Python converts
        raise CatalogueError(f"{path}: not JSON ({e})") from None


def parse_models(document: Any, path: Path) -> tuple[ModelEntry, ...]:
    """Check a decoded file of models; `path` is for messages only.

    @raise CatalogueError: it does not hold what it should.
    """
    try:
        return _entries(document)
    except _Wrong as e:
        raise CatalogueError(f"{path}: {e}") from None


def _entries(document: Any) -> tuple[ModelEntry, ...]:
    values, name, listing = _models_of(document)
    if not isinstance(values, list):
        raise _Wrong(name, f"must be an array, not {_kind(values)}")
    if not values:
        raise _Wrong(name, "names no models")
    entries: list[ModelEntry] = []
    places: dict[str, str] = {}
    for number, value in enumerate(values):
        place = f"{name}[{number}]"
        entry = _entry(value, place, lenient=listing)
        if entry.id in places:
            raise _Wrong(place, f"{entry.id!r} is named already, at {places[entry.id]}")
        places[entry.id] = place
        entries.append(entry)
    return tuple(entries)


def _models_of(document: Any) -> tuple[Any, str, bool]:
    # -> (the models, the name of their place, whether it is OpenAI's own list)
    if isinstance(document, list):
        return document, "", False
    if not isinstance(document, dict):
        raise _Wrong("", f"must be a JSON object or array, not {_kind(document)}")
    keys = {key for key in document if not _is_comment(key)}
    if "data" in keys and "models" not in keys:
        return document["data"], "data", True
    for key in sorted(keys - {"models"}):
        raise _Wrong(_shown(key), "unknown key; the models are under 'models'")
    if "models" not in keys:
        raise _Wrong("", "has no 'models'")
    return document["models"], "models", False


def _entry(value: Any, place: str, *, lenient: bool) -> ModelEntry:
    if isinstance(value, str):
        return ModelEntry(_id(value, place))
    if not isinstance(value, dict):
        raise _Wrong(place, f"must be a model's id or an object, not {_kind(value)}")
    known: dict[str, Any] = {}
    for key, field in value.items():
        if key in _READERS:
            known[key] = _READERS[key](field, f"{place}.{key}")
        elif not lenient and not _is_comment(key):
            raise _Wrong(f"{place}.{_shown(key)}", f"unknown key; known are {', '.join(_READERS)}")
    if "id" not in known:
        raise _Wrong(place, "has no 'id'")
    known.pop("object", None)
    return ModelEntry(**known)


def _id(value: Any, place: str) -> str:
    text = _text(value, place)
    if not text.isprintable() or text != text.strip():
        raise _Wrong(place, f"{text!r} is no model's id")
    return text


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise _Wrong(place, f"must be a string, not {_kind(value)}")
    if not value:
        raise _Wrong(place, "must not be empty")
    return value


def _object(value: Any, place: str) -> str:
    if value != "model":
        raise _Wrong(place, "must be 'model'")
    return "model"


def _created(value: Any, place: str) -> int:
    if isinstance(value, str):
        try:
            return int(datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise _Wrong(place, f"{value!r} is no date such as 2026-07-09") from None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(place, f"must be a Unix time in whole seconds or a date, not {_kind(value)}")
    # what a JavaScript number can hold
    if not 0 <= value < 2**53:
        raise _Wrong(place, f"{value} is no Unix time")
    return value


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(place, f"must be true or false, not {_kind(value)}")
    return value


def _ports(value: Any, place: str) -> frozenset[PortKind]:
    if not isinstance(value, list):
        raise _Wrong(place, f"must be an array, not {_kind(value)}")
    names = [kind.value for kind in PortKind]
    for number, name in enumerate(value):
        if name not in names:
            raise _Wrong(f"{place}[{number}]", f"must be one of {', '.join(names)}")
    return frozenset(PortKind(name) for name in value)


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "id": _id,
    "object": _object,
    "created": _created,
    "owned_by": _text,
    "ports": _ports,
    "reasoning": _flag,
    "web_search": _flag,
}


def _is_comment(key: str) -> bool:
    return key.startswith(("//", "_comment"))


def _shown(key: str) -> str:
    return key if key.isidentifier() else repr(key)


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result and not _is_comment(key):
            raise _Wrong("", f"the key {key!r} is there twice in one object")
        result[key] = value
    return result


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")
