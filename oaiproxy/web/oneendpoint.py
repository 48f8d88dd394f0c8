"""``POST /proxy``: the API in one endpoint, as users of simple proxies know it.

A request is a chat completion's, or has a ``prompt`` in place of the messages.  ``TARGET_API`` says which of its APIs
upstream is asked at; the answer is a chat completion, or chunks of one, either way.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from oaiproxy.api.check import check_body
from oaiproxy.api.errors import BadRequest, MethodNotAllowed
from oaiproxy.api.headers import for_upstream
from oaiproxy.api.request import ApiRequest, Body
from oaiproxy.relay import BytesBody
from oaiproxy.settings import TargetApi
from oaiproxy.web.context import PortContext
from oaiproxy.web.dialects import Dialect, chat_over_responses
from oaiproxy.web.exchange import Choice, Exchange
from oaiproxy.web.incoming import Incoming, Outgoing
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.thinking import chat_dialect

_CHAT = b"/chat/completions"


class OneEndpoint(Resource):
    """``/proxy`` and ``/v1/proxy``; what is below them is somebody else's."""

    def __init__(self, port: PortContext, elsewhere: Resource) -> None:
        """
        @param port: the port.
        @param elsewhere: answers for the paths below.
        """
        super().__init__()
        self._port = port
        self._elsewhere = elsewhere

    def getChild(self, path: bytes, request: ProxyRequest) -> Resource:
        return self if not path and not request.postpath else self._elsewhere

    def render(self, request: ProxyRequest) -> int:
        if request.method != b"POST":
            raise MethodNotAllowed("Requests to this endpoint are made with POST.", ("POST",))
        Exchange(self._port, request, self._dialect(), ProxyIncoming(self._port, request)).start()
        return NOT_DONE_YET

    def _dialect(self) -> Choice | Dialect:
        if self._port.settings.target_api is TargetApi.RESPONSES:
            return chat_over_responses
        return Choice(lambda request: chat_dialect(self._port, request))


class ProxyIncoming(Incoming):
    """A request to ``/proxy``, understood as one for a chat completion."""

    def __init__(self, port: PortContext, request: ProxyRequest) -> None:
        # its query is for this endpoint; upstream has another
        super().__init__(port, request, _CHAT)

    def said(self) -> Body:
        """The body with the ``prompt`` as a message of the user's.

        @raise BadRequest: it has no messages and no prompt, or both.
        """
        body = super().said()
        fields = dict(body.json())
        if "prompt" not in fields:
            return body
        prompt, messages = fields.pop("prompt"), fields.get("messages")
        if prompt is None:
            return Body.of(fields)
        if messages:
            raise BadRequest(
                "Send either 'messages' or a 'prompt': both are what the answer is to.",
                param="prompt",
                code="invalid_value",
            )
        if not isinstance(prompt, str):
            raise BadRequest(
                "'prompt' must be a string. Send anything else as 'messages'.", param="prompt", code="invalid_type"
            )
        return Body.of({**fields, "messages": [{"role": "user", "content": prompt}]})

    def asked(self, *, reworded: bool = False) -> ApiRequest:
        request = super().asked(reworded=reworded)
        if self._port.settings.target_api is TargetApi.RESPONSES:
            return request
        return self._limited(request)

    def _limited(self, request: ApiRequest) -> ApiRequest:
        """The request with its limit on tokens under the name that its model takes: reasoning models of OpenAI's
        refuse ``max_tokens``."""
        can = self._port.models.capabilities(request.model)
        limit = request.json.get("max_tokens")
        if not (can.known and can.reasoning) or limit is None:
            return request
        renamed = request.without_fields(("max_tokens",))
        # who says both says it by the newer name
        return renamed if "max_completion_tokens" in renamed.json else renamed.with_fields(max_completion_tokens=limit)

    def _is_read(self) -> bool:
        return True

    def passed_on(self) -> Outgoing:
        request = self.asked()
        raw = request.body.raw
        check_body(request.path, raw)
        fields = [
            (name, value)
            for name, value in for_upstream(self._sent, host=self._port.upstream.host)
            if name.lower() != b"content-type"
        ]
        headers = [*fields, (b"Content-Type", b"application/json")]
        return Outgoing(b"POST", self._target, headers, BytesBody(raw), warnings=request.warnings)
