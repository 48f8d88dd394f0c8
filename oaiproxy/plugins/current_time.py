"""A tool that tells models what time it is; they have no clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from zope.interface import implementer

from oaiproxy.interfaces import IToolContext, IToolProvider
from oaiproxy.tools import ToolError

# not strftime's, which depend on the machine's language
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@implementer(IToolProvider)
class CurrentTime:
    """``current_time``: the date, the time and the day of the week, in any time zone."""

    name = "current_time"
    description = (
        "Tells the current date, time and day of the week. Use it for whatever depends on today's date or on the time "
        "of day."
    )
    parameters = {
        "type": "object",
        "properties": {
            "timezone": {
                "type": "string",
                "description": "IANA name of the time zone, such as Europe/Berlin; UTC where it is left out",
                "pattern": "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
                "examples": ["Europe/Berlin"],
            }
        },
        "additionalProperties": False,
    }

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """@param clock: tells the Unix time in seconds."""
        self._clock = clock

    def call(self, arguments: dict[str, Any], context: IToolContext) -> dict[str, str]:
        """Tell the time.

        @raise ToolError: there is no such time zone.
        """
        name = arguments.get("timezone") or "UTC"
        now = datetime.fromtimestamp(self._clock(), _zone(name))
        return {"time": now.isoformat(timespec="seconds"), "weekday": _WEEKDAYS[now.weekday()], "timezone": name}


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC  # which needs no data
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        raise ToolError(
            f"there is no time zone {name[:80]!r}. Give its IANA name, such as Europe/Berlin, or UTC."
        ) from None


current_time = CurrentTime()
