"""``oaiproxy check-config FILE``: whether the service would start with a file, and what each port would be told."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

from oaiproxy.config import ConfigError, build
from oaiproxy.config.sources import environment, from_environment, read_file
from oaiproxy.options import DOTENV
from oaiproxy.settings import ServiceSettings, Settings

USAGE = """Usage: oaiproxy check-config FILE

Reads a TOML file as the service does that is started with --config FILE, here and now: with the variables of the
environment and of a .env file, which win over the file. Prints what each port is told that is not the default, keys
hidden. The exit status is 1 where the service would not start, and 2 where the command line is wrong.
"""


def main(
    argv: Sequence[str],
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run the command.

    @param argv: its arguments.
    @return: the exit status.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    if list(argv) in (["--help"], ["-h"]):
        out.write(USAGE)
        return 0
    if len(argv) != 1 or argv[0].startswith("-"):
        err.write("oaiproxy check-config: one FILE is needed (see oaiproxy check-config --help)\n")
        return 2
    try:
        settings = checked(Path(argv[0]), environment(os.environ, DOTENV) if environ is None else environ)
    except ConfigError as e:
        err.write(f"oaiproxy: {e}\n")
        return 1
    out.writelines(f"{line}\n" for line in report(settings))
    return 0


#: Fields that say where a setting came from, and nothing that a port is told.
_NOT_SHOWN = frozenset({"upstream_said"})


def checked(path: Path, environ: Mapping[str, str]) -> ServiceSettings:
    """The settings that a file and the environment make.

    @raise ConfigError: the service would not start with them.
    """
    return build({}, from_environment(environ), read_file(path))


def report(settings: ServiceSettings) -> Iterator[str]:
    """What the service would do, line by line."""
    for port in settings.ports:
        yield f"{port.kind.value} {' '.join(port.endpoints)}"
        for name, value in _told(port.settings, Settings()):
            yield f"  {name} = {value}"
    if settings.log_file is not None:
        yield f"log = {settings.log_file}"
    if settings.store.place is not None:
        yield f"store = {settings.store.place}"
    if settings.debug:
        yield "debug = true"


def _told(value: Any, default: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a settings value that are not as they are by default."""
    for field in dataclasses.fields(value):
        name, mine, usual = prefix + field.name, getattr(value, field.name), getattr(default, field.name)
        if mine == usual or field.name in _NOT_SHOWN:
            continue
        if dataclasses.is_dataclass(mine) and type(mine) is type(usual):
            yield from _told(mine, usual, name + ".")
        else:
            yield name, _shown(mine)


def _shown(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        usual = {field.name: field.default for field in dataclasses.fields(value)}
        told = {name: getattr(value, name) for name in usual}
        return "(" + ", ".join(f"{name}={_shown(mine)}" for name, mine in told.items() if mine) + ")"
    return str(value)
