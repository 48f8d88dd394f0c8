"""Tools: what the client declares, in the form that Responses takes.

Chat nests a tool's description under its type, Responses has it flat; and where Chat takes a function's schema loosely
unless told otherwise, Responses tries it strictly first, which turns optional parameters into required ones.  So
``strict`` is always sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.bridge.checks import as_array, as_boolean, as_object, as_string, member, missing, unsupported
from oaiproxy.bridge.draft import Draft
from oaiproxy.bridge.notes import shown

#: A tool, as JSON.
Tool = dict[str, Any]

#: Tools that upstream runs or knows by itself (schema ``Tool``); they pass unchanged.
HOSTED = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)

_SEARCHES = frozenset(name for name in HOSTED if name.startswith("web_search"))

# what Responses takes beside what Chat has; other keys are left out
_FURTHER = ("allowed_callers", "defer_loading", "output_schema")
_FURTHER_KEYS = frozenset(_FURTHER)
# cache_control is a mark of another dialect and has no meaning here
_COMMON_KEYS = frozenset({"type", "name", "description", "cache_control", *_FURTHER})
_FUNCTION_KEYS = _COMMON_KEYS | {"function", "input_schema", "parameters", "strict"}
_CUSTOM_KEYS = _COMMON_KEYS | {"custom", "format"}


def translate_tools(draft: Draft) -> None:
    """Read ``tools``, ``functions`` and ``web_search_options``, and write ``tools``, in the client's order.

    @raise BadRequest: a tool is not one; `param` says which.
    """
    shelf = _Shelf(draft)
    for i, value in enumerate(draft.read("tools", as_array) or []):
        shelf.tool(as_object(value, f"tools[{i}]"), f"tools[{i}]")
    declared_tools = bool(shelf.functions or shelf.custom)
    functions = draft.read("functions", as_array) or []
    for i, value in enumerate(functions):
        shelf.function(as_object(value, f"functions[{i}]"), {}, f"functions[{i}]")
    draft.legacy_functions = bool(functions) and not declared_tools
    search = draft.read("web_search_options", as_object)
    if search is not None:
        shelf.search(_web_search(search))
    draft.functions, draft.custom_tools = frozenset(shelf.functions), frozenset(shelf.custom)
    draft.hosted_tools = frozenset(shelf.hosted)
    if shelf.tools:
        draft.body["tools"] = shelf.tools


class _Shelf:
    """The tools collected so far.

    @ivar tools: in Responses' form.
    @ivar functions: the function tools' names in the client's words, in order.
    @ivar custom: the custom tools' names in the client's words, in order.
    @ivar hosted: the types of the hosted tools that the client sent.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._by_proxy = "tools" in draft.added
        self.tools: list[Tool] = []
        self.functions: dict[str, None] = {}
        self.custom: dict[str, None] = {}
        self.hosted: dict[str, None] = {}

    def tool(self, tool: Mapping[str, Any], param: str) -> None:
        kind = tool.get("type")
        if kind is None:
            kind = "custom" if "custom" in tool else "function"
            if not tool.keys() & {"custom", "function", "name"}:
                raise missing(f"{param}.type")
        kind = as_string(kind, f"{param}.type")
        if kind == "function":
            # nested as in Chat, or flat as in Responses; an error names the field of Chat's form
            inner = as_object(tool["function"], f"{param}.function") if "function" in tool else tool
            self.function(inner, tool, f"{param}.function")
        elif kind == "custom":
            self._custom(as_object(tool["custom"], f"{param}.custom") if "custom" in tool else tool, tool, param)
        elif kind in HOSTED:
            self._hosted(kind, dict(tool))
        else:
            raise unsupported(kind, f"{param}.type", ("function", "custom", *sorted(HOSTED)))

    def function(self, function: Mapping[str, Any], outer: Mapping[str, Any], param: str) -> None:
        """Add a function tool.

        @param function: what describes it.
        @param outer: what it is nested in.
        """
        name = member(function, "name", param)
        strict = _optional(function, "strict", as_boolean, param)
        if strict is None:
            strict = _optional(outer, "strict", as_boolean, param)
        tool: Tool = {"type": "function", "name": self._draft.names.upstream(name)}
        description = _optional(function, "description", as_string, param)
        if description is not None:
            tool["description"] = description
        # the second is what Cursor's flat tools call it, after Anthropic's
        key = "input_schema" if function.get("parameters") is None else "parameters"
        parameters = _optional(function, key, as_object, param)
        tool["parameters"] = _no_parameters(bool(strict)) if parameters is None else parameters
        tool["strict"] = bool(strict)
        tool.update(_further(function, outer))
        self._tell_unknown(function, outer, _FUNCTION_KEYS, param)
        if self._new(name, param):
            self.functions[name] = None
            self.tools.append(tool)

    def _custom(self, custom: Mapping[str, Any], outer: Mapping[str, Any], param: str) -> None:
        where = f"{param}.custom"
        name = member(custom, "name", where)
        tool: Tool = {"type": "custom", "name": self._draft.names.upstream(name)}
        description = _optional(custom, "description", as_string, where)
        if description is not None:
            tool["description"] = description
        given = _optional(custom, "format", as_object, where)
        if given is not None:
            tool["format"] = _format(given, f"{where}.format")
        tool.update(_further(custom, outer))
        self._tell_unknown(custom, outer, _CUSTOM_KEYS, where)
        if self._new(name, where):
            self.custom[name] = None
            self.tools.append(tool)

    def _hosted(self, kind: str, tool: Tool) -> None:
        self.tools.append(tool)
        if not (self._by_proxy and kind in _SEARCHES):
            self.hosted[kind] = None

    def search(self, tool: Tool) -> None:
        """Add the web search that the client's options ask for; in place of one that the proxy added."""
        kinds = [t["type"] for t in self.tools]
        found = next((i for i, kind in enumerate(kinds) if kind in _SEARCHES), None)
        if found is None:
            self.tools.append(tool)
        elif self._by_proxy:
            self.tools[found] = tool
        else:
            self._draft.notes.dropped("web_search_options", "tools has a web search already")
            return
        self.hosted["web_search"] = None

    def _new(self, name: str, param: str) -> bool:
        if name in self.functions or name in self.custom:
            what = f"the second tool named {shown(name)}"
            self._draft.notes.dropped(what, "a name can be used once", f"{param}.name")
            return False
        return True

    def _tell_unknown(
        self, inner: Mapping[str, Any], outer: Mapping[str, Any], known: frozenset[str], param: str
    ) -> None:
        if inner.keys() <= known and outer.keys() <= known:
            return
        for where, fields in ((param.rpartition(".")[0], outer), (param, inner)):
            for key, value in fields.items():
                if key not in known and value is not None:
                    self._draft.notes.unknown(f"tools[].{key}", f"{where}.{key}")


