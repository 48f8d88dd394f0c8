"""Parameters that have several names, or stand in several places: saying one of them says them all.

A rule that sets ``max_tokens`` would have no effect, or make upstream refuse the request, beside a client's own
``max_completion_tokens``; so what is asked of a field, and done to it, is asked of and done to its other names too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The limit on an answer's tokens: in chat completions, in responses, of old; the one that wins first.
LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")

#: What the limit is called at the paths where it has one name only.
LIMIT_AT: Mapping[str, str] = {"/responses": "max_output_tokens", "/completions": "max_tokens"}

_GROUPS = (LIMITS, ("tools", "functions"), ("tool_choice", "function_call"))

#: Field -> its other names.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    name: tuple(other for other in group if other != name) for group in _GROUPS for name in group
}

EFFORT = "reasoning_effort"  # chat's
REASONING = "reasoning"  # the object: of responses, and of OpenRouter's chat

#: What in the object says how hard to think, and whether that is summed up; the second names are OpenRouter's.
EFFORT_KEYS = frozenset({"effort", "enabled", "max_tokens"})
SUMMARY_KEYS = frozenset({"summary", "generate_summary", "exclude"})


def says_effort(value: Any) -> bool:
    """Whether a ``reasoning`` object says how hard to think."""
    return isinstance(value, dict) and any(value.get(key) is not None for key in EFFORT_KEYS)


def without(value: Any, keys: frozenset[str]) -> Any:
    """A ``reasoning`` object without some of its keys; anything else as it is."""
    return {key: each for key, each in value.items() if key not in keys} if isinstance(value, dict) else value
