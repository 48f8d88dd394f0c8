"""Encrypted reasoning as the upstream of these tests gives it: sealed, so that damage and strangers are seen.

Nothing in it is a secret.  What matters is that only the upstream that made it can say what it is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass

#: How all of it begins, as the API's does.
_HEAD = "gAAAAA"


@dataclass(frozen=True)
class Contents:
    """What is sealed.

    @ivar item_id: the reasoning item's.
    @ivar account: whose it is.
    @ivar family: of the model that made it.
    @ivar prefix: stands for the prompt that it was made with.
    """

    item_id: str
    account: str
    family: str
    prefix: str


class Sealer:
    """Seals reasoning and opens it again."""

    def __init__(self, secret: bytes = b"strict upstream") -> None:
        self._secret = secret

    def seal(self, contents: Contents, stage: str = "done") -> str:
        """Encrypted content.

        @param stage: in which event it goes out; only that of ``done`` opens (R5).
        """
        said = json.dumps({**asdict(contents), "stage": stage}, sort_keys=True).encode()
        return _written(self._mac(said) + said)

    def open(self, blob: str) -> Contents | None:
        """What was sealed, or None where this is not whole or was not sealed here."""
        try:
            raw = urlsafe_b64decode(blob.removeprefix(_HEAD) + "=" * (-(len(blob) - len(_HEAD)) % 4))
        except ValueError:
            return None
        mac, said = raw[:32], raw[32:]
        # the decoder skips what is not of its alphabet
        if _written(raw) != blob or not hmac.compare_digest(mac, self._mac(said)):
            return None
        value = json.loads(said)
        return Contents(**value) if value.pop("stage") == "done" else None

    def _mac(self, said: bytes) -> bytes:
        return hmac.new(self._secret, said, hashlib.sha256).digest()


def _written(raw: bytes) -> str:
    return _HEAD + urlsafe_b64encode(raw).decode().rstrip("=")
