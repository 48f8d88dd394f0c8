"""The store that is a Redis server: several machines share it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL.crypto import X509
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.interfaces import IStateStore, IStoreState
from oaiproxy.store.errors import StoreRefused, StoreUnavailable
from oaiproxy.store.redislink import AnsweredError, Command, RedisLink
from oaiproxy.storeplace import StorePlace

#: Whoever asks waits no longer, in seconds.
DEADLINE = 0.25

#: How long a new connection may take, and each step until it can be used, in seconds: nobody waits for it.
CONNECT = 2.0

#: After a failed attempt the next one is so many seconds later, then twice as many, and so on up to the last.
FIRST_DELAY, LAST_DELAY = 0.05, 5.0

#: A connection on which nothing happens is tried every so many seconds, so that no request finds out that it is dead.
PING_EVERY = 10.0

#: What the names of values and of counts begin with in the server.
VALUE, COUNT = b"oaiproxy:v:", b"oaiproxy:c:"

#: Adds to counts, all at once; with 0 a count is looked at, and does not begin.  A script, because the server's time
#: stands still in it: a count cannot end between being added to and being given its end.
ADD = b"""
local counts = {}
for i, key in ipairs(KEYS) do
  if ARGV[i + 1] == '0' then
    counts[i] = tonumber(redis.call('GET', key) or '0')
  else
    counts[i] = redis.call('INCRBY', key, ARGV[i + 1])
    if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[1]) end
  end
