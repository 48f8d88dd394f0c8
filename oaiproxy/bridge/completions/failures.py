"""Errors in the words of a legacy request: it has no messages, but a prompt."""

from __future__ import annotations

import re
from typing import TypeVar

from oaiproxy.api.errors import ApiError

#: The name of a field in a chat request -> in a legacy one.  What matches none is called the same in both.
_PARAMS = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (r"messages(?![A-Za-z_]).*", "prompt"),
        (r"top_logprobs", "logprobs"),
    )
)

_AnyError = TypeVar("_AnyError", bound=ApiError)


def completion_error(error: _AnyError) -> _AnyError:
    """The same error, its `param` changed from a chat request's field to the legacy request's."""
    if error.param is not None:
        for pattern, name in _PARAMS:
            if pattern.fullmatch(error.param):
                error.param = name
                break
    return error
