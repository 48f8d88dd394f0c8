"""What twistd looks for: the options, and the service made of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from twisted.application.service import IService

from oaiproxy.discovery import BrokenPlugin
from oaiproxy.options import Options
from oaiproxy.service import ProxyService, StartFailed
from oaiproxy.stopping import Stopping
from oaiproxy.tools import ToolBox, ToolBoxError, discover_tools, tool_listing
from oaiproxy.transforms import Pipeline, TransformError, discover, listing, order

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """The service that the options describe; or, with ``--list-transforms`` or ``--list-tools``, the list and the end
    of the process.

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
    # a service that runs none does without looking for them
    wanted = options["list-tools"] or any(port.settings.tools.enabled for port in options.settings.ports)
    tools, broken = _tools(found.broken) if wanted else (ToolBox(), found.broken)
    if options["list-tools"]:
        print(tool_listing(tools, broken))  # noqa: T201
        sys.exit(0)

    # imported late: importing it chooses the reactor
    from twisted.internet import reactor

    return ProxyService(reactor, options.settings, pipeline, broken, tools, Stopping(reactor))


def _tools(broken: Sequence[BrokenPlugin]) -> tuple[ToolBox, Sequence[BrokenPlugin]]:
    """The tools that are found, and all that is known of broken plugins.

    @raise StartFailed: two have one name.
    """
    found = discover_tools()
    try:
        # a module that cannot be imported is found by every search
        return ToolBox(found.tools), tuple(dict.fromkeys((*broken, *found.broken)))
    except ToolBoxError as e:
        raise StartFailed(f"oaiproxy: {e}") from None
