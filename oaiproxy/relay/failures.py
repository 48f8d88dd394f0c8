"""What a client is told of an upstream that failed: which one, at which stage, and what may be done about it."""

from __future__ import annotations

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionRefusedError, DNSLookupError, TimeoutError

from oaiproxy.api.errors import ApiError, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from oaiproxy.relay.reading import Unreadable
from oaiproxy.relay.tls import CertificateRefused
from oaiproxy.settings import Timeouts

#: What is wrong with TLS, or with a certificate.
_TLS_ERRORS = (TLSError, VerificationError, CertificateRefused)

#: What making a connection fails with.
CONNECT_ERRORS = (ConnectError, DNSLookupError, ConnectionClosed, *_TLS_ERRORS, OSError)

#: What sending a request and waiting for its answer fails with.
SEND_ERRORS = (ConnectionClosed, Unreadable, *_TLS_ERRORS, OSError)


class AttemptFailed(Exception):
    """No answer came of sending a request.

    @ivar error: what the client is told.
    @ivar safe: whether it may be sent again: nothing of an answer has come back, and none is being made.
    """

    def __init__(self, error: ApiError, *, safe: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.safe = safe


class Failures:
    """Makes errors about one upstream."""

    def __init__(self, name: str, timeouts: Timeouts) -> None:
        """
        @param name: how people know the upstream: its host, with its port.
        @param timeouts: the limits that it may exceed.
        """
        self._name = name
        self._timeouts = timeouts

    def connect_timeout(self, *, handshake: bool) -> AttemptFailed:
        """There is no connection in time."""
        stage = " (the TLS handshake did not end)" if handshake else ""
        message = f"The upstream {self._name} could not be connected to within {self._timeouts.connect:g} s{stage}."
        return AttemptFailed(UpstreamTimeout(message, code="upstream_connect_timeout"), safe=True)

    def upload_timeout(self) -> AttemptFailed:
        """It takes no more of a request."""
        message = f"The upstream {self._name} took nothing more of the request for {self._timeouts.idle:g} s."
        return AttemptFailed(UpstreamTimeout(message), safe=False)

    def answer_timeout(self) -> AttemptFailed:
        """It does not begin to answer."""
        message = f"The upstream {self._name} did not answer within {self._timeouts.first_byte:g} s."
        return AttemptFailed(UpstreamTimeout(message), safe=False)

    def connecting(self, cause: BaseException) -> AttemptFailed:
        """A connection could not be made."""
        if isinstance(cause, TimeoutError):
            return self.connect_timeout(handshake=False)
        if isinstance(cause, DNSLookupError):
            return _unreachable(
                f"The upstream's host name {self._name} cannot be resolved. Is the upstream's URL right?"
            )
        if isinstance(cause, ConnectionRefusedError):
            return _unreachable(
                f"The upstream {self._name} refused the connection. Is it running, and is its URL right?"
            )
        if isinstance(cause, _TLS_ERRORS):
            # that will not change
            return _unreachable(f"No secure connection to the upstream {self._name}: {_tls_reason(cause)}.", safe=False)
        if isinstance(cause, ConnectionClosed):
            return _unreachable(f"The upstream {self._name} closed the connection in the TLS handshake.")
        return _unreachable(f"The upstream {self._name} could not be connected to: {_system_reason(cause)}.")

    def sending(self, cause: BaseException, *, heard: bool) -> AttemptFailed:
        """A request that was sent, wholly or in part, got no answer.

        @param heard: whether a byte came back.
        """
        if isinstance(cause, _TLS_ERRORS):
            return _unreachable(f"No secure connection to the upstream {self._name}: {_tls_reason(cause)}.", safe=False)
        if isinstance(cause, ConnectionClosed | ConnectError | OSError):
            stage = "in the head of its answer" if heard else "before it answered"
            how = type(cause).__name__
            return _unreachable(f"The upstream {self._name} was lost {stage} ({how}).", safe=not heard)
        message = f"The upstream {self._name} sent something that is not HTTP: {cause}."
        return AttemptFailed(UpstreamInvalid(message), safe=False)


def _unreachable(message: str, *, safe: bool = True) -> AttemptFailed:
    return AttemptFailed(UpstreamUnreachable(message), safe=safe)


def _tls_reason(cause: BaseException) -> str:
    if isinstance(cause, CertificateRefused):
        return str(cause)
    if isinstance(cause, VerificationError):
        return "its certificate is for another host name"
    reasons = [entry[-1] for entry in cause.args[0]] if cause.args and isinstance(cause.args[0], list) else []
    said = ", ".join(filter(None, reasons)) or "the TLS handshake failed"
    return f"{said} (TLS 1.2 or newer is spoken here)" if "protocol" in said else said


def _system_reason(cause: BaseException) -> str:
    error = cause.osError if isinstance(cause, ConnectError) else cause
    return getattr(error, "strerror", None) or str(error or cause)
