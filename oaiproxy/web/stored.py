"""What is below ``/v1/chat/completions`` on the bridge: completions that are stored elsewhere and as something else."""

from __future__ import annotations

from urllib.parse import unquote

from twisted.web.resource import Resource

from oaiproxy.bridge.stored import not_stored
from oaiproxy.web.site import ProxyRequest


class StoredCompletion(Resource):
    """``/v1/chat/completions/{completion_id}`` and its messages: says where to look instead."""

    def __init__(self, completion_id: bytes, elsewhere: Resource, below: str = "") -> None:
        """
        @param completion_id: the id as it stands in the path.
        @param elsewhere: what answers for paths that the API does not have.
        @param below: what follows the id in the path.
        """
        super().__init__()
        self._id = completion_id
        self._elsewhere = elsewhere
        self._below = below

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        if not path and not request.postpath:
            return self
        if path == b"messages" and not self._below and not any(request.postpath or ()):
            return StoredCompletion(self._id, self._elsewhere, "messages")
        return self._elsewhere

    def render(self, request: ProxyRequest) -> int:
        completion_id = unquote(self._id.decode("latin-1"), errors="replace")
        raise not_stored(request.method.decode("latin-1"), completion_id, self._below)
