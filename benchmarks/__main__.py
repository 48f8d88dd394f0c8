"""``python -m benchmarks [NAME ...]``: all of them, or those that are named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks.filters import filters, translators
from benchmarks.growth import growth
from benchmarks.relay import relay, traffic_log
from benchmarks.uploads import uploads

#: Name and benchmark; each prints a table.
BENCHMARKS: dict[str, Callable[[], None]] = {
    "relay": relay,
    "log": traffic_log,
    "translators": translators,
    "filters": filters,
    "growth": growth,
    "uploads": uploads,
}


def main(names: Sequence[str]) -> int:
    """Run benchmarks.

    @return: the exit status.
    """
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"there is no benchmark {', '.join(unknown)}, only {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
