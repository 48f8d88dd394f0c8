"""What every request to a port has to pass before a resource sees it: CORS, the loop check, and the keys."""

from __future__ import annotations

from typing import cast

from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET

from oaiproxy.api.errors import ApiError
from oaiproxy.api.loop import FIELD, has_come_around
from oaiproxy.web.context import MARK, PortContext
from oaiproxy.web.cors import Cors
from oaiproxy.web.health import HEALTH_TARGETS
from oaiproxy.web.site import ProxyRequest


class Front(Resource):
    """Stands before a port's resources.  What a port does not ask for costs its requests nothing."""

    isLeaf = True

    def __init__(self, port: PortContext, tree: IResource) -> None:
        """
        @param port: the port.
        @param tree: its resources.
        """
        super().__init__()
        access = port.settings.access
        self._tree = tree
        self._upstream = port.upstream.name
        self._cors = Cors(access.cors_origins) if access.cors_origins else None
        self._admit = port.keys.admit if port.keys.asks else None
        self._open = HEALTH_TARGETS if access.open_health else frozenset[bytes]()

    def render(self, request: ProxyRequest) -> int:
        """Let a request through to its resource.

        @raise ApiError: it is not let through.
        """
        if self._cors is not None and self._cors.take(request):
            return NOT_DONE_YET
        marks = request.head.named.get(FIELD)
        if marks is not None and has_come_around(marks, MARK):
            raise self._loop()
        # by the target as it was sent: what it may come to mean later does not open a door
        if self._admit is not None and request.uri.partition(b"?")[0] not in self._open:
            self._admit(request)
        resource = getChildForRequest(self._tree, request)
        return cast(int, resource.render(request))

    def _loop(self) -> ApiError:
        return ApiError(
            f"This request has come around: the upstream {self._upstream} leads back to this proxy. Its operator has "
            "to set --upstream (or the variable that names it) to where requests are to go, such as "
            "https://api.openai.com/v1.",
            status=508,
            code="loop_detected",
        )
