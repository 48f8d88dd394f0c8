"""Commands beside the service itself: ``oaiproxy translate``, ``oaiproxy check-config``.  They start no reactor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

#: The module of each command; its ``main`` takes the arguments and returns the exit status.
COMMANDS = {"check-config": "oaiproxy.cli.checkconfig", "translate": "oaiproxy.cli.translate"}


def find_command(name: str) -> Callable[[Sequence[str]], int] | None:
    """The command of that name, or None where there is none such.  Only its own modules are loaded."""
    module = COMMANDS.get(name)
    if module is None:
        return None
    command: Callable[[Sequence[str]], int] = import_module(module).main
    return command
