"""``GET /v1/models``: answered here, without a key."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from oaiproxy.api.errors import MethodNotAllowed, NotFound
from oaiproxy.clients import ModelListForm
from oaiproxy.web.context import PortContext
from oaiproxy.web.exchange import Exchange
from oaiproxy.web.paths import below_v1
from oaiproxy.web.profiles import profile_of
from oaiproxy.web.respond import write_body
from oaiproxy.web.site import ProxyRequest


class ModelsResource(Resource):
    """The list and its entries (API reference, "Models").  Deleting a fine-tuned model is upstream's business."""

    isLeaf = True

    def __init__(self, port: PortContext) -> None:
        super().__init__()
        self._port = port

    def render(self, request: ProxyRequest) -> int:
        path, _, _ = below_v1(request.uri).partition(b"?")
        model = unquote(path.decode("latin-1"), errors="replace").removeprefix("/models").strip("/")
        if request.method == b"DELETE" and model:
            Exchange(self._port, request).start()
        elif request.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed("The list of models can only be read: use GET.", ("GET", "HEAD"))
        elif model:
            entry = self._port.models.get(self._port.kind, model)
            if entry is None:
                raise NotFound(
                    f"The model '{model}' is not listed on this port. GET /v1/models names those that are.",
                    param="model",
                    code="model_not_found",
                )
            write_body(request, 200, msgspec.json.encode(entry))
        else:
            answer: dict[str, Any] = {"object": "list", "data": self._port.models.listed(self._port.kind)}
            if profile_of(self._port, request).model_list is ModelListForm.MODELS:
                # its entries are of another kind than the API's; none at all is valid, and the client knows its own
                answer["models"] = []
            write_body(request, 200, msgspec.json.encode(answer))
        return NOT_DONE_YET
