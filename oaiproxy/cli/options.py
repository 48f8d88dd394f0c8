"""What ``oaiproxy translate`` takes."""

from __future__ import annotations

import getopt
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from twisted.python import usage

from oaiproxy import __version__
from oaiproxy.api.request import PortKind
from oaiproxy.cli.dryrun import ROUTES
from oaiproxy.options import Options
from oaiproxy.settings import Settings

#: The service's options that matter here too; they have their variables in the environment as well.
SHARED = ("config", "upstream", "models", "reasoning-field", "profile")
SHARED_FLAGS = ("disable-auto-web-search", "strict")


class TranslateOptions(usage.Options):
    """The command line.

    @ivar files: the files that it names.
    @ivar settings: the service's settings.
    @ivar stream: whether the client wants a stream, or None for what the request says.
    @ivar status: the HTTP status of the answer, or None for what the answer says.
    """

    synopsis = "Usage: oaiproxy translate [options] [FILE ...]"
    longdesc = (
        "Shows what a bridge port would do, without sending anything. FILE, or else the standard input, holds the JSON "
        "body of a chat request: the Responses request that would go upstream is printed, and on the standard error "
        "what was added, renamed and dropped. With --response FILE holds an answer of the upstream, a response object "
        "or a recorded stream: what the client would get is printed. With --log both are taken from a traffic log. "
        "Secrets are masked. The exit status is 1 where the client would get an error."
    )
    optFlags = [
        ["response", None, "FILE is an answer of the upstream"],
        ["stream", None, "the client wants a stream, whatever the request says"],
        ["no-stream", None, "the client wants no stream, whatever the request says"],
        ["json", None, "print all of it, the report too, as one JSON object"],
        *(row for row in Options.optFlags if row[0] in SHARED_FLAGS),
    ]
    optParameters = [
        ["request", None, None, "with --response: the request that it answers [default: one that says nothing]"],
        ["status", None, None, "with --response: the HTTP status that it came with [default: 200]"],
        ["path", None, None, "where the request was posted: " + " or ".join(ROUTES) + " [default: by its fields]"],
        ["log", None, None, "take the request, and with --response the answer, from this traffic log"],
        ["exchange", None, None, "with --log: the exchange to take, its id or the number at its end"],
        # without defaults of their own: what is not given is as the environment says
        *([*row[:2], None, *row[3:]] for row in Options.optParameters if row[0] in SHARED),
    ]
    compData = usage.Completions(
        optActions={"request": usage.CompleteFiles(), "log": usage.CompleteFiles(), "models": usage.CompleteFiles()}
    )

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ
        self.files: tuple[str, ...] = ()
        self.settings = Settings()
        self.stream: bool | None = None
        self.status: int | None = None

    def opt_version(self) -> NoReturn:
        """show the version and exit"""
        print(f"oaiproxy {__version__}")  # noqa: T201
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line; options may stand behind the files too.

        @raise usage.UsageError: there is a mistake in it.
        """
        try:
            found, files = getopt.gnu_getopt(list(options or ()), self.shortOpt, self.longOpt)
        except getopt.GetoptError as e:
            raise usage.UsageError(str(e)) from None
        given = [word for name, value in found for word in ((name, value) if self._takes_value(name) else (name,))]
        super().parseOptions([*given, "--", *files])

    def _takes_value(self, name: str) -> bool:
        return f"{name[2:]}=" in self.longOpt

    def parseArgs(self, *files: str) -> None:
        self.files = files

    def postOptions(self) -> None:
        if self["stream"] and self["no-stream"]:
            raise usage.UsageError("--stream and --no-stream exclude each other")
        if self["stream"] or self["no-stream"]:
            self.stream = bool(self["stream"])
        for name in ("request", "status"):
            if self[name] is not None and not self["response"]:
                raise usage.UsageError(f"--{name} is about an answer: add --response")
        if self["exchange"] is not None and self["log"] is None:
            raise usage.UsageError("--exchange is one of a traffic log: name it with --log")
        if self["log"] is not None and (self.files or self["request"] is not None):
            raise usage.UsageError("--log brings the request and the answer: name no other file")
        if len(self.files) > 1 and not self["response"]:
            raise usage.UsageError("one request at a time")
        if self["path"] is not None and self["path"] not in ROUTES:
            raise usage.UsageError(f"--path: {self['path']!r} is none of {', '.join(ROUTES)}")
        if self["status"] is not None:
            if not (self["status"].isascii() and self["status"].isdigit() and 100 <= int(self["status"]) <= 599):
                raise usage.UsageError(f"--status: {self['status']!r} is no HTTP status")
            self.status = int(self["status"])
        self.settings = self._service_settings()

    def _service_settings(self) -> Settings:
        """What the service itself would make of these options and of the environment."""
        given = [f"--{name}={self[name]}" for name in SHARED if self[name] is not None]
        service = Options(self._environ)
        try:
            service.parseOptions([*given, *(f"--{name}" for name in SHARED_FLAGS if self[name])])
        except SystemExit as e:
            text = str(e.code).removeprefix("oaiproxy: ").partition(" (see ")[0]
            raise usage.UsageError(text) from None
        # the first bridge port is the one that is meant, where a file tells each something else
        bridges = (port.settings for port in service.settings.ports if port.kind is PortKind.BRIDGE)
        return next(bridges, service.settings.common)
