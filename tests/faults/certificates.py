"""Certificates made on the spot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL.crypto import X509, PKey
from twisted.internet.ssl import CertificateOptions

#: By which names tests reach a server of their own.
LOOPBACK = ("localhost", "127.0.0.1")


class Certified:
    """A certificate and its key.

    @ivar certificate: the certificate in PEM.
    @ivar key: the key in PEM.
    """

    def __init__(
        self,
        *names: str,
        issuer: Certified | None = None,
        authority: bool = False,
        days: tuple[int, int] = (-1, 1),
    ) -> None:
        """
        @param names: host names and addresses; the first names the certificate.
        @param issuer: who signs it; it itself where None.
        @param authority: whether it may sign others.
        @param days: from when to when it is valid, counted from now.
        """
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        signer = issuer or self
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer._key.public_key()), critical=False)
            .sign(signer._key, hashes.SHA256())
        )
        self.certificate = self._certificate.public_bytes(Encoding.PEM)
        self.key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def x509(self) -> X509:
        return X509.from_cryptography(self._certificate)

    def options(self, *chain: Certified, **more: object) -> CertificateOptions:
        """What a server that has it listens with.

        @param chain: the certificates that it sends along.
        @param more: further arguments of `CertificateOptions`.
        """
        extra = [each.x509 for each in chain]
        key = PKey.from_cryptography_key(self._key)
        return CertificateOptions(key, self.x509, extraCertChain=extra, **more)  # type: ignore[arg-type]


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
