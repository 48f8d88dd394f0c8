"""What twistd looks for: the options, and the service made of them."""

from __future__ import annotations

import sys

from twisted.application.service import IService

from oaiproxy.options import Options
from oaiproxy.service import ProxyService, StartFailed
from oaiproxy.transforms import Pipeline, TransformError, discover, listing, order

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """The service that the options describe; or, with ``--list-transforms``, the list and the end of the process.

    @raise StartFailed: the service cannot be put together; its one line says why.
    """
    found = discover()
    try:
        pipeline = Pipeline(order(found.transforms))
    except TransformError as e:
        raise StartFailed(f"oaiproxy: {e}") from None
    if options["list-transforms"]:
        print(listing(pipeline, found.broken))  # noqa: T201
        sys.exit(0)

    # imported late: importing it chooses the reactor
    from twisted.internet import reactor

    return ProxyService(reactor, options.settings, pipeline, found.broken)
