"""What twistd looks for: the options, and the service made of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from twisted.application.service import IService

from oaiproxy.discovery import BrokenPlugin
from oaiproxy.options import Options
from oaiproxy.service import ProxyService
from oaiproxy.settings import ServiceSettings
from oaiproxy.stopping import StartFailed, Stopping
from oaiproxy.tools import ToolBox, ToolBoxError, discover_tools, tool_listing
from oaiproxy.transforms import Pipeline, TransformError, discover, listing, order
from oaiproxy.workers.supervisor import Supervisor, processors

__all__ = ["Options", "makeService"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What is found of plugins.

    @ivar pipeline: the request transforms.
    @ivar tools: the tools, where they are wanted.
    @ivar broken: what could not be loaded.
    """

    pipeline: Pipeline
    tools: ToolBox
    broken: Sequence[BrokenPlugin]


def parts(settings: ServiceSettings, *, all_tools: bool = False) -> Parts:
    """Look for what the service is made of.

    @param all_tools: look for tools, also where no port runs any.
    @raise StartFailed: what is there does not go together.
    """
    found = discover()
    try:
        pipeline = Pipeline(order(found.transforms))
    except TransformError as e:
        raise StartFailed(f"oaiproxy: {e}") from None
    # a service that runs none does without looking for them
    if all_tools or any(port.settings.tools.enabled for port in settings.ports):
        return Parts(pipeline, *_tools(found.broken))
    return Parts(pipeline, ToolBox(), found.broken)


def makeService(options: Options) -> IService:
    """The service that the options describe; or, with ``--list-transforms`` or ``--list-tools``, the list and the end
    of the process.

    @raise StartFailed: the service cannot be put together; its one line says why.
    """
    settings = options.settings
    found = parts(settings, all_tools=bool(options["list-tools"]))
    if options["list-transforms"]:
        print(listing(found.pipeline, found.broken))  # noqa: T201
        sys.exit(0)
    if options["list-tools"]:
        print(tool_listing(found.tools, found.broken))  # noqa: T201
        sys.exit(0)

    choose_reactor()
    # imported late: importing it chooses one where none is chosen
    from twisted.internet import reactor

    if (count := settings.workers or processors()) > 1:
        return Supervisor(reactor, settings, count, found.pipeline, found.broken, found.tools, Stopping(reactor))
    return ProxyService(reactor, settings, found.pipeline, found.broken, found.tools, Stopping(reactor))


def choose_reactor() -> None:
    """Install the reactor that serves best, unless another is there, be it by ``twistd --reactor``."""
    if "twisted.internet.reactor" not in sys.modules:
        # a system without epoll(7) keeps Twisted's choice
        with suppress(ImportError):
            from oaiproxy.reactor import install

            install()


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
