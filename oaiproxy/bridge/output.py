"""What the answer may look like: its form, its length, and how wordy it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.checks import as_boolean, as_integer, as_object, as_string, member, missing, unsupported
from oaiproxy.bridge.draft import Draft
from oaiproxy.bridge.forms import form_names

#: The least that upstream takes as ``max_output_tokens`` (schema ``CreateResponse``).
MIN_OUTPUT_TOKENS = 16

#: The names of the limit, the one that wins first.
LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")

#: What is said to a model that has to write JSON where nothing else says it: upstream wants to read the word.
JSON_HINT = "Answer in JSON."

_INSTRUCTIONS = frozenset({"system", "developer"})
_FORMATS = form_names("response_format.type")


def translate_limit(draft: Draft) -> None:
    """Read the three names of the limit on tokens, and write ``max_output_tokens``.

    @raise BadRequest: one is no integer, or less than 1.
    """
    found = {name: limit for name in LIMITS if (limit := draft.read(name, as_integer)) is not None}
    for name, limit in found.items():
        if limit < 1:
            raise BadRequest(
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {limit} instead.",
                param=name,
                code="integer_below_min_value",
            )
    if not found:
        return
    winner, *others = found
    limit = found[winner]
    draft.max_tokens_field = winner
    for name in others:
        if found[name] != limit:
            draft.dropped(name, f"{winner} wins")
    if limit < MIN_OUTPUT_TOKENS:
        draft.notes.add(f"clamped {winner} to {MIN_OUTPUT_TOKENS}")
    draft.body["max_output_tokens"] = max(limit, MIN_OUTPUT_TOKENS)


def translate_format(draft: Draft) -> None:
    """Read ``response_format``, ``verbosity`` and ``text``, and write ``text``; the input items are there already.

    @raise BadRequest: one of them is of the wrong form.
    """
    text = dict(draft.read("text", as_object) or {})
    given = draft.read("response_format", as_object)
    verbosity = draft.read("verbosity", as_string) or None
    if verbosity is None and text.get("verbosity") is not None:
        verbosity = as_string(text["verbosity"], "text.verbosity")
    form = text.get("format")
    if given is not None:
        form = _format(given)
    elif form is not None:
        as_object(form, "text.format")
    made: dict[str, Any] = {"format": form, "verbosity": verbosity}
    made.update((key, value) for key, value in text.items() if key not in made)
    made = {key: value for key, value in made.items() if value is not None}
    if made:
        draft.body["text"] = made
    if given is not None and form is not None and form["type"] == "json_object":
        _say_json(draft)


def _format(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Responses' form of a ``response_format``; None for plain text, which needs no words."""
    kind = member(given, "type", "response_format")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise unsupported(kind, "response_format.type", _FORMATS)
    # nested as in Chat, or flat as in Responses
    nested = given.get("json_schema")
    if nested is None and "schema" not in given:
        raise missing("response_format.json_schema")
    param = "response_format" if nested is None else "response_format.json_schema"
    inner = given if nested is None else as_object(nested, param)
    form: dict[str, Any] = {"type": "json_schema", "name": member(inner, "name", param)}
    if inner.get("description") is not None:
        form["description"] = as_string(inner["description"], f"{param}.description")
    schema = inner.get("schema")
    # Chat lets a client leave it out, Responses does not
    form["schema"] = {"type": "object"} if schema is None else as_object(schema, f"{param}.schema")
    if inner.get("strict") is not None:
        form["strict"] = as_boolean(inner["strict"], f"{param}.strict")
    return form


def _say_json(draft: Draft) -> None:
    """Upstream refuses ``json_object`` unless the word stands in the input.  Where no instruction and no user says it,
    a hint is put behind the leading instructions: there it stays while the conversation grows."""
    if draft.given.get("messages") is None:
        return  # a Responses body is as its client wants it
    items = draft.body["input"]
    if any("json" in said.lower() for item in items for said in _said(item)):
        return
    head = 0
    while head < len(items) and items[head].get("role") in _INSTRUCTIONS:
        head += 1
    role = "developer" if draft.capabilities.reasoning else "system"
    items.insert(head, {"role": role, "content": JSON_HINT})


def _said(item: Mapping[str, Any]) -> list[str]:
    """The texts of an instruction or a user's message; what the model itself wrote does not count, as it may come and
    go with the turns."""
    if item.get("role") not in ("user", *_INSTRUCTIONS):
        return []
    content = item["content"]
    return [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]
