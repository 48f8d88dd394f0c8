"""``GET /health``: whether the service lives; where that is asked, whether its upstream does as well, how much there is
to do, and how its store is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from oaiproxy.api.errors import ApiError, MethodNotAllowed, UpstreamTimeout
from oaiproxy.api.headers import for_upstream
from oaiproxy.api.loop import marked
from oaiproxy.api.place import trace_of
from oaiproxy.interfaces import IStateStore, IStoreState
from oaiproxy.relay import UpstreamBody
from oaiproxy.relay.limits import within
from oaiproxy.web.context import MARK, PortContext
from oaiproxy.web.respond import write_body
from oaiproxy.web.site import ProxyRequest

#: The request targets of the health check, without a query.
HEALTH_TARGETS = frozenset((b"/health", b"/health/", b"/v1/health", b"/v1/health/"))

#: For so many seconds what was found of the upstream is said again, whoever asks and however often.
KEPT = 10.0

#: An upstream that takes longer, in seconds, is not well; whoever asks (Docker, Kubernetes) does not wait for longer.
PATIENCE = 5.0

_NO = frozenset(("0", "false", "no", "off"))

_NOT_KEPT = ((b"Cache-Control", b"no-store"),)


class HealthResource(Resource):
    """``/health`` and ``/v1/health``; what is below them is somebody else's."""

    def __init__(self, port: PortContext, check: UpstreamCheck, elsewhere: Resource) -> None:
        """
        @param port: the port.
        @param check: asks the upstream.
        @param elsewhere: answers for the paths below.
        """
        super().__init__()
        self._check = check
        self._elsewhere = elsewhere
        self._always = port.settings.health_asks_upstream
        self._exchanges = port.exchanges
        self._census = port.census
        self._store = port.store

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        return self if not path and not request.postpath else self._elsewhere

    def render(self, request: ProxyRequest) -> int:
        if request.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed("The health check is asked with GET.", ("GET", "HEAD"))
        query = request.uri.partition(b"?")[2].decode("latin-1")
        said = parse_qs(query, keep_blank_values=True, max_num_fields=100) if query else {}
        found = self._details(said)
        if self._exchanges.draining:
            _say(request, 503, {"status": "shutting_down", **found})
        elif _wanted(said, "upstream", self._always):
            _Answer(request, self._check, found)
        else:
            _say(request, 200, {"status": "ok", **found})
        return NOT_DONE_YET

    def _details(self, said: Mapping[str, Sequence[str]]) -> dict[str, object]:
        """What is told only to those who ask for it, so that the usual answer is always the same."""
        found: dict[str, object] = {}
        if _wanted(said, "exchanges", False):
            found["exchanges"] = sum(map(len, self._census))
        if _wanted(said, "store", False):
            found["store"] = _store(self._store)
        return found


def _store(store: IStateStore | None) -> str:
    """How a store is.  One that is away costs no answer, so the service is well all the same."""
    state = IStoreState(store, None)
    if state is None:
        return "memory"
    return "ok" if state.available else "unavailable"


def _wanted(said: Mapping[str, Sequence[str]], name: str, otherwise: bool) -> bool:
    """Whether a query asks for something."""
    values = said.get(name)
    return otherwise if values is None else values[-1].lower() not in _NO


def _say(request: ProxyRequest, status: int, found: Mapping[str, object]) -> None:
    write_body(request, status, msgspec.json.encode(found), _NOT_KEPT)


class _Answer:
    """Answers one request with what is found of the upstream."""

    def __init__(self, request: ProxyRequest, check: UpstreamCheck, found: Mapping[str, object]) -> None:
        """@param found: what else is to be said."""
        self._request = request
        self._found = found
        self._gone = False
        request.notifyFinish().addErrback(self._left)
        check.outcome().addCallback(self._say)

    def _left(self, reason: object) -> None:
        self._gone = True

    def _say(self, error: ApiError | None) -> None:
        if self._gone:
            return
        if error is None:
            _say(self._request, 200, {"status": "ok", "upstream": "ok", **self._found})
        else:
            _say(self._request, 503, {"status": "error", "upstream": "error", **error.as_object(), **self._found})


class UpstreamCheck:
    """Asks the upstream of a port whether it answers: once at a time, and once in `KEPT` seconds."""

    _log = Logger()

    def __init__(self, port: PortContext) -> None:
        """@param port: whose upstream."""
        self._port = port
        self._until = 0.0
        self._found: ApiError | None = None
        self._waiting: list[Deferred[ApiError | None]] | None = None

    def outcome(self) -> Deferred[ApiError | None]:
        """Fires with None where the upstream answers, else with what is wrong."""
        outcome: Deferred[ApiError | None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(outcome)
        elif self._port.clock.seconds() < self._until:
            outcome.callback(self._found)
        else:
            self._waiting = [outcome]
            Deferred.fromCoroutine(self._look())
        return outcome

    async def _look(self) -> None:
        clock, name = self._port.clock, self._port.upstream.name
        late = UpstreamTimeout(f"The upstream {name} did not answer the health check within {PATIENCE:g} s.")
        try:
            self._found = await within(clock, Deferred.fromCoroutine(self._ask()), PATIENCE, lambda: late)
        except ApiError as e:
            self._found = e
        except Exception as e:
            self._log.error("the health check of the upstream failed inside the proxy\n{trace}", trace=trace_of(e))
            self._found = ApiError("The health check failed inside the proxy; its log says why.", code="proxy_error")
        self._until = clock.seconds() + KEPT
        waiting, self._waiting = self._waiting or [], None
        for outcome in waiting:
            outcome.callback(self._found)

    async def _ask(self) -> ApiError | None:
        """Ask for the list of models, which every server of the API has and which costs nothing.

        Any answer shows that there is something that answers, but for one that says that it cannot, and one that
        refuses the key that all requests will have.

        @raise ApiError: there is no answer.
        """
        port = self._port
        fields = marked([*port.keys.own, (b"Accept", b"application/json")], MARK)
        answer = await port.upstream.send(
            b"GET", b"/models", for_upstream(fields, host=port.upstream.host), None, name="health", retry=False
        )
        body = UpstreamBody(answer, lambda data: None, port.clock, PATIENCE)
        # one that breaks off, even in its first piece, is an answer as well
        body.done.addErrback(lambda reason: None)
        body.start()
        body.drain()
        name, status = port.upstream.name, answer.status
        if status >= 500:
            return ApiError(
                f"The upstream {name} answers, but with status {status}.", status=502, code="upstream_unhealthy"
            )
        if status == 401 and port.keys.own:
            return ApiError(
                f"The upstream {name} refuses the proxy's key (401). Its operator has to set another (OPENAI_API_KEY).",
                status=502,
                code="upstream_key_refused",
            )
        return None
