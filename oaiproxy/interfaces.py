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


class IExchangeObserver(Interface):
    """Is told what passes through the proxy, as it passes: the traffic log is one."""

    def observe(record: dict[str, object]) -> None:
        """Take note of one step of an exchange.

        It must return at once and must not raise.

        @param record: ``timestamp`` (ISO 8601, UTC), ``port``, ``exchange``, ``direction`` and ``payload``; secrets are
            masked already.
        """
