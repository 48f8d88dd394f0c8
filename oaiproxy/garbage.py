"""Memory as a proxy wants it: what is left behind is found without a pause, and what was large is given back."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

#: How many objects more than before have to be there until the young are looked through; how often until the older
#: ones are; and how often that until all are.  What a request leaves behind is almost all gone without the collector,
#: and to look through all there is takes a tenth of a second with a thousand streams: all of them stand still then.  So
#: it is done when it is quiet (`collect_when_quiet`), and at some time even if it never is.
_THRESHOLDS = (2_000, 10, 40)

#: It is quiet where no more exchanges than this run.
_FEW = 20

#: So often have the older objects been looked through since all were, where it is worth the while.
_ENOUGH = 10

#: How often to see whether it is quiet, in seconds.
QUIET_EVERY = 5.0

#: Blocks of so many bytes and more are each a mapping of their own: one that grows, as an encoded body does, is not
#: copied, and the system has it back as soon as it is free.  Left alone, glibc keeps what was freed, up to 32 MB each.
_OWN_MAPPING = 1 << 20

#: So many free bytes at the end of the heap are kept, so that it need not grow again with the next request.
_KEPT = 1 << 22

#: mallopt(3): what these are for.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def settle() -> None:
    """Call this when the service is up: what there is by then stays, and need not be looked through again."""
    # other C libraries have no such function, and do it their own way
    with suppress(AttributeError, OSError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING)
        allocator.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def collect_when_quiet(running: int) -> bool:
    """Look through all that there is, where hardly anybody has to wait for it, and there is something to be found.

    @param running: how many exchanges do.
    @return: whether it was done.
    """
    if running > _FEW or gc.get_count()[2] < _ENOUGH:
        return False
    gc.collect()
    return True
