"""TLS to the upstream: whose certificates are trusted, and what is told of one that is refused."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags
from twisted.internet._sslverify import ClientTLSOptions
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion, platformTrust
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

_UNKNOWN = "its certificate was issued by an authority that is not trusted here (--upstream-ca FILE adds authorities)"

#: What OpenSSL's reasons to refuse a certificate mean (``X509_V_ERR_...`` in x509_vfy.h).
_REASONS = {
    2: _UNKNOWN,
    7: "the signature of its certificate is wrong",
    9: "its certificate is not valid yet (is the clock of this machine right?)",
    10: "its certificate has expired",
    18: "its certificate is self-signed (--upstream-ca FILE adds certificates that are trusted)",
    19: _UNKNOWN,
    20: _UNKNOWN,
    21: _UNKNOWN,
    24: "its certificate was issued by one that may issue none",
    26: "its certificate is not meant for a server",
}

_Verify = Callable[[SSL.Connection, X509, int, int, int], bool]


class CertificateRefused(Exception):
    """A certificate is not trusted."""

    def __init__(self, code: int, depth: int) -> None:
        """
        @param code: OpenSSL's reason.
        @param depth: how far from the server's own certificate, which is 0.
        """
        reason = _REASONS.get(code, f"its certificate is not trusted (X.509 error {code})")
        if depth and code in (9, 10):
            reason = reason.replace("its certificate", "the certificate of its authority")
        super().__init__(reason)


class AuthoritiesError(Exception):
    """A file of authorities cannot be used; says why."""


def load_authorities(path: Path) -> tuple[X509, ...]:
    """The certificates in a PEM file.

    @raise AuthoritiesError: it cannot be read, or has none.
    """
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as e:
        raise AuthoritiesError(f"{path} cannot be read: {e.strerror}") from None
    except ValueError:
        raise AuthoritiesError(f"{path} is no file of certificates in PEM (BEGIN CERTIFICATE)") from None
    return tuple(map(X509.from_cryptography, found))


@implementer(IPolicyForHTTPS)
class UpstreamTls:
    """TLS 1.2 or newer, with servers whose certificate is valid for their name.

    The platform's authorities are trusted (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name others, as for all of OpenSSL),
    and those that are added.
    """

    def __init__(self, authorities: Sequence[X509] = ()) -> None:
        """@param authorities: certificates that are trusted beside; a server's own one may be among them."""
        options = CertificateOptions(trustRoot=platformTrust(), raiseMinimumTo=TLSVersion.TLSv1_2)
        self._context = options.getContext()
        store = self._context.get_cert_store()
        assert store is not None
        for authority in authorities:
            store.add_cert(authority)
        if authorities:
            # as curl has it: what is in the file is trusted, even where it is not the root of its chain
            store.set_flags(X509StoreFlags.PARTIAL_CHAIN)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """What makes the TLS side of a connection to a host, whose name its certificate has to have."""
        return ClientTLSOptions(self._connection, hostname.decode("ascii"))

    def _connection(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = _Connection(self._context, None)
        connection.protocol = weakref.ref(protocol)
        return connection


class _Connection(SSL.Connection):
    """Tells why a certificate is refused: OpenSSL's own error says only that it is.

    @ivar protocol: whose connection it is.
    """

    protocol: weakref.ref[TLSMemoryBIOProtocol]

    def set_verify(self, mode: int, callback: _Verify | None = None) -> None:
        """Verify as `callback` does, which is Twisted's, and tell the protocol what does not please OpenSSL."""
        assert callback is not None
        verify, protocol = callback, self.protocol

        def telling(connection: SSL.Connection, certificate: X509, code: int, depth: int, ok: int) -> bool:
            accepted = verify(connection, certificate, code, depth, ok)
            live = protocol()
            if not ok and live is not None:
                live.failVerification(Failure(CertificateRefused(code, depth)))
            return accepted

        super().set_verify(mode, telling)