end
return counts
"""
ADD_SHA = hashlib.sha1(ADD, usedforsecurity=False).hexdigest().encode()

#: The longest that something is kept, in milliseconds: ten years.
_LONGEST = 10 * 365 * 24 * 3600 * 1000


@implementer(IStateStore, IStoreState)
class RedisStore:
    """Keeps values and counts in a Redis server, on one connection, which is made again whenever it is lost.

    While there is none all fails at once.

    @ivar available: whether there is a connection that can be used.
    """

    _log = Logger()

    def __init__(self, reactor: Any, place: StorePlace) -> None:
        """Begin to connect.

        @param reactor: for time and connections.
        @param place: where the server is.
        @raise oaiproxy.store.StoreRefused: the file of authorities cannot be used.
        """
        self._reactor = reactor
        self._name = str(place)
        self._place = place
        self._endpoint = _endpoint(reactor, place)
        self._link: RedisLink | None = None
        self._why = "there is no connection yet"
        self._said = False
        self._closed = False
        self._keeping = Deferred.fromCoroutine(self._keep())

    @property
    def available(self) -> bool:
        return self._link is not None

    def get(self, keys: Sequence[bytes]) -> Deferred[list[bytes | None]]:
        if not keys:
            return succeed([])
        return self._do([(b"MGET", *(VALUE + key for key in keys))]).addCallback(lambda answers: answers[0])

    def put(self, entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        if seconds <= 0:
            return self.forget(tuple(entries))
        lasting = _milliseconds(seconds)
        commands = [(b"SET", VALUE + key, value, b"PX", lasting) for key, value in entries.items()]
        return self._do(commands).addCallback(lambda answers: None)

    def forget(self, keys: Sequence[bytes]) -> Deferred[None]:
        if not keys:
            return succeed(None)
        return self._do([(b"DEL", *(VALUE + key for key in keys))]).addCallback(lambda answers: None)

    def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        if not amounts:
            return succeed([])
        lasting = _milliseconds(seconds)
        rest: Command = (len(amounts), *(COUNT + key for key in amounts), lasting, *amounts.values())
        adding = self._do([(b"EVALSHA", ADD_SHA, *rest)], unless="NOSCRIPT")

        def tell(reason: Failure) -> Deferred[list[Any]]:
            # a server that has just been started does not know it
            reason.trap(AnsweredError)
            return self._do([(b"EVAL", ADD, *rest)])

        return adding.addErrback(tell).addCallback(lambda answers: answers[0])

    def _do(self, commands: Sequence[Command], unless: str = "") -> Deferred[list[Any]]:
        """Send commands and wait for all their answers.

        @param unless: the first word of an answer that is passed on as the error that it is.
        """
        link = self._link
        if link is None:
            return fail(StoreUnavailable(f"{self._name}: {self._why}"))
        return _all(link.send(commands)).addErrback(self._explain, unless)

    def _explain(self, reason: Failure, unless: str) -> Failure:
        error = reason.value
        if isinstance(error, AnsweredError) and error.word == unless:
            return reason
        return Failure(StoreUnavailable(f"{self._name}: {error}"))

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._closed = True
        link, self._link, self._why = self._link, None, "it is closed"
        if link is not None and not link.idle:
            # its answer comes after all others; if in time, or else with the end of the connection
            await _all(link.send([(b"PING",)])).addErrback(lambda reason: None)
        self._keeping.cancel()
        await self._keeping

    async def _keep(self) -> None:
        """Keep a connection until the store is closed, which cancels this."""
        delay = FIRST_DELAY
        while True:
            link = RedisLink(self._reactor, CONNECT)
            try:
                await self._connect(link)
                self._there(link)
                began = self._reactor.seconds()
                why = await self._use(link)
                if self._reactor.seconds() - began >= LAST_DELAY:
                    delay = FIRST_DELAY
            except Exception as e:
                why = str(e) or type(e).__name__
            link.fail(why)
            await link.lost()
            if self._closed:
                return
            self._away(why)
            try:
                # not all at the same moment when a server comes back
                await deferLater(self._reactor, delay * random.uniform(0.5, 1))  # noqa: S311
            except CancelledError:
                return
            delay = min(2 * delay, LAST_DELAY)

    async def _connect(self, link: RedisLink) -> None:
        connecting: Deferred[IProtocol] = self._endpoint.connect(Factory.forProtocol(lambda: link))
        await connecting.addTimeout(CONNECT, self._reactor, _no_connection)
        # what is not answered cannot be used, though the kernel has taken the connection
        await _all(link.send(_greeting(self._place)))
        link.hurry(DEADLINE)

    async def _use(self, link: RedisLink) -> str:
        """Try a connection now and then, until it is lost; the reason."""

        def ping() -> None:
            if link.idle:
                _all(link.send([(b"PING",)])).addErrback(lambda reason: None)

        pinging = LoopingCall(ping)
        pinging.clock = self._reactor
        pinging.start(PING_EVERY, now=False)
        try:
            return await link.lost()
        finally:
            pinging.stop()

    def _there(self, link: RedisLink) -> None:
        self._link = link
        if self._said:
            self._said = False
            self._log.info("the store {name} can be used again", name=self._name)

    def _away(self, why: str) -> None:
        self._link, self._why = None, why
        if not self._said:
            self._said = True
            self._log.warn(
                "the store {name} cannot be used: {why}; it is tried again and again", name=self._name, why=why
            )


def _all(answers: Sequence[Deferred[Any]]) -> Deferred[list[Any]]:
    """All answers, or the first error among them."""
    if len(answers) == 1:
        return answers[0].addCallback(lambda found: [found])
    together: Deferred[list[Any]] = gatherResults(answers, consumeErrors=True)
    return together.addErrback(lambda reason: getattr(reason.value, "subFailure", reason))


def _no_connection(result: object, seconds: float) -> Failure:
    return Failure(StoreUnavailable(f"no connection within {seconds:g} s"))


def _milliseconds(seconds: float) -> int:
    return max(1, int(min(1000 * seconds, _LONGEST)))


def _greeting(place: StorePlace) -> list[Command]:
    """What makes a connection one that can be used."""
    commands: list[Command] = []
    if place.password is not None:
        user = [place.user.encode()] if place.user else []
        commands.append((b"AUTH", *user, place.password.reveal().encode()))
    if place.database:
        commands.append((b"SELECT", place.database))
    return [*commands, (b"PING",)]


def _endpoint(reactor: Any, place: StorePlace) -> IStreamClientEndpoint:
    if place.path is not None:
        unix: IStreamClientEndpoint = UNIXClientEndpoint(reactor, str(place.path), CONNECT)
        return unix
    endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, place.host, place.port, CONNECT)
    if not place.tls:
        return endpoint
    trusted = {} if place.authorities is None else {"trustRoot": _authorities(place.authorities)}
    wrapped: IStreamClientEndpoint = wrapClientTLS(optionsForClientTLS(place.host, **trusted), endpoint)
    return wrapped


def _authorities(path: Path) -> Any:
    """Whose certificates are trusted.

    @raise StoreRefused: the file cannot be used.
    """
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as e:
        raise StoreRefused(f"store_ca: {path} cannot be read: {e.strerror}") from None
    except ValueError:
        raise StoreRefused(f"store_ca: {path} is no file of certificates in PEM (BEGIN CERTIFICATE)") from None
    return trustRootFromCertificates([Certificate(X509.from_cryptography(each)) for each in found])
