"""The resource tree of a kind of port."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from oaiproxy.api.errors import MethodNotAllowed, NotFound
from oaiproxy.api.request import PortKind
from oaiproxy.bridge.stored import no_list
from oaiproxy.web.context import PortContext
from oaiproxy.web.dialects import Dialect, chat_over_responses, completions_over_responses
from oaiproxy.web.exchange import Choice, Exchange
from oaiproxy.web.front import Front
from oaiproxy.web.health import HealthResource, UpstreamCheck
from oaiproxy.web.models import ModelsResource
from oaiproxy.web.oneendpoint import OneEndpoint
from oaiproxy.web.paths import below_v1
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.stored import StoredCompletion
from oaiproxy.web.thinking import chat_dialect, completions_dialect


def resource_tree(port: PortContext) -> IResource:
    """The root resource of a port: ``/v1`` and what is below it, the health check and ``/proxy``."""
    relay, nowhere = RelayResource(port), _Nowhere()
    v1, root = _Branch(leaf=relay), _Branch(leaf=nowhere)
    v1.putChild(b"models", ModelsResource(port))
    if port.kind is PortKind.BRIDGE:
        chat = _Branch(leaf=RelayResource(port))
        chat.putChild(b"completions", ChatResource(port))
        v1.putChild(b"chat", chat)
        v1.putChild(b"completions", CompletionsResource(port))
    elif port.settings.think.on or port.tools or port.settings.rates.tokens:
        chat = _Branch(leaf=RelayResource(port))
        chat.putChild(b"completions", ReadResource(port, lambda request: chat_dialect(port, request)))
        v1.putChild(b"chat", chat)
        if port.settings.rates.tokens:
            v1.putChild(b"completions", ReadResource(port, lambda request: completions_dialect(port, request)))
    root.putChild(b"v1", v1)
    check = UpstreamCheck(port)
    for folder, elsewhere in ((root, nowhere), (v1, relay)):
        folder.putChild(b"health", HealthResource(port, check, elsewhere))
        folder.putChild(b"proxy", OneEndpoint(port, elsewhere))
    return Front(port, root)


class _Branch(Resource):
    """A folder: what is not in it, and the folder itself, is for its `leaf`."""

    def __init__(self, leaf: Resource) -> None:
        super().__init__()
        self._leaf = leaf

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        return self._leaf

    def render(self, request: ProxyRequest) -> int:
        return self._leaf.render(request)  # type: ignore[no-any-return]


class _Nowhere(Resource):
    """All that is outside ``/v1/``."""

    isLeaf = True

    def render(self, request: ProxyRequest) -> int:
        below_v1(request.uri)
        raise NotFound("Nothing is served at this path.", code="unknown_path")


class RelayResource(Resource):
    """Passes a request upstream as it is, but for what request transforms make of it."""

    isLeaf = True

    def __init__(self, port: PortContext) -> None:
        super().__init__()
        self._port = port

    def render(self, request: ProxyRequest) -> int:
        Exchange(self._port, request).start()
        return NOT_DONE_YET


class ChatResource(Resource):
    """``POST /v1/chat/completions`` on the bridge, and what is below it."""

    def __init__(self, port: PortContext) -> None:
        super().__init__()
        self._port = port

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        return StoredCompletion(path, RelayResource(self._port)) if path else self

    def render(self, request: ProxyRequest) -> int:
        if request.method != b"POST":
            raise no_list()
        Exchange(self._port, request, chat_over_responses).start()
        return NOT_DONE_YET


class ReadResource(Resource):
    """``POST /v1/chat/completions``, or ``/v1/completions``, on a passthrough port that has to read the answers; all
    else there is passed on."""

    def __init__(self, port: PortContext, choose: Callable[[ProxyRequest], Dialect | None]) -> None:
        """
        @param port: the port.
        @param choose: says, of a request whose body is collected, how it is said upstream; None for as it is.
        """
        super().__init__()
        self._port = port
        self._choice = Choice(choose)

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        return RelayResource(self._port) if path else self

    def render(self, request: ProxyRequest) -> int:
        Exchange(self._port, request, self._choice if request.method == b"POST" else None).start()
        return NOT_DONE_YET


class CompletionsResource(Resource):
    """``POST /v1/completions`` on the bridge; what is below it is passed on."""

    def __init__(self, port: PortContext) -> None:
        super().__init__()
        self._port = port

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        return RelayResource(self._port) if path else self

    def render(self, request: ProxyRequest) -> int:
        if request.method != b"POST":
            raise MethodNotAllowed("Completions are made with POST.", ("POST",))
        Exchange(self._port, request, completions_over_responses).start()
        return NOT_DONE_YET
