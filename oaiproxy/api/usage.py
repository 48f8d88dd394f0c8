"""Usage objects of several answers that are told as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def summed(usages: Sequence[Any]) -> Any:
    """Usage objects as one: numbers are added, objects are joined; the rest is the first one's."""
    first = usages[0]
    if isinstance(first, dict):
        names = dict.fromkeys(name for usage in usages if isinstance(usage, dict) for name in usage)
        return {
            name: summed([usage[name] for usage in usages if isinstance(usage, dict) and name in usage])
            for name in names
        }
    numbers = [usage for usage in usages if isinstance(usage, int) and not isinstance(usage, bool)]
    return sum(numbers) if len(numbers) == len(usages) else first
