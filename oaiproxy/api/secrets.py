"""What is secret in a request or an answer, and how it is kept out of logs.

By place: header fields and query parameters whose names say so (`is_secret_header`, `mask_headers`, `mask_url`).  By
value: the credentials of the exchange wherever they turn up, and what looks like a key wherever it comes from
(`Secrets` for a whole text, `Masker` for one that comes in pieces).
"""

from __future__ import annotations

import binascii
import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from oaiproxy.api.masking import LiteralMasker, PatternMasker
from oaiproxy.api.websocket import PROTOCOL, offered_keys

#: What stands for a secret.
MASK = "***"

#: A shorter value is not looked for in running text: it is no secret, and would black out words ("test", "none").
MIN_SECRET = 6

#: A word in the name of a header field or a query parameter that makes its value secret ...
_SECRET_WORDS = frozenset(
    (
        "apikey",
        "authorization",
        "cookie",
        "cookie2",
        "credential",
        "credentials",
        "jwt",
        "key",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "secret",
        "sig",
        "signature",
        "token",
    )
)
#: ... or the end of such a word ...
_SECRET_ENDINGS = ("apikey", "password", "secret", "token")
#: ... unless the name ends in one of these: it counts or names keys and tokens ...
_HARMLESS_ENDINGS = frozenset(("count", "id", "limit", "remaining", "type", "usage"))
#: ... or is one of these.
_HARMLESS_NAMES = frozenset(
    (
        "idempotency-key",
        "prompt-cache-key",
        "sec-websocket-key",
        "surrogate-key",
        "x-idempotency-key",
    )
)

#: Header fields whose value is a URL.
_URL_FIELDS = frozenset((b"content-location", b"location", b"referer"))

#: First words of ``Authorization`` that may be shown; an unknown one may be the secret itself.
_SCHEMES = frozenset((b"aws4-hmac-sha256", b"basic", b"bearer", b"digest", b"dpop", b"hmac", b"negotiate", b"token"))

_USERINFO = re.compile(rb"\A((?:[a-z][a-z0-9+.-]*:)?//)[^/?#]*@", re.IGNORECASE)
_PARAMETERS = re.compile(rb"([&;])")


