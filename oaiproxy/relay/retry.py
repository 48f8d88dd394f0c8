"""When a request is sent again, and how long to wait before."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The statuses that say "not now" (RFC 9110 sections 15.6.1 and 15.6.3 to 15.6.5, RFC 6585 section 4): no answer was
#: made of the request.
RETRIED_STATUSES = frozenset((429, 500, 502, 503, 504))

#: The response field that tells the client how often its request was sent again.
RETRIES = b"x-oaiproxy-retries"

Pairs = Iterable[tuple[bytes, bytes]]

_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]*)?")

#: Doubling more often than this changes nothing any more.
_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a request is sent again.

    The waits grow exponentially with full jitter: any time between none and the whole wait is as likely, so that
    clients that failed together do not come back together.

    @ivar limit: how often; 0 for never.
    @ivar base: the longest first wait, in seconds; it doubles each time.
    @ivar cap: the longest of these waits.
    @ivar patience: the longest wait that an upstream may ask for; where it asks for more, its answer is passed on and
        the client decides.
    @ivar random: gives a number from 0 up to 1.
    @ivar now: gives the Unix time, for dates.
    """

    limit: int = 0
    base: float = 0.5
    cap: float = 8.0
    patience: float = 60.0
    random: Callable[[], float] = random.random
    now: Callable[[], float] = time.time

    def wait(self, tried: int) -> float | None:
        """How long to wait where no answer came.

        @param tried: how often the request was sent again already.
        @return: seconds, or None where it is not sent again.
        """
        if tried >= self.limit:
            return None
        return self.random() * min(self.cap, self.base * 2.0 ** min(tried, _MOST_DOUBLINGS))

    def wait_after(self, status: int, headers: Pairs, tried: int) -> float | None:
        """How long to wait after an answer: as long as it asks for, and the jitter.

        @param status: the answer's status.
        @param headers: its header fields.
        @param tried: how often the request was sent again already.
        @return: seconds, or None where the answer is the client's.
        """
        if status not in RETRIED_STATUSES or tried >= self.limit:
            return None
        fields = {name.lower(): value.strip() for name, value in reversed(tuple(headers))}
        if fields.get(b"x-should-retry", b"").lower() == b"false":
            # OpenAI's own field: sent again it would fail in the same way
            return None
        asked = _asked(fields, self.now)
        wait = self.wait(tried)
        if asked is None or wait is None:
            return wait
        return None if asked > self.patience else asked + wait


def _asked(fields: dict[bytes, bytes], now: Callable[[], float]) -> float | None:
    """How many seconds an answer asks to wait (RFC 9110 section 10.2.3; ``retry-after-ms`` is OpenAI's own)."""
    for name, unit in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        if _NUMBER.fullmatch(value := fields.get(name, b"")):
            return float(value) * unit
    then = _date(fields.get(b"retry-after", b""))
    if then is None:
        return None
    # by the upstream's own clock where it is known: ours may be wrong
    here = _date(fields.get(b"date", b""))
    return max(0.0, then - (now() if here is None else here))


def _date(value: bytes) -> float | None:
    """The Unix time of an HTTP date in any of its three forms (RFC 9110 section 5.6.7)."""
    try:
        date: datetime = parsedate_to_datetime(value.decode("ascii"))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
