"""``oaiproxy`` and ``python -m oaiproxy``: the service for people who have no twistd at hand (pipx, uvx), and the
commands beside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from oaiproxy.cli import find_command


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command (see `oaiproxy.cli`), or else the service in the foreground, its log on stdout.

    @param argv: the name of a command and its arguments, or the options of ``twistd oaiproxy``; the process's own
        where None.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and (command := find_command(arguments[0])) is not None:
        sys.exit(command(arguments[1:]))

    # imported late: no command needs it
    from twisted.application.twist._twist import Twist

    from oaiproxy.maker import choose_reactor

    # before twist does
    choose_reactor()
    # left alone, twist writes each line of its log as a page of JSON where stdout is no terminal, and leaves out the
    # lines that are only there where --debug asks for them
    Twist.main(["oaiproxy", "--log-format=text", "--log-level=debug", "oaiproxy", *arguments])


if __name__ == "__main__":
    main()
