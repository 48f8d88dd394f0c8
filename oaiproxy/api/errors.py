"""The error object of the OpenAI API, and the exceptions that become one.

Shape (API reference, "Error codes"; schema ``ErrorResponse``)::

    {"error": {"message": str, "type": str, "param": str | null, "code": str | null}}

Everything that goes wrong in an exchange is raised as an `ApiError` and rendered in one place per dialect: as the body
of an HTTP answer (`ApiError.body`) before the status is sent, as an event in a stream (`ApiError.event`) after it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class ApiError(Exception):
    """Something that the client is told, in OpenAI's shape.

    @ivar status: the HTTP status, 400 to 599.
    @ivar message: what happened and what to do about it; shown to people.
    @ivar type: OpenAI's error class, such as ``invalid_request_error`` or ``api_error``.
    @ivar param: the request field at fault in the client's own words (``messages[0].role``), or None.
    @ivar code: a machine-readable code, or None.
    @ivar headers: further response headers (name to value), such as ``Allow`` or ``Retry-After``.
    """

    default_status = 500
    default_type = "api_error"
    default_code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.type = self.default_type if type is None else type
        self.param = param
        self.code = self.default_code if code is None else code
        self.headers: dict[str, str] = dict(headers or {})

    def as_object(self) -> dict[str, dict[str, str | None]]:
        """The error object as a plain value, all four fields present."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def body(self) -> bytes:
        """The JSON body of an HTTP error answer."""
        return msgspec.json.encode(self.as_object())

    def event(self) -> bytes:
        """The server-sent event on which the SDKs raise: a ``data:`` line alone, with no ``event:`` line before it."""
        return b"data: " + self.body() + b"\n\n"


class BadRequest(ApiError):
    """The client's request cannot be taken as it is; `param` names the field."""

    default_status = 400
    default_type = "invalid_request_error"


class NotFound(BadRequest):
    """Nothing is served at that path, or no such model is known."""

    default_status = 404


class MethodNotAllowed(BadRequest):
    """The path exists and takes other methods (RFC 9110 section 15.5.6); `allow` are those."""

    default_status = 405
    default_code = "method_not_allowed"

    def __init__(self, message: str, allow: tuple[str, ...]) -> None:
        super().__init__(message, headers={"Allow": ", ".join(allow)})


class NoWebSocket(BadRequest):
    """A WebSocket is asked for where there is none (RFC 9110 section 15.5.22).

    Clients that can do without, such as Codex, go over to HTTP at this status; at others they try again, for seconds.
    """

    default_status = 426
    default_code = "websocket_unsupported"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Upgrade": "HTTP/1.1", "Connection": "Upgrade"})


class UpstreamError(ApiError):
    """What the upstream itself said in place of an answer.

    @ivar upstream_param: the request field at fault in the upstream's words (``reasoning.summary``), or None.
    """

    upstream_param: str | None = None


class UpstreamUnreachable(ApiError):
    """No connection to the upstream could be made, or it was lost before the answer began."""

    default_status = 502
    default_code = "upstream_unreachable"


class UpstreamIncomplete(ApiError):
    """The upstream's answer ended before it was complete."""

    default_status = 502
    default_code = "upstream_incomplete"


class UpstreamInvalid(ApiError):
    """The upstream answered with something that is not what the API says."""

    default_status = 502
    default_code = "upstream_invalid_response"


class UpstreamTimeout(ApiError):
    """The upstream did not answer in time."""

    default_status = 504
    default_code = "upstream_timeout"
