"""`tests.soak.load` on uvloop where there is one: what it takes is taken from the upstream, with which it shares."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

from tests.soak.load import Plan, run


def main() -> None:
    """Read a plan, do what it says, and print what was found."""
    asked = run(Plan(**json.load(sys.stdin)))
    try:
        import uvloop
    except ImportError:
        found = asyncio.run(asked)
    else:
        found = uvloop.run(asked)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
