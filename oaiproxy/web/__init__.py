"""What clients see: one resource tree per kind of port, and the exchange that each request becomes."""

from oaiproxy.web.context import PortContext
from oaiproxy.web.drain import Drain
from oaiproxy.web.draining import Connections
from oaiproxy.web.exchanges import Exchanges
from oaiproxy.web.site import ProxySite
from oaiproxy.web.tree import resource_tree

__all__ = ["Connections", "Drain", "Exchanges", "PortContext", "ProxySite", "resource_tree"]
