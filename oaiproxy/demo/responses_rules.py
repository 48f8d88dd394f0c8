"""What the Responses API demands beyond the fields one by one: how items belong together, what a model takes.

These are the rules on which a translated chat request fails at the real API, so the demo judges by them.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oaiproxy.api.errors import ApiError, BadRequest, NotFound
from oaiproxy.demo.checks import missing, unsupported
from oaiproxy.demo.models import check_reasoning, check_sampling, kind_of
from oaiproxy.demo.responses_types import WEB_SEARCH
from oaiproxy.demo.schemas import check_answer_schema, check_function

Item = Mapping[str, Any]

#: Type of a call -> the type of its output, and the call in words.
_PAIRS = {
    "function_call": ("function_call_output", "function call"),
    "custom_tool_call": ("custom_tool_call_output", "custom tool call"),
}
_OUTPUTS = {output: (call, words) for call, (output, words) in _PAIRS.items()}


def kind_of_item(item: Item) -> str:
    """The type of an input item; one that does not say it is a reference where it has only an id, else a message."""
    kind: str = item.get("type") or ("item_reference" if item.keys() == {"id"} else "message")
    return kind


def check_pairs(items: Sequence[Item]) -> None:
    """See that each call has its output and each output its call, the call first.

    @raise BadRequest: one has not.
    """
    answered: dict[tuple[str, str], bool] = {}
    for item in items:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind in _PAIRS and isinstance(call_id, str):
            answered[kind, call_id] = False
        elif kind in _OUTPUTS and isinstance(call_id, str):
            call, words = _OUTPUTS[kind]
            if (call, call_id) not in answered:
                raise BadRequest(f"No tool call found for {words} output with call_id {call_id}.", param="input")
            answered[call, call_id] = True
    for (kind, call_id), done in answered.items():
        if not done:
            raise BadRequest(f"No tool output found for {_PAIRS[kind][1]} {call_id}.", param="input")


def check_ids(items: Sequence[Item], known: Iterable[str], stored: bool) -> None:
    """See that no item comes twice, and that reasoning is where it was made.

    @param items: the items of this request.
    @param known: the ids of the items that the API has stored.
    @param stored: the request says ``store``; otherwise its items were never kept.
    @raise ApiError: an id comes twice or names nothing, or a reasoning item with an id has nothing after it.
    """
    seen: set[str] = set()
    kept = set(known)
    for index, item in enumerate(items):
        item_id = item.get("id")
        if not isinstance(item_id, str):
            continue
        if item_id in seen:
            raise BadRequest(
                f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again.",
                param="input",
            )
        seen.add(item_id)
        kind = kind_of_item(item)
        alone = kind == "item_reference" or (kind == "reasoning" and item.get("encrypted_content") is None)
        if alone and item_id not in kept:
            hint = "" if stored else " Items are not persisted when `store` is set to false."
            raise NotFound(f"Item with id '{item_id}' not found.{hint}", param="input")
        if kind == "reasoning" and index + 1 == len(items):
            raise BadRequest(
                f"Item '{item_id}' of type 'reasoning' was provided without its required following item.", param="input"
            )


def encrypted(item_id: str) -> str:
    """What stands for the encrypted reasoning of an item: only the whole of it is taken back."""
    payload = b64encode(f"oaiproxy's demo upstream: the reasoning of {item_id}".encode()).decode().rstrip("=")
    return f"{payload}.{hashlib.sha256(payload.encode()).hexdigest()[:16]}"


def check_encrypted(items: Sequence[Item]) -> None:
    """See that reasoning comes back as the demo gave it.

    @raise BadRequest: it is not of the demo's making, or not whole.
    """
    for item in items:
        content = item.get("encrypted_content")
        if item.get("type") != "reasoning" or not isinstance(content, str):
            continue
        payload, _, checksum = content.rpartition(".")
        if hashlib.sha256(payload.encode()).hexdigest()[:16] != checksum:
            raise BadRequest(
                f"The encrypted content {content[:8]}... could not be verified.",
                param="input",
                code="invalid_encrypted_content",
            )


def check_model(request: Mapping[str, Any]) -> str | None:
    """See that the model takes what the request asks of it.

    @return: the effort it reasons with, or None where it does not reason.
    @raise BadRequest: it does not.
    """
    model: str = request["model"]
    reasoning: Mapping[str, Any] = request.get("reasoning") or {}
    asked = {f"reasoning.{name}": reasoning.get(name) for name in ("effort", "summary", "generate_summary")}
    effort = check_reasoning(model, asked, "reasoning.effort")
    sampling = {name: request.get(name) for name in ("temperature", "top_p")}
    check_sampling(model, sampling, effort is not None)
    include = request.get("include") or ()
    if "reasoning.encrypted_content" in include and not kind_of(model).reasons:
        raise BadRequest("Encrypted content is not supported with this model.", param="include")
    logprobs = "message.output_text.logprobs" in include or request.get("top_logprobs")
    if logprobs and effort is not None and not kind_of(model).always_sampling:
        raise unsupported("top_logprobs" if request.get("top_logprobs") else "include")
    searches = [tool["type"] for tool in request.get("tools") or () if tool["type"] in WEB_SEARCH]
    if effort == "minimal" and searches:
        raise BadRequest(
            f"The following tools cannot be used with reasoning.effort 'minimal': {searches[0]}.", param="tools"
        )
    return effort


def check_tools(request: Mapping[str, Any]) -> None:
    """See that functions have schemas the API takes, and that the tool choice names tools that are there.

    @raise BadRequest: they have not, or it does not.
    """
    tools: Sequence[Item] = request.get("tools") or ()
    for index, tool in enumerate(tools):
        if tool["type"] == "function":
            path = f"tools[{index}].parameters"
            check_function(tool["name"], tool.get("parameters"), tool.get("strict") is True, path)
    choice = request.get("tool_choice")
    if choice == "required" and not tools:
        raise BadRequest("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    if not isinstance(choice, dict):
        return
    there = {(tool["type"], tool.get("name")) for tool in tools}
    for named in choice["tools"] if choice["type"] == "allowed_tools" else [choice]:
        if named["type"] in ("function", "custom") and (named["type"], named["name"]) not in there:
            raise BadRequest(f"Tool choice '{named['name']}' not found in 'tools' parameter.", param="tool_choice")


def check_format(request: Mapping[str, Any], words: Iterable[str]) -> None:
    """See that the format of the answer is one the API takes.

    @param words: the texts of the input, one of which has to speak of JSON where plain JSON is asked for.
    @raise BadRequest: it is not.
    """
    form = (request.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        check_answer_schema(form["name"], form["schema"], form.get("strict") is True, "text.format.schema")
    if form.get("type") == "json_object" and not any("json" in text.lower() for text in words):
        raise BadRequest(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            param="input",
        )


def check_state(request: Mapping[str, Any]) -> None:
    """See that the request does not need what the demo has not: background work, conversations, stored prompts.

    @raise ApiError: it does, or it has nothing to answer.
    """
    for name in ("conversation", "prompt"):
        value = request.get(name)
        if value is not None:
            shown = value.get("id") if isinstance(value, dict) else value
            raise NotFound(f"{name.capitalize()} with id '{shown}' not found.", param=name)
    if request.get("background"):
        raise BadRequest(
            "oaiproxy's demo upstream does not run responses in the background. Leave out 'background'.",
            param="background",
            code="unsupported_parameter",
        )
    if request.get("input") is None:
        raise missing("input")


def previous_not_found(response_id: str) -> ApiError:
    """The error for a ``previous_response_id`` that names nothing."""
    return BadRequest(
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )
