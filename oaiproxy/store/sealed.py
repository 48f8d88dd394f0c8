"""A store in which nobody else can read: names and values are encrypted on their way into another one.

A value is encrypted with AES-256-GCM (NIST SP 800-38D), the name under which it is put as associated data, so that it
cannot be passed off as another one.  What of it the inner store sees is its length, and when it comes and goes.  A name
is replaced by a keyed digest of it (BLAKE2b, RFC 7693).  Counts have to be added up by the inner store and so are
plain numbers there, under names that tell nothing.

Keys can be changed.  The first of them is for what is new, all are tried for what is there: a value is looked for under
its names of all keys; what is added goes to the count under the first one's name, and the count is the sum of those
under all names, which is one step for the inner store.  So it makes no difference in which order two machines have the
same keys: first every machine gets the new key behind the old one, then in front of it, and when what the old one
sealed is over, the old one goes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStateStore, IStoreState

#: What a sealed value begins with: how it is sealed.
_FORM = b"\x01"

#: Random bytes of a value: the first half makes a key of its own, the second is the nonce.  With a nonce of 12 random
#: bytes alone one key would be worn out after 2**32 values (SP 800-38D section 8.3), which many machines have in a day.
_RANDOM = 24

#: What a sealed value has more bytes: form, random bytes, tag.
OVERHEAD = len(_FORM) + _RANDOM + 16

#: Bytes of a name.
_NAME = 20


class _Key:
    """What one secret of the settings is good for."""

    def __init__(self, secret: Secret) -> None:
        self._values = _derived(secret, b"oaiproxy store: values")
        self._names = _derived(secret, b"oaiproxy store: names")

    def name(self, key: bytes) -> bytes:
        """The name of `key` in the inner store."""
        return blake2b(key, digest_size=_NAME, key=self._names).digest()

    def seal(self, key: bytes, value: bytes) -> bytes:
        chance = os.urandom(_RANDOM)
        return _FORM + chance + self._cipher(chance).encrypt(chance[_RANDOM // 2 :], value, _FORM + key)

    def open(self, key: bytes, sealed: bytes) -> bytes | None:
        """The value; None where this key has not sealed it for that name."""
        chance = sealed[len(_FORM) : len(_FORM) + _RANDOM]
        if len(sealed) < OVERHEAD or not sealed.startswith(_FORM):
            return None
        try:
            return self._cipher(chance).decrypt(chance[_RANDOM // 2 :], sealed[len(_FORM) + _RANDOM :], _FORM + key)
        except InvalidTag:
            return None

    def _cipher(self, chance: bytes) -> AESGCM:
        return AESGCM(blake2b(chance[: _RANDOM // 2], digest_size=32, key=self._values).digest())


def _derived(secret: Secret, purpose: bytes) -> bytes:
    """A key for one purpose (HKDF, RFC 5869)."""
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret.reveal().encode())


@implementer(IStateStore)
class SealedStore:
    """Keeps what is put in another store, so that nobody else can read it there.

    @ivar unreadable: how many values were found that cannot be opened; they are as good as not there.
    """

    _log = Logger()

    def __init__(self, inner: IStateStore, secrets: Sequence[Secret]) -> None:
        """
        @param inner: the other store.
        @param secrets: what the keys are made of, one at least; the first is for what is new.
        """
        self._inner = inner
        # one that is there twice would count twice
        self._keys = tuple(map(_Key, dict.fromkeys(secrets)))
        self._first, *self._others = self._keys
        self.unreadable = 0

    def __conform__(self, interface: object) -> object:
        # whether it is there is the inner one's to say
        return IStoreState(self._inner, None) if interface is IStoreState else None

    def get(self, keys: Sequence[bytes]) -> Deferred[list[bytes | None]]:
        names = [own.name(key) for key in keys for own in self._keys]
        return self._inner.get(names).addCallback(self._opened, keys)

    def _opened(self, found: Sequence[bytes | None], keys: Sequence[bytes]) -> list[bytes | None]:
        each = len(self._keys)
        return [self._open(key, found[each * n : each * (n + 1)]) for n, key in enumerate(keys)]

    def _open(self, key: bytes, found: Sequence[bytes | None]) -> bytes | None:
        """The value that was put under a key.

        @param found: what is there under its name of each of our keys.
        """
        for own, sealed in zip(self._keys, found, strict=True):
            if sealed is not None:
                value = own.open(key, sealed)
                if value is not None:
                    return value
                self._cannot_open()
        return None

    def _cannot_open(self) -> None:
        self.unreadable += 1
        if self.unreadable == 1:
            self._log.warn("the store has a value that is damaged, or not sealed by this proxy; it is left out")

    def put(self, entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        # no older value is to be there under another name
        gone = self._inner.forget([own.name(key) for key in entries for own in self._others]) if self._others else None
        sealed = {self._first.name(key): self._first.seal(key, value) for key, value in entries.items()}
        putting = self._inner.put(sealed, seconds)
        return putting if gone is None else _both(gone, putting)

    def forget(self, keys: Sequence[bytes]) -> Deferred[None]:
        return self._inner.forget([own.name(key) for key in keys for own in self._keys])

    def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        named = {
            own.name(key): amount if own is self._first else 0 for key, amount in amounts.items() for own in self._keys
        }
        return self._inner.add(named, seconds).addCallback(self._added)

    def _added(self, counts: Sequence[int]) -> list[int]:
        each = len(self._keys)
        return [sum(counts[at : at + each]) for at in range(0, len(counts), each)]

    def close(self) -> Deferred[None]:
        return self._inner.close()


def _both(one: Deferred[None], other: Deferred[None]) -> Deferred[None]:
    together = gatherResults([one, other], consumeErrors=True)
    together.addErrback(lambda reason: getattr(reason.value, "subFailure", reason))
    return together.addCallback(lambda _: None)
