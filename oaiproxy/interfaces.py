"""Every extension point of the project.

An extension is an object that provides one of these interfaces, found at startup with `twisted.plugin.getPlugins`: put
a module into a folder ``oaiproxy/plugins/`` on the Python path (a distribution of your own can ship one; leave out
``__init__.py``), and bind the object to a name in it.  The built-in ones are found in the very same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from twisted.internet.defer import Deferred

    from oaiproxy.api.request import ApiRequest, PortKind
    from oaiproxy.models import Catalogue
    from oaiproxy.settings import Settings


#: The phases in which request transforms run, in this order.
#:
#: ``identify``: which model is meant; ``rules``: what the operator demands; ``defaults``: what is filled in where the
#: client said nothing; ``last``: what has to see the finished request.
PHASES = ("identify", "rules", "defaults", "last")


class ITransformContext(Interface):
    """What a request transform may know beside the request."""

    settings: Settings = Attribute("The service's settings; immutable.")
    models: Catalogue = Attribute("The models and what each can do.")


class IRequestTransform(IPlugin):
    """Rewrites requests before they go upstream.

    A transform sees the request as the client meant it, in the client's dialect (on both kinds of port a chat request
    has chat fields), before the bridge translates it.  It does no I/O and keeps no state of its own from one request to
    the next.  It runs in its `phase`; inside a phase `before` and `after` order it, then its name.

    A request whose path no transform of its port has asked for is never decoded.
    """

    name: str = Attribute("Unique among all transforms: lower-case letters, digits, and dashes.")
    phase: str = Attribute("One of `PHASES`.")
    before: tuple[str, ...] = Attribute("Names of transforms that have to run later; may name absent ones.")
    after: tuple[str, ...] = Attribute("Names of transforms that have to run earlier; may name absent ones.")
    ports: frozenset[PortKind] = Attribute("The kinds of port whose requests it wants to see.")
    paths: frozenset[str] = Attribute("The paths below /v1 whose POST requests it wants to see: {'/chat/completions'}.")

    def transform(request: ApiRequest, context: ITransformContext) -> ApiRequest:
        """Return the request that should go on: the same one, or one made from it with its ``with_...`` methods.

        @param request: the request; its ``json`` is shared, do not change it in place.
        @param context: settings and models.
        @return: what of it is for the client to know is told with ``request.warn``; something that the client asked for
            and that is left out with ``request.warn_dropped``, which a strict bridge refuses.
        @raise oaiproxy.api.errors.ApiError: to refuse the request; the client gets that error.
        """


class IConditionalTransform(IRequestTransform):
    """A request transform that has nothing to do on some ports.

    One without this interface is wanted on every port of its `ports`.
    """

    def wanted(settings: Settings) -> bool:
        """Whether there is anything to do on a port that is told this.

        It is asked once for each port, when the service starts.  Where no transform of a port wants a path, its
        requests are never decoded.
        """


class IToolContext(Interface):
    """What a tool may know beside its arguments."""

    settings: Settings = Attribute("What the port is told; immutable.")
    request: ApiRequest = Attribute("The chat request that the model is answering, without credentials.")
    reactor: Any = Attribute("The reactor: for time, connections and threads.")


class IToolProvider(IPlugin):
    """A function that models can call and that the proxy itself runs.

    It is called in the reactor's thread and must not block it: what does belongs into
    `twisted.internet.threads.deferToThread`.  One object serves all exchanges, several calls at once.
    """

    name: str = Attribute("What models call it by: up to 64 letters, digits, underscores and dashes; unique.")
    description: str = Attribute("What it does and when it is of use, for the model to read.")
    parameters: Mapping[str, Any] = Attribute("The JSON schema of its arguments: one of an object.")

    def call(arguments: dict[str, Any], context: IToolContext) -> Any:
        """Do what the model asks for.

        @param arguments: what the model said, checked with the schema of `parameters`.
        @param context: settings, request and reactor.
        @return: the result, or a Deferred or coroutine of it: a string, or what JSON can carry.  The Deferred is
            cancelled when the time limit is over, and when the client leaves.
        @raise oaiproxy.tools.ToolError: it cannot be done; the model is told the message.  Of any other error it is
            told no more than the kind.
        """


class IExchangeObserver(Interface):
    """Is told what passes through the proxy, as it passes: the traffic log is one."""

    def observe(record: dict[str, object]) -> None:
        """Take note of one step of an exchange.

        It must return at once and must not raise.

        @param record: ``timestamp`` (ISO 8601, UTC), ``port``, ``exchange``, ``direction`` and ``payload``; secrets are
            masked already.
        """


class IStateStore(Interface):
    """Keeps what outlives an exchange: small values for a while, and counts.

    Whoever uses one has to be able to do without: what was put may be gone at any time, and any method may fail with
    `oaiproxy.store.StoreUnavailable`, soon rather than late.  Keys are names for the store alone, from 1 to 200 bytes
    that tell nothing of a client.  Values may be as sensitive as a conversation: a store that others can read keeps
    them encrypted.
    """

    def get(keys: Sequence[bytes]) -> Deferred[list[bytes | None]]:
        """The values of some keys, in their order; None for those that are not there, or not any more."""

    def put(entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        """Keep some values, in place of what was there.

        @param seconds: for how long, at most.
        """

    def forget(keys: Sequence[bytes]) -> Deferred[None]:
        """Let go of some values; of keys that are not there nothing is said."""

    def add(amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        """Add to some counts, each at once for all who share the store.

        @param amounts: the key of each count -> what is added to it, which may be 0 or less.  A count that is not there
            is 0.
        @param seconds: for how long a count is kept from the time it began.
        @return: the counts after that, in the order of `amounts`.
        """

    def close() -> Deferred[None]:
        """Let go of connections and files, after what was begun."""


class IStoreState(Interface):
    """A state store that is not the process's own memory, and so may be away."""

    available: bool = Attribute("Whether it can be used, as far as is known.")
