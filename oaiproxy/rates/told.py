"""What a client is told of its limits, in OpenAI's words (its guide "Rate limits", and what its API sends)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from oaiproxy.api.errors import ApiError
from oaiproxy.api.headers import Header
from oaiproxy.rates.account import REQUESTS, TOKENS, Refusal, Standing

#: The SDKs wait for no longer than this when they are told to wait, in seconds (those for JavaScript for less than 60),
#: and come too early where they are told more.
_LONGEST_WAIT = 59.9


class RateLimitExceeded(ApiError):
    """The minute's requests or tokens are used up; the SDKs send such a request again by themselves."""

    default_status = 429
    default_code = "rate_limit_exceeded"

    def __init__(self, refusal: Refusal) -> None:
        """@param refusal: why there is no room."""
        standing, wait = refusal.standing, min(refusal.wait, _LONGEST_WAIT)
        short, requested = ("RPM", ", Requested 1") if standing.kind == REQUESTS else ("TPM", "")
        super().__init__(
            f"Rate limit reached on {standing.kind} per min ({short}): Limit {standing.limit}, Used {standing.used}"
            f"{requested}. Please try again in {duration(wait)}. The limit is this proxy's; its operator sets it.",
            type=standing.kind,
            headers={"Retry-After": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(wait * 1000))},
        )


def duration(seconds: float) -> str:
    """A time as OpenAI says one, in whole milliseconds: ``0s``, ``120ms``, ``1.5s``, ``6m0s``, ``1h0m0s``."""
    # upwards, but for what a float has too much
    ms = int(seconds * 1000 + 0.999)
    if ms <= 0:
        return "0s"
    if ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    whole, ms = divmod(ms, 1000)
    rest = f"{whole}.{ms:03}".rstrip("0") if ms else str(whole)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def fields(standings: Iterable[Standing]) -> list[Header]:
    """The header fields that say how a client stands."""
    found: list[Header] = []
    for standing in standings:
        limit, remaining, reset = _NAMES[standing.kind]
        found += (
            (limit, b"%d" % standing.limit),
            (remaining, b"%d" % standing.remaining),
            (reset, duration(standing.reset).encode()),
        )
    return found


_NAMES = {
    kind: (
        b"x-ratelimit-limit-" + kind.encode(),
        b"x-ratelimit-remaining-" + kind.encode(),
        b"x-ratelimit-reset-" + kind.encode(),
    )
    for kind in (REQUESTS, TOKENS)
}
