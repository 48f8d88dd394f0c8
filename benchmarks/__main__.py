"""How fast the proxy is: ``python -m benchmarks report`` is all of it, the others are parts of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.contenders import BY_NAME, chosen
from benchmarks.continuity import continuity
from benchmarks.cost import cost
from benchmarks.filters import filters, translators
from benchmarks.growth import growth
from benchmarks.ratelimits import ratelimits
from benchmarks.report import QUICK, Size, delay, report
from benchmarks.stores import stores
from benchmarks.uploads import uploads

#: What is measured without others: each makes a table.
PARTS: dict[str, Callable[[], str]] = {
    "translators": translators,
    "filters": filters,
    "growth": growth,
    "stores": stores,
    "uploads": uploads,
    "ratelimits": ratelimits,
    "continuity": continuity,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    whole = commands.add_parser("report", help="all figures, with their goals")
    whole.add_argument("--quick", action="store_true", help="one round")
    whole.add_argument("--times", type=int, help="how many rounds, otherwise 5")
    whole.add_argument("--markdown", action="store_true", help="the whole page that docs/performance.md is")
    part = commands.add_parser("cost", help="processor time for a request and for a stream")
    part.add_argument("--times", type=int, default=5, help="how many rounds")
    part.add_argument("--seconds", type=float, default=1.0, help="how long each is asked for one figure")
    late = commands.add_parser("delay", help="what is added to the time of answers, and 1,000 streams")
    late.add_argument("--times", type=int, default=1, help="how many rounds")
    for each in (whole, part, late):
        each.add_argument("names", nargs="*", metavar="NAME", help=f"who, otherwise all: {', '.join(BY_NAME)}")
    for name, run in PARTS.items():
        alone = commands.add_parser(name, help=(run.__doc__ or "").partition("\n")[0])
        alone.add_argument("more", nargs="*", choices=[[], *PARTS], help="and these")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run benchmarks.

    @return: the exit status.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.what in PARTS:
        for name in (options.what, *options.more):
            print(PARTS[name](), end="\n\n")
        return 0
    try:
        contenders, out = chosen(options.names)
    except ValueError as error:
        parser.error(str(error))
    if options.what == "cost":
        print("\n\n".join((cost(contenders, options.times, options.seconds), *out)))
    elif options.what == "delay":
        print("\n\n".join((delay(contenders, replace(QUICK, times=options.times)), *out)))
    else:
        size = QUICK if options.quick else Size()
        size = replace(size, times=options.times or size.times)
        print(report(contenders, out, size, markdown=options.markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
