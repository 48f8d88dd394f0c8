"""How many requests and tokens a minute may have: of each proxy key, or of a port that asks for none.

The counts are in the store, so that workers and machines that share one have them in common.  Where the store is away,
each process goes on with what it knows, and counts what comes by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.headers import Header
from oaiproxy.api.place import trace_of
from oaiproxy.api.sse import says_stream
from oaiproxy.interfaces import IStateStore
from oaiproxy.rates import Account, RateLimitExceeded, UsageTail, fields
from oaiproxy.rates.account import KEPT
from oaiproxy.relay import UpstreamAnswer
from oaiproxy.settings import Rates
from oaiproxy.store import StoreUnavailable
from oaiproxy.web.access import Keys
from oaiproxy.web.site import ProxyRequest
from oaiproxy.web.unpack import unpacker

#: The content codings that are read here, and so the only ones that upstream may use where tokens are counted.
_CODINGS = frozenset((b"gzip", b"x-gzip", b"deflate", b"identity"))

#: The paths whose answers say what they cost; of other ones nobody expects it.
_COSTLY = frozenset((b"/chat/completions", b"/completions", b"/responses", b"/embeddings"))

See = Callable[[bytes], object]


class RateLimits:
    """The limits of a port."""

    _log = Logger()

    def __init__(
        self, rates: Rates, keys: Keys, port: str, store: IStateStore | None, seconds: Callable[[], float]
    ) -> None:
        """
        @param rates: how many.
        @param keys: who may use the port.
        @param port: stands for the port where it asks for no key of its own; the same on every machine.
        @param store: where the counts are; None for this process alone.
        @param seconds: tells the Unix time.
        """
        self.counts_tokens = bool(rates.tokens)
        self.seconds = seconds
        self._rates = rates
        self._keys = keys
        self._port = hashlib.blake2b(port.encode(), digest_size=16, person=b"oaiproxy port").digest()
        self._store = store
        self._away = False
        self._silent = False
        self._accounts: dict[bytes, Account] = {}  # as many as there are proxy keys

    def ticket(self, request: ProxyRequest) -> Ticket:
        """What is counted for one request that was admitted to the port."""
        name = self._keys.tenant(request) if self._keys.proxy_keys else self._port
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(name, self._rates.requests, self._rates.tokens)
        return Ticket(self, account, request)

    async def add(self, amounts: Mapping[bytes, int]) -> Sequence[int] | None:
        """Add to some counts.

        @return: the counts after that, or None where the store is away.
        """
        if self._store is None:
            return None
        try:
            counts = await self._store.add(amounts, KEPT)
        except CancelledError:
            raise
        except Exception as e:
            self._is_away(e)
            return None
        if self._away:
            self._away = False
            self._log.info("the store is back: requests and tokens are counted there again")
        return counts

    def _is_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._log.warn(
                "the store is away, so each process counts requests and tokens by itself: {reason}",
                reason=str(error) if isinstance(error, StoreUnavailable) else trace_of(error),
            )

    def is_silent(self, target: str) -> None:
        """Upstream did not say what an answer cost."""
        if not self._silent:
            self._silent = True
            self._log.warn(
                "an answer of the upstream's to {target} did not say how many tokens it cost, so it is not counted "
                "(this is said once; it is usual only for those that were stopped early)",
                target=target,
            )


class Ticket:
    """What is counted for one request."""

    def __init__(self, limits: RateLimits, account: Account, request: ProxyRequest) -> None:
        self._limits = limits
        self._account = account
        self._request = request
        self._costs = request.method == b"POST"
        self._tails: list[UsageTail] = []
        self._path = b""

    async def admit(self) -> None:
        """Count the request, and say in its answer, whatever that will be, how its client stands.

        @raise RateLimitExceeded: there is no room for it; it does not count.
        """
        account, now = self._account, self._limits.seconds()
        refusal = account.rest(now, self._costs)
        if refusal is None:
            trip = account.trip(now)
            refusal, undo = account.judge(trip, await self._limits.add(trip.amounts), now, self._costs)
            if undo:
                # nobody waits for that
                Deferred.fromCoroutine(self._limits.add(undo))
        self._request.own_fields = fields(account.standings(now))
        if refusal is not None:
            raise RateLimitExceeded(refusal)

    def readable(self, headers: Sequence[Header]) -> Sequence[Header]:
        """The header fields of a request that is passed on, so that its answer can be read: with no content coding but
        those that are known here."""
        if not (self._costs and self._limits.counts_tokens):
            return headers
        return [
            (name, _known_codings(value)) if name.lower() == b"accept-encoding" else (name, value)
            for name, value in headers
        ]

    def watch(self, answer: UpstreamAnswer, target: bytes) -> See | None:
        """What has to see the bytes of an answer as they come; None where nothing has to.

        @param target: path and query below the upstream's base URL.
        """
        see = self.watch_plain(answer.status, answer.header(b"content-type").decode("latin-1"), target)
        encoding = answer.header(b"content-encoding").strip().lower()
        if see is None or encoding in (b"", b"identity"):
            return see
        try:
            unpack = unpacker(encoding)
        except UpstreamInvalid:
            return None
        plain: See = see
        damaged = False

        def see_packed(data: bytes) -> None:
            nonlocal damaged
            if not damaged:
                try:
                    plain(unpack(data))
                except UpstreamInvalid:
                    # who reads it will see for himself
                    damaged = True

        return see_packed

    def watch_plain(self, status: int, content_type: str, target: bytes) -> See | None:
        """Like `watch`, for bytes without content coding.

        @param content_type: what the answer says it is.
        """
        if not (self._costs and self._limits.counts_tokens and 200 <= status < 300):
            return None
        stream = says_stream(content_type, otherwise=False)
        if not stream and "json" not in content_type.lower():
            return None
        tail = UsageTail(stream)
        self._tails.append(tail)
        self._path = target.partition(b"?")[0]
        return tail.feed

    def end(self, whole: bool) -> None:
        """The exchange is over: its tokens are counted.

        @param whole: whether it ended as it should.
        """
        if not self._tails:
            return
        found = [tail.tokens() for tail in self._tails]
        self._tails.clear()
        if whole and None in found and self._path in _COSTLY:
            self._limits.is_silent(self._path.decode("ascii"))
        tokens = sum(filter(None, found))
        if tokens:
            Deferred.fromCoroutine(self._charge(tokens))

    async def _charge(self, tokens: int) -> None:
        trip = self._account.charge(self._limits.seconds(), tokens)
        self._account.charged(trip, await self._limits.add(trip.amounts))


def _known_codings(value: bytes) -> bytes:
    """An Accept-Encoding without the codings that are not read here."""
    kept = [coding for coding in value.split(b",") if coding.partition(b";")[0].strip().lower() in _CODINGS]
    return b",".join(kept).strip() or b"identity"
