"""``oaiproxy`` and ``python -m oaiproxy``: the service for people who have no twistd at hand (pipx, uvx)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from twisted.application.twist._twist import Twist


def main(argv: Sequence[str] | None = None) -> None:
    """Run the service in the foreground, its log on stdout.

    @param argv: the options of ``twistd oaiproxy``; the process's own where None.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    # left alone, twist writes each line of its log as a page of JSON where stdout is no terminal
    Twist.main(["oaiproxy", "--log-format=text", "oaiproxy", *arguments])


if __name__ == "__main__":
    main()
