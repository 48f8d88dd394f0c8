"""Which models there are, what each can do, and what their aliases say.  No reactor, nothing of Twisted's."""

from __future__ import annotations

from oaiproxy.models.alias import parse_alias
from oaiproxy.models.capabilities import EFFORTS, SUMMARIES, Capabilities
from oaiproxy.models.catalogue import Catalogue
from oaiproxy.models.modelfile import CatalogueError

__all__ = ["EFFORTS", "SUMMARIES", "Capabilities", "Catalogue", "CatalogueError", "parse_alias"]
