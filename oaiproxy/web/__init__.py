"""What clients see: one resource tree per kind of port, and the exchange that each request becomes."""

from oaiproxy.web.context import PortContext
from oaiproxy.web.drain import Drain
from oaiproxy.web.site import ProxySite
from oaiproxy.web.tree import resource_tree

__all__ = ["Drain", "PortContext", "ProxySite", "resource_tree"]
