"""The plugins: every module in a folder ``oaiproxy/plugins/`` on the Python path, ours and anybody's.

This is the only such folder with an ``__init__.py``; a distribution that adds a module to the package leaves it out.
"""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
