"""What a request's body can carry: the values of rules go into it as JSON."""

from __future__ import annotations

import math
from typing import Any

#: A longer key is cut short where it is shown.
_LONGEST = 40


def check_json(value: Any, where: str) -> Any:
    """The value itself, where JSON has such a one.

    TOML has dates and numbers without end, and a variable of the environment may hold bytes that are no text.

    @param where: its place, for the message.
    @raise ValueError: JSON has no such value.
    """
    match value:
        case None | bool() | int():
            pass
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{where}: {value} is no number in JSON")
        case str():
            if not _is_text(value):
                raise ValueError(f"{where}: holds what is no text in UTF-8")
        case list():
            for n, each in enumerate(value):
                check_json(each, f"{where}[{n}]")
        case dict():
            for key, each in value.items():
                if not isinstance(key, str) or not _is_text(key):
                    raise ValueError(f"{where}: has a key that is no text")
                check_json(each, f"{where}.{place(key)}" if where else place(key))
        case _:
            raise ValueError(f"{where}: JSON has no {type(value).__name__}; put it in quotes")
    return value


def place(key: str) -> str:
    """A key as it stands in a message of one line."""
    if key.isprintable() and len(key) <= _LONGEST:
        return key
    return repr(key if len(key) <= _LONGEST else key[: _LONGEST - 3] + "...")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
