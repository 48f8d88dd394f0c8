"""What the demo's tests share: requests as values, and the published schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import SkipTest

import msgspec

from oaiproxy.api.errors import ApiError
from oaiproxy.demo.multipart import MultipartReader
from oaiproxy.demo.reply import Reply, failed
from oaiproxy.demo.resources import Incoming, route
from oaiproxy.demo.world import World

#: The published schema: beside the checkout, and not part of it.
SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "spec" / "openai-api.json"

#: The time in these tests, in seconds since the epoch.
NOW = 1_700_000_000


class Demo:
    """The demo without HTTP."""

    def __init__(self) -> None:
        self.world = World(lambda: NOW + 0.5)

    def reply(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Reply:
        """The reply to a request; an error is one, too."""
        segments = tuple(path.split("?")[0].strip("/").split("/"))

        def form() -> list[Any]:
            reader = MultipartReader.of(content_type)
            reader.feed(body)
            return reader.close()

        try:
            handler, name = route(method, path, segments)
            return handler(Incoming(name, lambda: body, form), self.world)
        except ApiError as error:
            return failed(error)

    def post(self, path: str, **fields: Any) -> Any:
        """The JSON that a POST is answered with; its status has to be 200."""
        reply = self.reply("POST", path, json.dumps(fields).encode())
        value = json.loads(sent(reply))
        assert reply.status == 200, value
        return value

    def error(self, path: str, **fields: Any) -> dict[str, Any]:
        """The error that a POST is answered with, and its status beside it."""
        reply = self.reply("POST", path, json.dumps(fields).encode())
        assert reply.status != 200, sent(reply)
        return {"status": reply.status, **json.loads(sent(reply))["error"]}

    def respond(self, input: Any = "Hello", model: str = "gpt-4o", **fields: Any) -> Any:
        """The Response to an input."""
        return self.post("/v1/responses", input=input, model=model, **fields)

    def events(self, input: Any = "Hello", model: str = "gpt-4o", **fields: Any) -> list[Any]:
        """The events of a Response's stream; steps that send nothing are among them."""
        fields = {"input": input, "model": model, "stream": True, **fields}
        reply = self.reply("POST", "/v1/responses", json.dumps(fields).encode())
        assert reply.status == 200, sent(reply)
        return list(_decoded(reply))

    def chat(self, text: str = "Hello", model: str = "gpt-4o", **fields: Any) -> Any:
        """The completion that a message is answered with."""
        fields.setdefault("messages", [{"role": "user", "content": text}])
        return self.post("/v1/chat/completions", model=model, **fields)

    def chunks(self, text: str = "Hello", model: str = "gpt-4o", **fields: Any) -> list[Any]:
        """The chunks of a completion's stream; ``"[DONE]"`` and steps that send nothing are among them."""
        fields = {"messages": [{"role": "user", "content": text}], "model": model, "stream": True, **fields}
        reply = self.reply("POST", "/v1/chat/completions", json.dumps(fields).encode())
        assert reply.status == 200, sent(reply)
        return list(_decoded(reply))


def sent(reply: Reply) -> bytes:
    """All bytes of a reply."""
    return b"".join(step for step in reply.steps if isinstance(step, bytes))


def sent_json(reply: Reply) -> Any:
    """The JSON value of a reply."""
    return json.loads(sent(reply))


def _decoded(reply: Reply) -> Iterator[Any]:
    for step in reply.steps:
        if not isinstance(step, bytes):
            yield step
            continue
        lines = step.decode().removesuffix("\n\n").split("\n")
        data = lines[-1].removeprefix("data: ")
        value: Any = data if data == "[DONE]" else json.loads(data)
        if len(lines) == 2:
            assert lines[0] == f"event: {value['type']}", lines
        yield value


def text_of(response: Any) -> str:
    """The text of a Response."""
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts)


def function(name: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    """A function tool of the Responses API."""
    return {"type": "function", "name": name, "parameters": parameters, **more}


def chat_function(name: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    """A function tool of the chat API."""
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


#: A schema with something of everything.
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "places": {"type": "array", "items": {"$ref": "#/$defs/place"}, "minItems": 2},
    },
    "required": ["city", "places"],
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "near": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]}},
            "required": ["lat", "near"],
            "additionalProperties": False,
        }
    },
}


@cache
def _spec() -> Any:
    if not SPEC.exists():
        raise SkipTest(f"the published schema is not at {SPEC}")
    return _without_dialect(msgspec.json.decode(SPEC.read_bytes()))


def _without_dialect(schema: Any) -> Any:
    """OpenAPI 3.0's way to say null, in JSON Schema's."""
    if isinstance(schema, list):
        return [_without_dialect(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_dialect(value) for name, value in schema.items() if name != "discriminator"}
    if plain.get("nullable") is True:
        del plain["nullable"]
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    spec = _spec()
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": spec["components"]})


@cache
def _event_schemas() -> dict[str, str]:
    """Type of an event -> the name of its schema."""
    schemas = _spec()["components"]["schemas"]
    names = [branch["$ref"].rpartition("/")[2] for branch in schemas["ResponseStreamEvent"]["anyOf"]]
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}


def check_schema(name: str, value: Any) -> None:
    """See that a value is what the published schema says; skips the test where that is not there."""
    error = next(_validator(name).iter_errors(value), None)
    if error is not None:
        from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

        best = best_match(_validator(name).iter_errors(value))
        raise AssertionError(f"not a {name}: {best.json_path}: {best.message[:500]}")


def check_event(event: Any) -> None:
    """See that an event is one of those in the published schema, and as it says there."""
    check_schema(_event_schemas()[event["type"]], event)


def schema_fields(name: str) -> set[str]:
    """The fields of an object in the published schema."""
    schemas = _spec()["components"]["schemas"]

    def fields(schema: Any) -> Iterator[str]:
        if "$ref" in schema:
            yield from fields(schemas[schema["$ref"].rpartition("/")[2]])
        for part in schema.get("allOf", ()):
            yield from fields(part)
        yield from schema.get("properties", ())

    return set(fields(schemas[name]))


def fed_in_pieces(feed: Callable[[bytes], object], data: bytes, size: int) -> None:
    """Feed bytes some at a time."""
    for start in range(0, len(data), size):
        feed(data[start : start + size])
