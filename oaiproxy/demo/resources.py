"""The demo over HTTP: finds the answer to a request and plays it, and knows nothing of what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from oaiproxy.api.errors import ApiError, MethodNotAllowed, NotFound, NoWebSocket
from oaiproxy.demo import audio, chat, completions, embeddings, files, models, responses
from oaiproxy.demo.forms import read_form
from oaiproxy.demo.multipart import Part
from oaiproxy.demo.player import Player
from oaiproxy.demo.reply import Reply, failed, whole
from oaiproxy.demo.world import World

_log = Logger()


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request, as far as an answer can want to know it.

    @ivar name: the part of the path that the route leaves open; empty where it leaves none.
    @ivar body: reads the body.
    @ivar form: reads the body as a form.
    """

    name: str
    body: Callable[[], bytes]
    form: Callable[[], list[Part]]


Handler = Callable[[Incoming, World], Reply]

#: Path, with a star where a part of it is a name -> method -> what answers.
ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/v1/chat/completions": {"POST": lambda i, w: chat.create(i.body(), w)},
    "/v1/completions": {"POST": lambda i, w: completions.create(i.body(), w)},
    "/v1/responses": {"POST": lambda i, w: responses.create(i.body(), w)},
    "/v1/responses/*": {
        "GET": lambda i, w: responses.retrieve(i.name, w),
        "DELETE": lambda i, w: responses.delete(i.name, w),
    },
    "/v1/embeddings": {"POST": lambda i, w: embeddings.create(i.body(), w)},
    "/v1/models": {"GET": lambda i, w: whole(models.model_list())},
    "/v1/models/*": {"GET": lambda i, w: whole(models.model(i.name))},
    "/v1/files": {"GET": lambda i, w: files.list_all(w), "POST": lambda i, w: files.create(i.form(), w)},
    "/v1/files/*": {
        "GET": lambda i, w: files.retrieve(i.name, w),
        "DELETE": lambda i, w: files.delete(i.name, w),
    },
    "/v1/files/*/content": {"GET": lambda i, w: files.content(i.name, w)},
    "/v1/audio/transcriptions": {"POST": lambda i, w: audio.transcribe(i.form(), w)},
    "/v1/audio/speech": {"POST": lambda i, w: audio.speak(i.body(), w)},
}

_ROUTES = {tuple(path[1:].split("/")): methods for path, methods in ROUTES.items()}

#: Response headers that the real API sends with every answer, and the one by which the demo can be told from it.
HEADERS: Mapping[str, str] = {
    "x-oaiproxy-demo": "1",
    "openai-version": "2020-10-01",
    "openai-organization": "oaiproxy-demo",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-tokens": "1999900",
    "x-ratelimit-reset-tokens": "3ms",
}


def route(method: str, path: str, segments: tuple[str, ...]) -> tuple[Handler, str]:
    """What answers a request.

    @param path: the path as sent, for the error.
    @param segments: the parts of the path, decoded.
    @return: the handler, and the name in the path.
    @raise NotFound: nothing is at that path.
    @raise MethodNotAllowed: the path has other methods.
    """
    for pattern, methods in _ROUTES.items():
        if len(pattern) != len(segments) or any(p not in ("*", s) for p, s in zip(pattern, segments, strict=True)):
            continue
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = tuple([*methods, "HEAD"] if "GET" in methods else methods)
            raise MethodNotAllowed(f"{method} is not allowed on {path}; allowed: {', '.join(allowed)}.", allowed)
        return handler, "".join(s for p, s in zip(pattern, segments, strict=True) if p == "*")
    raise NotFound(f"Invalid URL ({method} {path})")


class DemoResource(Resource):
    """All of the demo, from the root of its site.

    @ivar world: what the answers share.
    @ivar running: how many answers are under way.
    """

    isLeaf = True

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: paces the answers and dates them; the reactor, or a `Clock`.
        """
        super().__init__()
        self.world = World(clock.seconds)
        self.running = 0
        self._clock = clock

    def render(self, request: Request) -> int:
        """Answer any request, with any method."""
        began = self._clock.seconds()
        reply = self._reply(request)
        request.setResponseCode(reply.status)
        headers: dict[str, str] = {
            "Server": "oaiproxy-demo",
            "Content-Type": reply.content_type,
            "x-request-id": self.world.new_id("req_"),
            "openai-processing-ms": str(int((self._clock.seconds() - began) * 1000) + 1),
            **HEADERS,
            **reply.headers,
        }
        if reply.length is not None:
            headers["Content-Length"] = str(reply.length)
        for name, value in headers.items():
            request.responseHeaders.setRawHeaders(name, [value])
        self._play(reply, request)
        return NOT_DONE_YET

    def _reply(self, request: Request) -> Reply:
        method = request.method.decode("latin-1")
        path = request.path.decode("latin-1")
        segments = [segment.decode("utf-8", "replace") for segment in request.postpath or ()]
        if len(segments) > 1 and not segments[-1]:
            segments.pop()
        try:
            if (request.getHeader("upgrade") or "").lower() == "websocket":
                raise NoWebSocket(
                    "oaiproxy's demo upstream speaks no WebSocket. What the Responses API streams over one comes over "
                    "HTTP too: POST /v1/responses with 'stream': true."
                )
            handler, name = route(method, path, tuple(segments))
            incoming = Incoming(name, lambda: _read(request), lambda: read_form(request))
            return handler(incoming, self.world)
        except ApiError as error:
            return failed(error)
        except Exception:
            # the answer is made of what the client sent, so it stays out of the log
            _log.failure("the demo upstream cannot answer {method} {path}", method=method, path=path)
            return failed(ApiError("oaiproxy's demo upstream could not answer this.", type="server_error"))

    def _play(self, reply: Reply, request: Request) -> None:
        def over() -> None:
            self.running -= 1

        player = Player(reply, request, self._clock, lambda: _abort(request), over)
        self.running += 1
        request.notifyFinish().addErrback(lambda _: player.stop())
        player.start()


def _read(request: Request) -> bytes:
    return request.content.read() if request.content else b""


def _abort(request: Request) -> None:
    """Break the connection that a request came on, so that the client sees a reset and not an end."""
    transport: Any = request.channel.transport
    transport.abortConnection()
