"""What a setting's value may be, whether it is text (an option, a variable) or a value of a TOML file.

Each of these takes the value and returns what it means; what is wrong with it is a ValueError in one line, which never
quotes a secret.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from oaiproxy.api.secrets import Secret
from oaiproxy.rules.append import unescaped
from oaiproxy.rules.carried import check_json

E = TypeVar("E", bound=Enum)

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def flag(value: object) -> bool:
    """true or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    raise ValueError(f"must be true or false, not {_shown(value)}")


def text(value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {_shown(value)}")
    if not value:
        raise ValueError("must not be empty")
    return value


def path(value: object) -> Path:
    """The name of a file."""
    return Path(text(value))


def seconds(value: object) -> float:
    """A time in seconds, 0 or more."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"must be a number of seconds, not {_shown(value)}")
    return number


def positive_seconds(value: object) -> float:
    """A time in seconds, more than 0."""
    if (number := seconds(value)) == 0:
        raise ValueError("must be more than 0 seconds")
    return number


def count(value: object) -> int:
    """A whole number, 0 or more."""
    number = _number(value)
    if not 0 <= number < 2**31 or number != int(number):
        raise ValueError(f"must be a whole number, 0 or more, not {_shown(value)}")
    return int(number)


def positive(value: object) -> int:
    """A whole number, 1 or more."""
    if (number := count(value)) == 0:
        raise ValueError("must be 1 or more")
    return number


def workers(value: object) -> int:
    """A number of processes; 0, or ``auto``, for as many as there are processors."""
    if value == "auto":
        return 0
    if (number := count(value)) > _MOST_WORKERS:
        raise ValueError(f"must be {_MOST_WORKERS} or less: more than one for each processor are of no use")
    return number


_MOST_WORKERS = 256

#: As they are written after a number of bytes; by 1024, as everybody means it.
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_SIZE = re.compile(r"([0-9]{1,15})\s*([kmg]?)i?b?")


def size(value: object) -> int:
    """A number of bytes, 0 or more: ``67108864``, or ``64 MB``."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    found = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"must be a number of bytes, such as 67108864 or 64 MB, not {_shown(value)}")
    return int(found[1]) * _UNITS[found[2]]


def one_of(kind: type[E]) -> Callable[[object], E]:
    """A member of an enumeration, by its value."""

    def parse(value: object) -> E:
        for member in kind:
            if isinstance(value, str) and member.value == value.strip().lower():
                return member
        raise ValueError(f"{_shown(value)} is none of {', '.join(member.value for member in kind)}")

    return parse


def words(value: object) -> tuple[str, ...]:
    """Strings: an array, or text with commas between them."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, list):
        return tuple(text(word) for word in value)
    raise ValueError(f"must be an array of strings, not {_shown(value)}")


def secret(value: object) -> Secret:
    """A key."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return _key(value)


def secrets(value: object) -> tuple[Secret, ...]:
    """Keys: an array, or text with commas, spaces or line ends between them; in a file ``#`` begins a comment line."""
    if isinstance(value, str):
        lines = [line for line in value.splitlines() if not line.lstrip().startswith("#")]
        value = " ".join(lines).replace(",", " ").split()
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise ValueError("must be an array of strings")
    return tuple(_key(key) for key in value)


def _key(value: str) -> Secret:
    key = value.strip()
    if not key:
        raise ValueError("must not be empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("must be printable ASCII without spaces, as it is sent in a header")
    return Secret(key)


def table(value: object) -> Mapping[str, Any]:
    """A table, or text that is a JSON object."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as e:
            raise ValueError(f"must be a JSON object: {e}") from None
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, not {_shown(value)}")
    return value


def parameters(value: object) -> Mapping[str, Any]:
    """A table of what goes into requests, as JSON."""
    found: Mapping[str, Any] = check_json(table(value), "")
    return found


def appended(value: object) -> str:
    r"""Text that goes into requests, with escapes: ``\n``, ``\r``, ``\t``, ``\\``, as a variable is one line."""
    return unescaped(text(value))


def string_table(value: object) -> Mapping[str, str]:
    """A table of strings; as text ``a=b,c=d`` or a JSON object."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        pairs = [pair.partition("=") for pair in words(value)]
        if not all(name.strip() and equals and given.strip() for name, equals, given in pairs):
            raise ValueError("must be name=name, with commas between")
        return {name.strip(): given.strip() for name, _, given in pairs}
    found = table(value)
    for name, given in found.items():
        if not isinstance(given, str) or not given:
            raise ValueError(f"{name}: must be a string, not {_shown(given)}")
    return found


def _number(value: object) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return math.nan
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    return "an array" if isinstance(value, list) else repr(value)[:80]
