"""What a user's text may ask of the demo itself: ``demo:error=429``, ``demo:slow=200`` and so on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from oaiproxy.api.errors import ApiError, BadRequest


class Trouble(Enum):
    """What goes wrong in the middle of an answer."""

    FAIL = "the upstream says that it failed"
    CUT = "the connection is aborted"
    EOF = "the body ends as if it were complete"


@dataclass(frozen=True, slots=True)
class Directives:
    """How an answer is to behave.

    @ivar error: the HTTP status to refuse the request with, or None.
    @ivar trouble: what goes wrong halfway, or None.
    @ivar stall: seconds without a byte halfway.
    @ivar slow: seconds between two chunks.
    @ivar silence: seconds before the first event.
    @ivar tokens: the answer is this many words, or None.
    @ivar empty: the answer has nothing in it.
    @ivar preamble: text comes before tool calls.
    """

    error: int | None = None
    trouble: Trouble | None = None
    stall: float = 0.0
    slow: float = 0.0
    silence: float = 0.0
    tokens: int | None = None
    empty: bool = False
    preamble: bool = False

    @property
    def normal(self) -> bool:
        """True where nothing happens halfway."""
        return self.trouble is None and not self.stall


#: As much text as one answer may have, in tokens.
MOST_TOKENS = 1_000_000

#: Directive -> the field it sets, the factor to that field's unit, and the numbers it takes.
_WITH_NUMBER: Mapping[str, tuple[str, Callable[[float], float], float, float]] = {
    "error": ("error", int, 400, 599),
    "slow": ("slow", lambda ms: ms / 1000, 0, 60_000),
    "silence": ("silence", float, 0, 3600),
    "stall": ("stall", float, 0, 3600),
    "tokens": ("tokens", int, 0, MOST_TOKENS),
}

_WITHOUT: Mapping[str, Mapping[str, Trouble | bool]] = {
    "fail-midstream": {"trouble": Trouble.FAIL},
    "cut": {"trouble": Trouble.CUT},
    "eof": {"trouble": Trouble.EOF},
    "empty": {"empty": True},
    "preamble": {"preamble": True},
}

#: Every directive's name.
NAMES = (*_WITH_NUMBER, *_WITHOUT)

_DIRECTIVE = re.compile(r"(?<!\S)demo:([a-z-]+)(?:=(\S*))?")


def parse(text: str, param: str | None = None) -> Directives:
    """The directives in `text`; words that only look like one (``demo:latest``) are text.

    @param param: the request field that the text is in, for the error.
    @raise BadRequest: a directive has no number where it takes one, or one out of range.
    """
    found = Directives()
    for match in _DIRECTIVE.finditer(text):
        name, value = match.groups()
        if name in _WITHOUT:
            found = replace(found, **_WITHOUT[name])  # type: ignore[arg-type]
        elif name in _WITH_NUMBER:
            field, convert, least, most = _WITH_NUMBER[name]
            number = _number(value, least, most)
            if number is None:
                raise BadRequest(
                    f"demo:{name} takes a number from {least:g} to {most:g}: demo:{name}={least:g}",
                    param=param,
                    code="invalid_value",
                )
            found = replace(found, **{field: convert(number)})  # type: ignore[arg-type]
    return found


def _number(text: str | None, least: float, most: float) -> float | None:
    """The number in `text`, which a sentence's punctuation may follow; None where there is none in range."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)[.,;:!?)\"']*", text or "")
    number = float(match[1]) if match else least - 1
    return number if least <= number <= most else None


def without(text: str) -> str:
    """`text` without its directives: what the demo looks for words in."""
    known = {*NAMES}
    return _DIRECTIVE.sub(lambda match: " " if match[1] in known else match[0], text)


#: Status -> type, code and message of the error (API reference, "Error codes").
_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: (
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported.",
    ),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again in 1s."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}


def error(status: int) -> ApiError:
    """The error that ``demo:error=STATUS`` asks for; 429 comes with ``Retry-After``, in seconds."""
    default: tuple[str, str | None, str] = (
        "invalid_request_error" if status < 500 else "server_error",
        None,
        f"The request failed with status {status}.",
    )
    type_, code, message = _ERRORS.get(status, default)
    return ApiError(
        f"{message} (oaiproxy's demo upstream was asked for this error with demo:error={status}.)",
        status=status,
        type=type_,
        code=code,
        headers={"Retry-After": "1"} if status == 429 else {},
    )
