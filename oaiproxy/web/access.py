"""Who may use a port, and with which key its requests go upstream.

By default a client's own key goes upstream and nobody is asked for another.  With ``--auth replace`` clients show a key
of the proxy's, and upstream sees the key that the proxy lends them.  Where there are no keys to show, it is lent to the
programs of this machine (the service does not start otherwise: `oaiproxy.config.reach`), but to no page in a browser on
it: see `Keys.admit`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence

from twisted.internet.address import UNIXAddress

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.headers import KEY_FIELDS, Header
from oaiproxy.api.hosts import is_loopback, without_port
from oaiproxy.api.secrets import Masker, Secrets, credentials, url_credentials
from oaiproxy.api.websocket import PROTOCOL, offered_keys, without_account
from oaiproxy.settings import Access, AuthMode
from oaiproxy.web.site import ProxyRequest

#: Where an account with the upstream is named; they belong to the key.
_ACCOUNT_FIELDS = frozenset((b"openai-organization", b"openai-project"))

#: What a browser says of a request that a page of another site caused (Fetch Metadata, section 2.4).
_FROM_ELSEWHERE = frozenset((b"cross-site", b"same-site"))

#: Between the words of a header field's value.
_SEPARATORS = re.compile(rb"[\s,;=\"']+")


class Keys:
    """The keys of a port.

    @ivar asks: whether requests have to be admitted at all.
    @ivar proxy_keys: whether they have to show a key of the proxy's.
    @ivar replaced: whether another key than the client's may go upstream.
    @ivar secrets: every key, for those who have to keep them out of sight.
    @ivar own: the fields that go upstream with that key.
    """

    def __init__(self, access: Access) -> None:
        """@param access: who may use the port, and in whose name."""
        # keys are compared as digests, so that not even their lengths can be measured
        self._salt = secrets.token_bytes(32)
        self.replaced = access.mode is AuthMode.REPLACE
        self._keys = tuple(key.reveal().encode() for key in access.proxy_keys) if self.replaced else ()
        self._digests = tuple(map(self._digest, self._keys))
        self._forward = access.forward_header
        self._origins = frozenset(origin.encode() for origin in access.cors_origins)
        self.own: tuple[Header, ...] = tuple(_own_fields(access)) if self.replaced else ()
        self.secrets = (*self._keys, *(key.reveal().encode() for key in (access.upstream_key,) if key is not None))
        self._lent = Secrets(self.secrets) if self.own else None
        self.proxy_keys = bool(self._digests)
        self.asks = self.proxy_keys or access.lends_to_all

    def _digest(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, key=self._salt, digest_size=32).digest()

    def _have_key(self, values: Iterable[bytes]) -> bool:
        """Whether one of some values is a key of the proxy's; how long that takes does not tell which, nor of whom."""
        found = False
        for value in values:
            digest = self._digest(value)
            for known in self._digests:
                found |= hmac.compare_digest(known, digest)
        return found

    # who comes in

    def admit(self, request: ProxyRequest) -> None:
        """Let a request in.

        Where there are proxy keys it has to show one.  Where there are none it must not come from a browser page of an
        origin that is not allowed, nor by a name that anybody could have pointed here (DNS rebinding): any page that is
        open on this machine can send requests to it.

        @raise BadRequest: it is not let in: 401, or 403.
        """
        if self._digests:
            self._ask_for_key(request)
        else:
            self._refuse_pages(request)

    def _ask_for_key(self, request: ProxyRequest) -> None:
        shown = _shown(request)
        if self._have_key(shown):
            return
        if self._forward:
            how = "send it in the header X-API-KEY (Authorization goes upstream as it is)"
        else:
            how = "send it as 'Authorization: Bearer KEY' or in the header X-API-KEY"
        if any(shown):
            message = f"The key that was sent is none of this proxy's. Ask its operator for one, and {how}."
        else:
            message = f"This proxy asks for a key of its own. Ask its operator for one, and {how}."
        raise BadRequest(
            message,
            status=401,
            code="invalid_api_key" if any(shown) else "missing_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _refuse_pages(self, request: ProxyRequest) -> None:
        get = request.head.named.get
        origins: Sequence[bytes] = get(b"origin", ())
        for origin in origins:
            if origin.lower() not in self._origins:
                raise _forbidden(
                    f"A browser page from {origin.decode('latin-1')} may not use this proxy, which lends its key to "
                    "the programs of this machine. Its operator can allow the page (--cors-origin), or ask for proxy "
                    "keys (PROXY_API_KEYS).",
                    "origin_not_allowed",
                )
        if not origins and any(value.lower() in _FROM_ELSEWHERE for value in get(b"sec-fetch-site", ())):
            raise _forbidden(
                "A browser page of another site may not use this proxy, which lends its key to the programs of this "
                "machine.",
                "origin_not_allowed",
            )
        if isinstance(request.getHost(), UNIXAddress):
            # where no browser comes
            return
        for host in get(b"host", ()):
            if not is_loopback(without_port(host.decode("latin-1"))):
                raise _forbidden(
                    "This proxy lends its key to the programs of this machine, so it has to be called by a loopback "
                    f"name: use localhost or 127.0.0.1 in place of {host.decode('latin-1')}. Its operator can ask for "
                    "proxy keys instead (PROXY_API_KEYS).",
                    "host_not_allowed",
                )

    def client(self, request: ProxyRequest) -> bytes:
        """Stands for whoever sent an admitted request, and tells nothing of them: of those who show keys the proxy's
        key, or else their own; of others the address."""
        shown = _shown(request)
        for key in shown:
            if self._have_key((key,)):
                return self._digest(b"key\n" + key)
        if shown and not self.replaced:
            return self._digest(b"key\n" + b"\n".join(shown))
        return self._digest(b"at\n" + str(getattr(request.getClientAddress(), "host", "")).encode())

    def tenant(self, request: ProxyRequest) -> bytes:
        """Stands for whose conversations an admitted request is of, the same in every process: of those who show keys
        the proxy's key, or else their own; all others are one."""
        shown = _shown(request)
        if self.replaced:
            shown = [key for key in shown if self._have_key((key,))][:1]
        return hashlib.blake2b(b"\n".join(shown), digest_size=16, person=b"oaiproxy tenant").digest()

    # what nobody gets to see

    def refusal_masker(self, status: int) -> Masker | None:
        """What keeps the lent key out of an upstream's answer, or None where there is no reason: some servers quote the
        key that they refuse, and it is not the client's.

        @param status: the answer's.
        """
        return Masker(self._lent) if self._lent is not None and status in (401, 403) else None

    def masked(self, text: str, pairs: Iterable[Header], target: bytes = b"") -> str:
        """A text for the service's log, without keys.

        @param pairs: header fields whose credentials may be in the text.
        @param target: a request target of which the same is true.
        """
        secrets = Secrets((*self.secrets, *credentials(pairs), *url_credentials(target)))
        return secrets.mask(text.encode()).decode("utf-8", "replace")

    # what goes upstream

    def for_upstream(self, pairs: Iterable[Header]) -> list[Header]:
        """The fields of a client's request with the key that goes upstream, and without any that does not.

        @param pairs: the client's fields, from an admitted request.
        """
        if not self.replaced:
            return list(pairs)
        fields = without_account(pairs)
        if self._forward and any(self._is_theirs(field) for field in fields):
            # their account with it
            kept = [field for field in fields if not _names_key(field[0]) or self._is_theirs(field)]
            return self._without_keys(kept)
        kept = [field for field in fields if not _names_key(field[0]) and field[0].lower() not in _ACCOUNT_FIELDS]
        return [*self._without_keys(kept), *self.own]

    def _is_theirs(self, field: Header) -> bool:
        """Whether a field is an Authorization of the client's own: it holds credentials, and no key of ours."""
        if field[0].lower() != b"authorization" or not _bare(field[1]):
            return False
        # the password of Basic as well
        return not self._have_key(credentials((field,)))

    def _without_keys(self, fields: list[Header]) -> list[Header]:
        """The fields but for those in which a key of ours stands, wherever a client may have put it."""
        values = b"\n".join([value for _, value in fields])
        if not any(key in values for key in self._keys):
            return fields
        return [field for field in fields if set(self._keys).isdisjoint(_SEPARATORS.split(field[1]))]


def _shown(request: ProxyRequest) -> list[bytes]:
    """The keys that a request shows."""
    get = request.head.named.get
    shown = [_bare(value) for name in (b"authorization", *KEY_FIELDS) for value in get(name, ())]
    if PROTOCOL in request.head.named:
        shown += [key for value in request.head.named[PROTOCOL] for key in offered_keys(value)]
    return shown


def _names_key(name: bytes) -> bool:
    lower = name.lower()
    return lower == b"authorization" or lower in KEY_FIELDS


def _own_fields(access: Access) -> Iterable[Header]:
    """What goes upstream in place of a client's key."""
    if access.upstream_key is not None:
        yield b"Authorization", b"Bearer " + access.upstream_key.reveal().encode()
    for name, value in ((b"OpenAI-Organization", access.organization), (b"OpenAI-Project", access.project)):
        if value is not None:
            yield name, value.encode()


def _bare(value: bytes) -> bytes:
    """A key without a ``Bearer`` before it."""
    scheme, _, rest = value.strip(b" \t").partition(b" ")
    return rest.strip(b" \t") if scheme.lower() == b"bearer" else value.strip(b" \t")


def _forbidden(message: str, code: str) -> BadRequest:
    return BadRequest(message, status=403, code=code)