def shown_fields(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Header fields as text, for who may see no secrets.

    @return: names in lower case and values, in the order given; credentials are left out.
    """
    return tuple([(name, value.decode("latin-1")) for field, value in pairs if (name := _shown_name(field))])


@lru_cache(maxsize=256)
def _shown_name(name: bytes) -> str:
    """The name of a header field in lower case; nothing where its value is a secret."""
    return "" if is_secret_header(name) else name.decode("latin-1").lower()


@lru_cache(maxsize=256)
def is_secret_header(name: bytes) -> bool:
    """Whether the value of the header field `name` (or the query parameter) must never be shown.

    It must not if one of the words of its name says that it is a key, a token, a cookie, or the like
    (``authorization``, ``x-api-key``, ``x-amz-security-token``); ``openai-organization``, ``idempotency-key`` and
    ``x-ratelimit-remaining-tokens`` are no secrets.
    """
    plain = name.decode("latin-1").lower().replace("_", "-")
    words = plain.split("-")
    if plain in _HARMLESS_NAMES or words[-1] in _HARMLESS_ENDINGS:
        return False
    return any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words)


def credentials(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """The secrets themselves that header fields hold, each once, in the order met.

    @return: keys and tokens without their scheme, the password of ``Basic``, the values of cookies, and the keys among
        the protocols that the handshake of a WebSocket offers.
    """
    found: dict[bytes, None] = {}
    for name, value in pairs:
        if not is_secret_header(name):
            if name.lower() == PROTOCOL:
                found.update(dict.fromkeys(offered_keys(value)))
            continue
        lower = name.lower()
        if lower in (b"cookie", b"set-cookie"):
            cookies = value.split(b";") if lower == b"cookie" else value.split(b";")[:1]
            found.update((cookie.partition(b"=")[2].strip(b' \t"'), None) for cookie in cookies)
            continue
        scheme, secret = _scheme(value)
        found[secret] = None
        if scheme.lower() == b"basic":
            found[_password(secret)] = None
    found.pop(b"", None)
    return tuple(found)


def url_credentials(url: bytes) -> tuple[bytes, ...]:
    """The secrets themselves that the query of a URL or request target holds, as they stand there and decoded."""
    parameters = [part.partition(b"=") for part in _PARAMETERS.split(url.partition(b"?")[2])]
    values = [value for name, _, value in parameters if value and is_secret_header(unquote_to_bytes(name))]
    return tuple(dict.fromkeys(form for value in values for form in (value, unquote_to_bytes(value))))


class Secret:
    """A secret in the settings: it is shown nowhere, and compared in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def matches(self, value: bytes) -> bool:
        """Whether a client's value is this one; how long that takes tells nothing of where they differ."""
        return hmac.compare_digest(self._value.encode(), value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({MASK})"


class Secrets:
    """The known secrets of an exchange.  Immutable."""

    __slots__ = ("_values", "forms")

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        """@param values: the secrets; those shorter than `MIN_SECRET` bytes are not looked for in running text."""
        self._values = tuple(dict.fromkeys(values))
        #: The secrets in every form in which they may stand in a text.
        self.forms = tuple(dict.fromkeys(form for v in self._values if len(v) >= MIN_SECRET for form in _forms(v)))

    def plus(self, values: Iterable[bytes]) -> Secrets:
        """These and others."""
        more = [value for value in values if value not in self._values]
        return Secrets((*self._values, *more)) if more else self

    def mask(self, data: bytes) -> bytes:
        """A whole text with its secrets masked; see `Masker`."""
        masker = Masker(self)
        return masker.feed(data) + masker.end()

    def __repr__(self) -> str:
        return f"<Secrets {len(self._values)}>"


class Masker:
    """Masks secrets in a text that comes in pieces.

    Masked are the known secrets, what looks like a key or a token (``sk-...``, ``sess-...``, ``Bearer ...``), and the
    strings in JSON whose name says that they are secret (``"api_key": "..."``).  However the text is cut, the outputs
    joined are the same.  No more is held back than what may turn out to be the beginning of a secret.
    """

    __slots__ = ("_literals", "_patterns")

    def __init__(self, secrets: Secrets | Iterable[bytes] = ()) -> None:
        known = secrets if isinstance(secrets, Secrets) else Secrets(secrets)
        self._literals = LiteralMasker(known.forms) if known.forms else None
        self._patterns = PatternMasker()

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the text and return what of it can be shown by now."""
        return self._patterns.feed(data if self._literals is None else self._literals.feed(data))

    def end(self) -> bytes:
        """Take the end of the text and return the rest."""
        rest = b"" if self._literals is None else self._patterns.feed(self._literals.end())
        return rest + self._patterns.end()


_NO_SECRETS = Secrets()


def mask_headers(pairs: Iterable[tuple[bytes, bytes]], secrets: Secrets = _NO_SECRETS) -> list[list[str]]:
    """Header fields as they may be shown.

    @param pairs: the fields.
    @param secrets: what must not be seen in the other fields either.
    @return: for each field its name and value; the value of a secret one is `MASK`, behind its scheme where it has one.
    """
    fields = list(pairs)
    plain = b"\n".join([value for name, value in fields if not is_secret_header(name)])
    clean = secrets.mask(plain) == plain  # the usual case, found out at one go
    shown: list[list[str]] = []
    for name, value in fields:
        if is_secret_header(name):
            scheme, _ = _scheme(value)
            text = f"{_text(scheme)} {MASK}" if scheme else MASK
        elif name.lower() in _URL_FIELDS:
            text = mask_url(value, secrets)
        else:
            text = _text(value if clean else secrets.mask(value))
        shown.append([_text(name), text])
    return shown


def mask_url(url: bytes, secrets: Secrets = _NO_SECRETS) -> str:
    """A URL or a request target as it may be shown.

    @param secrets: what must not be seen in any part of it.
    @return: the URL with the values of secret query parameters (``api_key``, ``key``, ``token``, ``sig``, ...) and the
        user information masked.
    """
    rest, hash_, fragment = url.partition(b"#")
    rest, mark, query = rest.partition(b"?")
    rest = _USERINFO.sub(rb"\1***@", rest)
    return _text(secrets.mask(rest + mark + _mask_query(query) + hash_ + _mask_query(fragment)))


def _mask_query(query: bytes) -> bytes:
    if b"=" not in query:
        return query
    return b"".join(map(_mask_parameter, _PARAMETERS.split(query)))


def _mask_parameter(parameter: bytes) -> bytes:
    name, _, value = parameter.partition(b"=")
    return name + b"=" + MASK.encode() if value and is_secret_header(unquote_to_bytes(name)) else parameter


def _scheme(value: bytes) -> tuple[bytes, bytes]:
    """The value of a secret field as its scheme (empty where there is no known one) and the secret."""
    value = value.strip(b" \t")
    scheme, _, rest = value.partition(b" ")
    return (scheme, rest.strip(b" \t")) if scheme.lower() in _SCHEMES else (b"", value)


def _password(token: bytes) -> bytes:
    """The password in the token of ``Basic`` (RFC 7617 section 2), or nothing where it is malformed."""
    try:
        return binascii.a2b_base64(token).partition(b":")[2]
    except binascii.Error:
        return b""


def _forms(secret: bytes) -> tuple[bytes, ...]:
    """A secret as it stands in text, in a JSON string (with and without an escaped slash), and in a URL."""
    escaped = secret.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return secret, escaped, escaped.replace(b"/", b"\\/"), quote_from_bytes(secret, safe="").encode()


def _text(value: bytes) -> str:
    """Bytes of a header as text: UTF-8, or Latin-1 where they are not that (RFC 9110 section 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
