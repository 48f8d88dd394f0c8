"""Chat requests for the bridge's tests, and the published schema to hold their translations against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from unittest import SkipTest

from jsonschema import Draft202012Validator

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import Translation, translate
from oaiproxy.models import Capabilities

SHARED = Path(__file__).resolve().parents[2].parent / "shared"

EFFORTS = frozenset({"none", "low", "medium", "high"})

#: Reasons only when told to, as gpt-5.1 does.
ON_DEMAND = Capabilities(True, EFFORTS, "none", "without_reasoning", True)
#: Always reasons, as o3 does.
ALWAYS = Capabilities(True, EFFORTS - {"none"}, "medium", "never", True)
#: Never reasons, as gpt-4o does.
NEVER = Capabilities(False, frozenset(), None, "always", True)
#: Nothing is known of it.
UNKNOWN = Capabilities()

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


def asked(
    body: dict[str, Any],
    capabilities: Capabilities = ON_DEMAND,
    added: tuple[str, ...] = (),
    reasoning_field: ReasoningField = ReasoningField.REASONING_CONTENT,
    strict: bool = False,
    empty_messages: bool = False,
) -> Translation:
    """The translation of a chat request with this body and nothing filled in."""
    request = ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), Body.of(body), added=frozenset(added))
    return translate(request, capabilities, reasoning_field, strict=strict, empty_messages=empty_messages)


#: What `ask` passes on to `asked`.
HOW = ("capabilities", "added", "reasoning_field", "strict", "empty_messages")


def ask(**fields: Any) -> Translation:
    """The translation of a chat request with these fields, and a model and a message unless given.

    `HOW` names what is no field but what `asked` takes.
    """
    how = {name: fields.pop(name) for name in HOW if name in fields}
    body = {"model": "gpt-5.1", **({} if "input" in fields else {"messages": HELLO}), **fields}
    return asked(body, **how)


def sent(**how: Any) -> dict[str, Any]:
    """What `ask` sends upstream, decoded."""
    decoded: dict[str, Any] = json.loads(ask(**how).body)
    return decoded


def items(*messages: Any, **how: Any) -> list[dict[str, Any]]:
    """The input items for these messages."""
    found: list[dict[str, Any]] = sent(messages=list(messages), **how)["input"]
    return found


def spec() -> dict[str, Any]:
    """The published API description.

    @raise SkipTest: it is not there.
    """
    path = SHARED / "spec" / "openai-api.json"
    if not path.exists():
        raise SkipTest("the published API description is not beside the checkout")
    return _read(path)


@cache
def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def properties(name: str) -> set[str]:
    """The names of a schema's properties, those of its parts too."""
    schema = spec()["components"]["schemas"][name]
    found = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        found |= properties(part["$ref"].rpartition("/")[2]) if "$ref" in part else set(part.get("properties", ()))
    return found


@cache
def validator(name: str) -> Draft202012Validator:
    """A validator for a schema of the published description."""
    components = _as_json_schema(spec()["components"])
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})


def off_schema(name: str, value: Any) -> list[str]:
    """What is wrong with `value` by the schema of that name."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator(name).iter_errors(value)]


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` as JSON Schema has it, and ``oneOf`` as ``anyOf``.

    The published unions overlap: a user's message with parts is an ``EasyInputMessage`` and an ``InputMessage``, so
    that by the letter it would be neither.
    """
    if isinstance(node, dict):
        out = {("anyOf" if key == "oneOf" else key): _as_json_schema(value) for key, value in node.items()}
        if out.pop("nullable", False) is True:
            return {"anyOf": [out, {"type": "null"}]}
        out.pop("discriminator", None)
        return out
    return [_as_json_schema(value) for value in node] if isinstance(node, list) else node