def _further(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """What Responses' tools have and Chat's do not, wherever the client put it."""
    if _FURTHER_KEYS.isdisjoint(inner) and _FURTHER_KEYS.isdisjoint(outer):
        return {}
    found = {key: inner.get(key, outer.get(key)) for key in _FURTHER}
    return {key: value for key, value in found.items() if value is not None}


def _optional(value: Mapping[str, Any], key: str, check: Any, param: str) -> Any:
    found = value.get(key)
    return None if found is None else check(found, f"{param}.{key}")


def _no_parameters(strict: bool) -> dict[str, Any]:
    """The schema of a function that takes nothing; Chat lets a client leave it out, Responses does not."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    if strict:
        # strict schemas have to say so
        schema["additionalProperties"] = False
    return schema


def _format(given: Mapping[str, Any], param: str) -> dict[str, Any]:
    """A custom tool's format: Chat nests a grammar's ``syntax`` and ``definition``, Responses does not."""
    kind = member(given, "type", param)
    if kind == "text":
        return {"type": "text"}
    if kind != "grammar":
        raise unsupported(kind, f"{param}.type", ("text", "grammar"))
    nested = given.get("grammar")
    grammar = given if nested is None else as_object(nested, f"{param}.grammar")
    where = param if nested is None else f"{param}.grammar"
    return {
        "type": "grammar",
        "syntax": member(grammar, "syntax", where),
        "definition": member(grammar, "definition", where),
    }


def _web_search(options: Mapping[str, Any]) -> Tool:
    """The ``web_search`` tool for Chat's ``web_search_options``: the location one level up."""
    tool: Tool = {"type": "web_search"}
    size = _optional(options, "search_context_size", as_string, "web_search_options")
    if size is not None:
        tool["search_context_size"] = size
    location = _optional(options, "user_location", as_object, "web_search_options")
    if location is not None:
        nested = _optional(location, "approximate", as_object, "web_search_options.user_location")
        place = location if nested is None else nested
        tool["user_location"] = {
            "type": "approximate",
            **{
                key: as_string(place[key], f"web_search_options.user_location.approximate.{key}")
                for key in ("city", "country", "region", "timezone")
                if place.get(key) is not None
            },
        }
    return tool
