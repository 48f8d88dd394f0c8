"""The command line and the environment, as settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from twisted.python import usage

from oaiproxy import __version__
from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.clients import find_profile, profile_names
from oaiproxy.settings import DEFAULT_PORTS, Port, Settings, port_at, upstream_url

#: The model list that is read where none is named and the working directory has one.
DEFAULT_MODELS = Path("models.json")

#: Values of a variable for a flag.
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def variable(option: str) -> str:
    """The environment variable of an option: ``log`` -> ``OAIPROXY_LOG``."""
    return "OAIPROXY_" + option.upper().replace("-", "_")


class Options(usage.Options):
    """What ``twistd oaiproxy`` takes.

    Each option has a variable of its name in the environment (``--reasoning-field`` is
    ``OAIPROXY_REASONING_FIELD``); the option
    wins.

    @ivar settings: the outcome, after `parseOptions`.
    """

    synopsis = "[options]"
    longdesc = (
        "A reverse proxy for the OpenAI API. Point a client's base URL at the passthrough port and everything is "
        "passed on as it is; point it at the bridge port and its chat completions are made with the Responses API. "
        "Each option can be given as an environment variable as well: --upstream is OAIPROXY_UPSTREAM, and so on; "
        "several WHERE in one variable are separated by spaces. The option wins. "
        "Try it without a key: twistd -n oaiproxy --upstream demo"
    )
    optFlags = [
        ["disable-auto-web-search", None, "the bridge adds no web_search tool to requests that name no tools"],
        ["strict", None, "refuse what would be dropped with a warning"],
        ["list-transforms", None, "show the request transforms that were found, in the order they run, and exit"],
    ]
    optParameters = [
        ["interface", None, None, "address for bare port numbers [default: 127.0.0.1 and ::1]"],
        ["upstream", None, "https://api.openai.com/v1", "base URL of the upstream, or: demo"],
        ["models", None, None, "model list to serve [default: models.json here, else the built-in list]"],
        ["log", None, None, "write all traffic to this file, keys masked; begun anew at each start"],
        ["keepalive", None, "15", "seconds of silence after which a stream is kept alive; 0 never"],
        [
            "reasoning-field",
            None,
            None,
            "where reasoning summaries go in chat answers: "
            + ", ".join(f.value for f in ReasoningField)
            + " [default: as the client's profile says]",
        ],
        [
            "profile",
            None,
            None,
            "speak to all clients as to one: " + ", ".join(profile_names()) + " [default: by their User-Agent]",
        ],
    ]
    compData = usage.Completions(
        optActions={
            "log": usage.CompleteFiles(),
            "models": usage.CompleteFiles("*.json"),
            "reasoning-field": usage.CompleteList([f.value for f in ReasoningField]),
            "profile": usage.CompleteList(list(profile_names())),
        }
    )

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._environ = os.environ if environ is None else environ
        self._where: list[tuple[PortKind, str]] = []
        self.settings = Settings()

    def opt_passthrough(self, where: str) -> None:
        """listen here and pass everything on: a port number or a Twisted endpoint; may be repeated [default: 5101]"""
        self._where.append((PortKind.PASSTHROUGH, where))

    def opt_bridge(self, where: str) -> None:
        """listen here and turn chat completions into Responses; may be repeated [default: 5102]"""
        self._where.append((PortKind.BRIDGE, where))

    def opt_version(self) -> NoReturn:
        """show the version and exit"""
        print(f"oaiproxy {__version__}")  # noqa: T201
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line; a mistake in it ends the process with one line and status 1.

        twistd would print the whole help before the line that matters.
        """
        try:
            self._fill_from_environment()
            super().parseOptions(options)
        except usage.UsageError as e:
            raise SystemExit(f"oaiproxy: {e} (see twistd oaiproxy --help)") from None

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"{args[0]!r} is no option")

    def postOptions(self) -> None:
        self.settings = Settings(
            ports=self._ports(),
            upstream=_checked("upstream", upstream_url, self["upstream"]),
            models_file=self._models(),
            log_file=Path(self["log"]) if self["log"] else None,
            auto_web_search=not self["disable-auto-web-search"],
            strict=bool(self["strict"]),
            keepalive=_checked("keepalive", _seconds, self["keepalive"]),
            reasoning_field=_given("reasoning-field", _reasoning_field, self["reasoning-field"]),
            profile=_given("profile", _profile, self["profile"]),
        )

    def _fill_from_environment(self) -> None:
        for name in (str(row[0]) for row in self.optParameters):
            if value := self._environ.get(variable(name)):
                self.opts[name] = value
        for name in (str(row[0]) for row in self.optFlags):
            value = self._environ.get(variable(name), "").lower()
            if value not in _TRUE | _FALSE:
                raise usage.UsageError(f"{variable(name)} must be true or false, not {value!r}")
            self.opts[name] = int(value in _TRUE)

    def _ports(self) -> tuple[Port, ...]:
        where = list(self._where)
        for kind in PortKind:
            if not any(k is kind for k, _ in self._where):
                where += [(kind, place) for place in self._environ.get(variable(kind.value), "").split()]
        where = where or list(DEFAULT_PORTS.items())
        return tuple(
            _checked(kind.value, lambda place, kind=kind: port_at(kind, place, self["interface"]), place)
            for kind, place in where
        )

    def _models(self) -> Path | None:
        if self["models"]:
            return Path(self["models"])
        return DEFAULT_MODELS if DEFAULT_MODELS.is_file() else None


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is no number of seconds") from None
    return seconds


def _reasoning_field(value: str) -> ReasoningField:
    try:
        return ReasoningField(value)
    except ValueError:
        raise ValueError(f"{value!r} is none of {', '.join(f.value for f in ReasoningField)}") from None


def _profile(value: str) -> str:
    return find_profile("", value).name


def _given(option: str, parse: Any, value: str | None) -> Any:
    """Like `_checked`, for an option that may be left out; an empty value is none."""
    return _checked(option, parse, value) if value else None


def _checked(option: str, parse: Any, value: str) -> Any:
    """Parse an option's value; what is wrong with it is said with the option's name."""
    try:
        return parse(value)
    except ValueError as e:
        raise usage.UsageError(f"--{option}: {e}") from None
