"""``oaiproxy translate``: what a bridge port would send upstream for a request, or to the client for an answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import msgspec
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python import usage
from zope.interface import implementer

from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import ApiRequest
from oaiproxy.api.secrets import Secrets, is_secret_header, mask_url
from oaiproxy.cli.dryrun import CHAT, RequestRun, chat_request, run_answer, run_request
from oaiproxy.cli.options import TranslateOptions
from oaiproxy.cli.recorded import EVENTS, Recorded, events_of, read_recorded
from oaiproxy.cli.report import answer_lines, answer_report, compared, line, request_lines, request_report
from oaiproxy.cli.trafficlog import LogError, LoggedExchange, load_exchange
from oaiproxy.clients import UnknownProfile, find_profile
from oaiproxy.models import Catalogue, CatalogueError
from oaiproxy.settings import DEMO, Settings
from oaiproxy.tools import ToolBox, ToolBoxError, discover_tools
from oaiproxy.transforms import Pipeline, TransformError, discover, order
from oaiproxy.web.dialects import CallContext
from oaiproxy.web.profiles import PROFILE

#: Exit statuses: all went well; the client gets an error; the command cannot do its work.
OK, REFUSED, UNUSABLE = 0, 1, 2

_NAME = "oaiproxy translate"

_NO_REQUEST = line("request", "one that says nothing is assumed; name the real one with --request")


class TranslateError(Exception):
    """The command cannot do its work; the message is one line."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What there is to translate.

    @ivar asked: the client's request.
    @ivar answers: the upstream's answers, or None where the request alone is wanted.
    @ivar context: what the dialects may know.
    @ivar transforms: whether the request transforms run; not on a request that we made up.
    @ivar sent: what went upstream at the time, where that is known.
    @ivar remark: a line of the report on where the request is from, or an empty text.
    """

    asked: ApiRequest
    answers: list[Recorded] | None
    context: CallContext
    transforms: bool = True
    sent: list[Any] | None = None
    remark: str = ""


class Translate:
    """One run of the command."""

    def __init__(self, options: TranslateOptions, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._options = options
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr

    def run(self) -> int:
        """Do it.

        @return: the exit status.
        @raise TranslateError: it cannot be done.
        """
        try:
            work = self._work()
            pipeline = self._pipeline() if work.transforms else Pipeline(())
            run = run_request(work.asked, pipeline, work.context, self._tools(work))
        except ApiError as e:
            return self._refused(e)
        if work.answers is None:
            return self._show_request(run, work)
        return self._show_answer(run, work, work.answers)

    # what there is

    def _work(self) -> _Work:
        """
        @raise ApiError: the request is none that the proxy takes.
        """
        options = self._options
        if options["log"] is not None:
            return self._logged(options["log"])
        if not options["response"]:
            asked = chat_request(self._read(options.files), options["path"] or "", stream=options.stream)
            return _Work(asked, None, self._context())
        files = options.files or ("-",)
        answers = [read_recorded(self._read((file,)), options.status) for file in files]
        if options["request"] is not None:
            asked = chat_request(self._read((options["request"],)), options["path"] or "", stream=options.stream)
            return _Work(asked, answers, self._context())
        asked = _made_up(answers, options["path"] or CHAT, options.stream)
        return _Work(asked, answers, self._context(), transforms=False, remark=_NO_REQUEST)

    def _logged(self, path: str) -> _Work:
        try:
            exchange = load_exchange(path, self._options["exchange"])
            answers = exchange.answers() if self._options["response"] else None
            raw = exchange.body()
        except LogError as e:
            raise TranslateError(f"{path}: {e}") from None
        except OSError as e:
            raise TranslateError(_unreadable(path, e)) from None
        headers = [(name, value) for name, value in exchange.headers if not is_secret_header(name.encode())]
        asked = chat_request(raw, exchange.path, headers, self._options.stream)
        remark = line("exchange", f"{exchange.id} of {exchange.timestamp}, status {exchange.status}")
        return _Work(asked, answers, self._context(exchange), sent=exchange.sent(), remark=remark)

    def _context(self, exchange: LoggedExchange | None = None) -> CallContext:
        settings = self._options.settings
        fields = {} if exchange is None else dict(exchange.headers)
        # no clock: the same input gives the same output
        now = 0 if exchange is None else exchange.seconds
        try:
            profile = find_profile(fields.get("user-agent", ""), fields.get(PROFILE) or settings.profile)
        except UnknownProfile as e:
            raise TranslateError(str(e)) from None
        return CallContext(settings=settings, models=self._models(settings), profile=profile, now=now)

    def _models(self, settings: Settings) -> Catalogue:
        if settings.models_file is None:
            return Catalogue.builtin()
        try:
            return Catalogue.load(settings.models_file)
        except CatalogueError as e:
            raise TranslateError(str(e)) from None

    def _pipeline(self) -> Pipeline:
        found = discover()
        for plugin in found.broken:
            self._say([f"plugin {plugin.name} is left out: {plugin.reason}"])
        try:
            return Pipeline(order(found.transforms))
        except TransformError as e:
            raise TranslateError(str(e)) from None

    def _tools(self, work: _Work) -> ToolBox:
        settings = work.context.settings.tools
        if not (settings.enabled and work.transforms):
            return ToolBox()
        try:
            return ToolBox(discover_tools().tools).for_settings(settings)
        except ToolBoxError as e:
            raise TranslateError(str(e)) from None

    def _read(self, files: Sequence[str]) -> bytes:
        name = files[0] if files else "-"
        try:
            if name == "-":
                if self._stdin.isatty():
                    self._say([f"{_NAME}: reading from the terminal; end with Ctrl-D"])
                return self._stdin.read()
            with open(name, "rb") as file:
                return file.read()
        except OSError as e:
            raise TranslateError(_unreadable(name, e)) from None

    # what is shown

    def _show_request(self, run: RequestRun, work: _Work) -> int:
        settings = self._options.settings
        base = "http://demo/v1" if settings.upstream == DEMO else settings.upstream
        report = request_report(run, mask_url(base.encode() + run.call.path))
        then = None if work.sent is None else compared(msgspec.json.decode(run.call.bodies[0]), work.sent)
        if self._options["json"]:
            self._print(_pretty(msgspec.json.encode({**report, "log": then})))
            return OK
        lines = [*request_lines(report), work.remark, *_told("then", then or "")]
        self._print(b"".join(map(_pretty, report["requests"])), lines)
        return OK

    def _show_answer(self, run: RequestRun, work: _Work, answers: list[Recorded]) -> int:
        count = len(run.call.bodies)
        if count != len(answers):
            raise TranslateError(f"the request makes {count} upstream requests, and there are {len(answers)} answers")
        answer = run_answer(run.call, answers)
        report = answer_report(answer, answers)
        if self._options["json"]:
            self._print(_pretty(msgspec.json.encode(report)))
        else:
            lines = [*answer_lines(report), work.remark]
            self._print(answer.body if answer.stream else _pretty(answer.body), lines)
        return OK if answer.error is None else REFUSED

    def _refused(self, error: ApiError) -> int:
        self._print(_pretty(error.body()), [f"refused with HTTP {error.status}, nothing goes upstream"])
        return REFUSED

    def _print(self, body: bytes, lines: Iterable[str] = ()) -> None:
        """Print what the command is for, and say lines of the report."""
        shown = Secrets().mask(body)
        lines = [*lines, *_told("masked", "secrets are shown as ***" if shown != body else "")]
        if not self._options["json"]:
            self._say(lines)
        self._stdout.write(shown)
        self._stdout.flush()

    def _say(self, lines: Iterable[str]) -> None:
        text = "".join(f"{said}\n" for said in lines if said).encode("utf-8", "replace")
        self._stderr.write(Secrets().mask(text))
        self._stderr.flush()


def _made_up(answers: Sequence[Recorded], path: str, stream: bool | None) -> ApiRequest:
    """A request that an answer could be the answer to: it declares the tools that the answer says there were."""
    events = events_of(answers[0])
    objects = [value for event in events for value in (event.get("response"), event) if isinstance(value, dict)]
    response = next((value for value in objects if value.get("object") == "response"), {})
    declared = [tool for tool in response.get("tools") or () if isinstance(tool, dict) and tool.get("type")]
    body: dict[str, Any] = {"model": response.get("model") or "unknown"}
    if path == CHAT:
        body |= {"messages": [{"role": "user", "content": ""}], "tools": declared}
    else:
        body["prompt"] = ""
    streams = answers[0].content_type.startswith(EVENTS) if stream is None else stream
    if streams:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat_request(msgspec.json.encode(body), path)


def _told(kind: str, text: str) -> list[str]:
    return [line(kind, text)] if text else []


def _pretty(body: bytes) -> bytes:
    """JSON for people to read; as it is where it is none."""
    try:
        return msgspec.json.format(body, indent=2) + b"\n"
    except (ValueError, RecursionError):
        return body


def _unreadable(name: str, error: OSError) -> str:
    return f"{name} cannot be read: {error.strerror or error}"


def main(
    argv: Sequence[str],
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run the command.

    @param argv: its arguments.
    @param stdin: where it reads what no file is named for.
    @param stdout: where it prints.
    @param stderr: where it reports.
    @param environ: the variables of the environment.
    @return: the exit status: 0, 1 where the client gets an error, 2 where the command cannot do its work.
    """
    err = stderr or sys.stderr.buffer
    options = TranslateOptions(os.environ if environ is None else environ)
    observer = _LogShown(err)
    globalLogPublisher.addObserver(observer)
    try:
        options.parseOptions(argv)
        return Translate(options, stdin or sys.stdin.buffer, stdout or sys.stdout.buffer, err).run()
    except usage.UsageError as e:
        problem = f"{e} (see {_NAME} --help)"
    except TranslateError as e:
        problem = str(e)
    except OSError as e:
        # nothing more can be written, by the interpreter's own flush either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(e, BrokenPipeError):
            return OK  # who reads has seen enough
        problem = f"the standard output cannot be written: {e.strerror or e}"
    except KeyboardInterrupt:
        problem = "interrupted"
    finally:
        globalLogPublisher.removeObserver(observer)
    err.write(Secrets().mask(f"{_NAME}: {problem}\n".encode("utf-8", "replace")))
    return UNUSABLE


@implementer(ILogObserver)
class _LogShown:
    """Shows what a port would write into its log: a transform that failed says there why."""

    def __init__(self, stderr: IO[bytes]) -> None:
        self._stderr = stderr

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            self._stderr.write(Secrets().mask(f"log: {formatEvent(event)}\n".encode("utf-8", "replace")))
