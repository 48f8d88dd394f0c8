"""What the API demands of JSON schemas: those of functions, and those that an answer has to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.demo.checks import string
from oaiproxy.demo.common_fields import FUNCTION_NAME

#: The name of a schema in ``response_format`` or ``text.format``.
SCHEMA_NAME = string(least=1, most=64, pattern=FUNCTION_NAME)

Fail = Callable[[str], BadRequest]


def check_function(name: str, parameters: object, strict: bool, path: str) -> None:
    """See that a function's parameters are an object schema, and one that strict mode takes where `strict` is said.

    @param path: where the schema is in the request.
    @raise BadRequest: they are not.
    """

    def fail(reason: str) -> BadRequest:
        return BadRequest(
            f"Invalid schema for function '{name}': {reason}", param=path, code="invalid_function_parameters"
        )

    if not isinstance(parameters, Mapping):
        # a function without parameters has an object without properties
        parameters = {"type": "object"}
    if parameters.get("type", "object") != "object":
        raise fail(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{parameters['type']}\"'.")
    if strict:
        _check_strict(parameters, (), fail)


def check_answer_schema(name: str, schema: object, strict: bool, path: str) -> None:
    """See that the schema of an answer is one that strict mode takes where `strict` is said.

    @param path: where the schema is in the request.
    @raise BadRequest: it is not.
    """

    def fail(reason: str) -> BadRequest:
        return BadRequest(
            f"Invalid schema for response_format '{name}': {reason}", param=path, code="invalid_json_schema"
        )

    if strict:
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise fail("schema must be a JSON Schema of 'type: \"object\"'.")
        _check_strict(schema, (), fail)


def _check_strict(schema: Any, context: tuple[str, ...], fail: Fail) -> None:
    """Strict mode: an object names all its properties, requires them all, and allows no others."""
    if not isinstance(schema, Mapping) or len(context) > 100:
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        names = list(properties) if isinstance(properties, Mapping) else []
        if schema.get("additionalProperties") is not False:
            raise fail(f"In context={context}, 'additionalProperties' is required to be supplied and to be false.")
        required = schema.get("required")
        absent = [name for name in names if not isinstance(required, list) or name not in required]
        if absent:
            raise fail(
                f"In context={context}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{absent[0]}'."
            )
        for name in names:
            _check_strict(properties[name], (*context, "properties", name), fail)  # type: ignore[index]
    _check_strict(schema.get("items"), (*context, "items"), fail)
    for keyword in ("anyOf", "allOf", "oneOf"):
        branches = schema.get(keyword)
        for index, branch in enumerate(branches if isinstance(branches, list) else ()):
            _check_strict(branch, (*context, keyword, str(index)), fail)
    for keyword in ("$defs", "definitions"):
        defined = schema.get(keyword)
        for name, definition in (defined if isinstance(defined, Mapping) else {}).items():
            _check_strict(definition, (*context, keyword, name), fail)
