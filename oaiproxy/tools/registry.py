"""The tools that were found, and those of them that a port runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import msgspec

import oaiproxy.plugins
from oaiproxy.api.request import JsonObject
from oaiproxy.discovery import BrokenPlugin, fault_of, find, module_of, one_line
from oaiproxy.interfaces import IToolProvider
from oaiproxy.settings import ToolSettings
from oaiproxy.tools.errors import ToolBoxError

#: What upstream takes for a function's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class FoundTools:
    """What was found.

    @ivar tools: the usable tools, in no order.
    @ivar broken: the others, by name.
    """

    tools: tuple[IToolProvider, ...]
    broken: tuple[BrokenPlugin, ...]


def discover_tools(package: ModuleType = oaiproxy.plugins) -> FoundTools:
    """Find every tool among the plugins.

    @param package: where to look.
    """
    found = find(IToolProvider, _fault, package)
    return FoundTools(found.usable, found.broken)


def _fault(tool: IToolProvider) -> str | None:
    """What keeps an object that says it is a tool from being one, or None."""
    return fault_of(tool, IToolProvider, _wrong_attribute)


def _wrong_attribute(tool: IToolProvider) -> str | None:
    if not isinstance(tool.name, str) or not _NAME.fullmatch(tool.name):
        return f"name is {tool.name!r}; it has to be up to 64 letters, digits, underscores and dashes"
    if not isinstance(tool.description, str) or not tool.description.strip():
        return f"description is {tool.description!r}; it has to say what the tool does"
    if not isinstance(tool.parameters, Mapping) or tool.parameters.get("type") != "object":
        return 'parameters has to be the JSON schema of an object: {"type": "object", "properties": {...}}'
    try:
        msgspec.json.encode(dict(tool.parameters))
    except (TypeError, ValueError, RecursionError) as e:
        return f"parameters is no JSON: {one_line(str(e))}"
    return None


class ToolBox:
    """Tools by name.

    @ivar names: what they are called.
    @ivar settings: how they are run.
    """

    def __init__(self, tools: Iterable[IToolProvider] = (), settings: ToolSettings | None = None) -> None:
        """
        @param tools: the tools.
        @param settings: how they are run.
        @raise ToolBoxError: two have one name.
        """
        self.settings = settings or ToolSettings()
        self._tools: dict[str, IToolProvider] = {}
        for tool in sorted(tools, key=lambda tool: tool.name):
            other = self._tools.setdefault(tool.name, tool)
            if other is not tool:
                modules = " and ".join(sorted((module_of(other), module_of(tool))))
                raise ToolBoxError(f"two tools are called {tool.name!r}: those of {modules}")
        self.names = frozenset(self._tools)
        self._schemas = {name: _schema(tool) for name, tool in self._tools.items()}

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[IToolProvider]:
        return iter(self._tools.values())

    def __getitem__(self, name: str) -> IToolProvider:
        return self._tools[name]

    def for_settings(self, settings: ToolSettings) -> ToolBox:
        """The tools of a port that is told this; none where none are to be run.

        @raise ToolBoxError: it names one that there is not.
        """
        if not settings.enabled:
            return ToolBox(settings=settings)
        wanted = self.names if settings.names is None else settings.names
        for name in wanted:
            if name not in self._tools:
                there = ", ".join(self._tools) or "none"
                raise ToolBoxError(f"there is no tool {name!r}; those that were found: {there}")
        return ToolBox((self._tools[name] for name in wanted), settings)

    def schemas(self, names: Iterable[str]) -> list[JsonObject]:
        """How some of the tools are described in a chat request's ``tools``, by name; always the same."""
        return [self._schemas[name] for name in sorted(names)]


def _schema(tool: IToolProvider) -> JsonObject:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def tool_listing(tools: ToolBox, broken: Sequence[BrokenPlugin] = ()) -> str:
    """What ``--list-tools`` shows: the tools, where they come from and what they do, and the plugins that cannot be
    used.

    @return: lines, without a line end after the last.
    """
    rows = [(tool.name, module_of(tool), one_line(tool.description)) for tool in tools]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    lines = ["tools:" if rows else "tools: none"]
    lines += [f"  {name:<{widths[0]}}  {module:<{widths[1]}}  {what}" for name, module, what in rows]
    if broken:
        lines.append("left out:")
        lines += [f"  {plugin.name}: {plugin.reason}" for plugin in broken]
    return "\n".join(lines)
