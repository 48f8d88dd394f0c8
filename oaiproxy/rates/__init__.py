"""How many requests and tokens a client may use in a minute.

Plain code, no I/O: which counts there are (`account`), what a client is told of them (`told`), and what an answer says
that it has cost (`usage`).  The counts themselves are kept by an `oaiproxy.interfaces.IStateStore`, so that several
processes and machines have them in common.
"""

from oaiproxy.rates.account import Account, Standing, Trip
from oaiproxy.rates.told import RateLimitExceeded, duration, fields
from oaiproxy.rates.usage import UsageTail
from oaiproxy.rates.usagechunk import WithoutUsageChunk, asking_for_usage, may_stream

__all__ = [
    "Account",
    "RateLimitExceeded",
    "Standing",
    "Trip",
    "UsageTail",
    "WithoutUsageChunk",
    "asking_for_usage",
    "duration",
    "fields",
    "may_stream",
]
