"""The demo as a twisted.web site."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request as HttpRequest
from twisted.web.server import Site

from oaiproxy.demo.forms import DemoRequest
from oaiproxy.demo.resources import DemoResource


class DemoSite(Site):
    """A site that keeps no access log: the proxy in front of it has one."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: paces the answers and dates them, and times idle connections out.
        """
        self.demo = DemoResource(clock)
        super().__init__(self.demo, DemoRequest, parsePOSTFormSubmission=False, reactor=clock)

    @property
    def running(self) -> int:
        """How many answers are under way."""
        return self.demo.running

    def log(self, request: HttpRequest) -> None:
        """Write nothing."""


def demo_site(reactor: IReactorTime) -> DemoSite:
    """The demo upstream, to be listened with on a loopback port; its base URL ends in ``/v1``.

    @param reactor: paces the answers and dates them; a `Clock` in tests.
    """
    return DemoSite(reactor)
