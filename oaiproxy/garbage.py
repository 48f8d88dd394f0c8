"""Python's garbage collector, as a proxy wants it."""

from __future__ import annotations

import gc

#: How many objects more than before have to be there until the young are looked through; how often until the older
#: ones are; and how often that until all are.  What a request leaves behind is almost all gone without the collector,
#: and to look through all there is takes tens of milliseconds with a thousand streams: all of them stand still then.
_THRESHOLDS = (2_000, 10, 10)


def settle() -> None:
    """Call this when the service is up: what there is by then stays, and need not be looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
