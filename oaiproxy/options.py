"""The command line, and with it the environment and the file, as settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from twisted.python import usage

from oaiproxy import __version__
from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.clients import profile_names
from oaiproxy.config import ConfigError, ConfigFile, Place, build
from oaiproxy.config.sources import environment, from_environment, from_options, option_of, read_file
from oaiproxy.config.table import SETTINGS, Setting
from oaiproxy.settings import ServiceSettings

#: What a working directory may have beside the environment.
DOTENV = Path(".env")


def variable(option: str) -> str:
    """The environment variable of an option: ``log`` -> ``OAIPROXY_LOG``."""
    return "OAIPROXY_" + option.upper().replace("-", "_")


def _help(setting: Setting) -> str:
    meaning = f"the file with {setting.meaning}" if setting.file and not setting.option else setting.meaning
    return f"{meaning} [default: {setting.default}]" if setting.default else meaning


_WITH_OPTION = [(name, setting) for setting in SETTINGS if (name := option_of(setting)) is not None]


class Options(usage.Options):
    """What ``twistd oaiproxy`` takes.

    Each option has a variable of its name in the environment (``--reasoning-field`` is ``OAIPROXY_REASONING_FIELD``)
    and a key in the file (``reasoning_field``); the option wins, then the variable.

    @ivar settings: the outcome, after `parseOptions`.
    """

    synopsis = "[options]"
    longdesc = (
        "A reverse proxy for the OpenAI API. Point a client's base URL at the passthrough port and everything is "
        "passed on as it is; point it at the bridge port and its chat completions are made with the Responses API. "
        "Each option can be given as an environment variable as well: --upstream is OAIPROXY_UPSTREAM, and so on; "
        "several WHERE in one variable are separated by spaces. The option wins, then the variable, then the file. "
        "Try it without a key: twistd -n oaiproxy --upstream demo"
    )
    optFlags = [
        *([name, None, _help(setting)] for name, setting in _WITH_OPTION if setting.is_flag),
        ["list-transforms", None, "show the request transforms that were found, in the order they run, and exit"],
        ["list-tools", None, "show the tools that were found and that the proxy can run itself, and exit"],
    ]
    optParameters = [
        ["config", None, None, "a TOML file with any of these, and with ports of their own settings"],
        ["interface", None, None, "address for bare port numbers [default: 127.0.0.1 and ::1]"],
        *(
            [name, None, None, _help(setting)]
            for name, setting in _WITH_OPTION
            if not setting.is_flag and not setting.repeat
        ),
    ]
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles("*.toml"),
            "log": usage.CompleteFiles(),
            "models": usage.CompleteFiles("*.json"),
            "reasoning-field": usage.CompleteList([f.value for f in ReasoningField]),
            "profile": usage.CompleteList(list(profile_names())),
        }
    )

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """@param environ: the environment; the process's own, and the ``.env`` file's here, where None."""
        super().__init__()
        self._given = environ
        self._where: list[tuple[PortKind, str]] = []
        self.settings = ServiceSettings()

    def opt_passthrough(self, where: str) -> None:
        """listen here and pass everything on: a port number or a Twisted endpoint; may be repeated [default: 5101]"""
        self._where.append((PortKind.PASSTHROUGH, where))

    def opt_bridge(self, where: str) -> None:
        """listen here and turn chat completions into Responses; may be repeated [default: 5102]"""
        self._where.append((PortKind.BRIDGE, where))

    def opt_cors_origin(self, origin: str) -> None:
        """an origin whose browser pages may use the proxy, or *; may be repeated"""
        self.opts.setdefault("cors-origin", []).append(origin)

    def opt_version(self) -> NoReturn:
        """show the version and exit"""
        print(f"oaiproxy {__version__}")  # noqa: T201
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line; a mistake in it ends the process with one line and status 1.

        twistd would print the whole help before the line that matters.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as e:
            raise SystemExit(f"oaiproxy: {e} (see twistd oaiproxy --help)") from None

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"{args[0]!r} is no option")

    def postOptions(self) -> None:
        try:
            environ = environment(os.environ, DOTENV) if self._given is None else dict(self._given)
            config = self["config"] or environ.get(variable("config"))
            self.settings = build(
                options=from_options(self.opts),
                environ=from_environment(environ),
                file=read_file(Path(config)) if config else ConfigFile({}),
                places=self._places(environ),
                interface=self["interface"] or environ.get(variable("interface")) or None,
            )
        except ConfigError as e:
            raise usage.UsageError(str(e)) from None
        for name in ("list-transforms", "list-tools"):
            if environ.get(variable(name), "").lower() in ("1", "true", "yes", "on"):
                self.opts[name] = 1

    def _places(self, environ: Mapping[str, str]) -> list[Place]:
        """The ports that are asked for; a kind that the command line does not name may be named by its variable."""
        places: list[Place] = [(kind, where, f"--{kind.value}") for kind, where in self._where]
        for kind in PortKind:
            if not any(k is kind for k, _ in self._where):
                name = variable(kind.value)
                places += [(kind, where, name) for where in environ.get(name, "").split()]
        return places
