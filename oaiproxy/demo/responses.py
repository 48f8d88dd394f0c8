"""The Responses API of the demo: requests in, `Reply`s out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.api.errors import ApiError, NotFound
from oaiproxy.api.request import decode_object
from oaiproxy.demo import responses_rules as rules
from oaiproxy.demo import tokens
from oaiproxy.demo.answers import PAGE, Answer, Call, Refusal, Search, Text, Thought, answer
from oaiproxy.demo.checks import fields
from oaiproxy.demo.directives import Trouble
from oaiproxy.demo.reply import Reply, stream, typed_event, whole
from oaiproxy.demo.responses_events import FAILURE, events
from oaiproxy.demo.responses_fields import CREATE_RESPONSE, UNPUBLISHED
from oaiproxy.demo.responses_question import input_items, read, texts
from oaiproxy.demo.world import StoredResponse, World

_check = fields({**CREATE_RESPONSE, **UNPUBLISHED}, "model")

#: Fields of a Response that say back what was asked, and what they are where nothing was.
_ECHOED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "metadata": {},
}


def create(body: bytes, world: World) -> Reply:
    """Answer ``POST /v1/responses``.

    @raise ApiError: the API does not take the request, or its text asks for an error.
    """
    request = decode_object(body)
    _check(request, "")
    rules.check_state(request)
    items = input_items(request["input"])
    earlier = _earlier(request, world)
    stored = request.get("store") is not False
    effort = rules.check_model(request)
    rules.check_tools(request)
    rules.check_encrypted(items)
    rules.check_ids(items, _known_ids(world), stored)
    conversation = [*earlier, *items]
    rules.check_pairs(conversation)
    rules.check_format(request, [text for item in conversation for text in texts(item)])
    question = read(request, conversation, effort)
    response = _response(request, answer(question), effort, world)
    asked = question.directives
    if asked.trouble is Trouble.FAIL and not request.get("stream"):
        return whole({**response, "status": "failed", "error": FAILURE, "output": [], "completed_at": None}, asked)
    if stored and asked.trouble is None:
        kept = StoredResponse(response, (*conversation, *response["output"]))
        world.responses.put(response["id"], kept, len(body) + 1000 + 16 * response["usage"]["output_tokens"])
    if not request.get("stream"):
        return whole(response, asked)
    told = events(response, asked)
    return stream((typed_event(event) if isinstance(event, dict) else event for event in told), asked)


def retrieve(response_id: str, world: World) -> Reply:
    """Answer ``GET /v1/responses/{id}``.

    @raise NotFound: no such response is stored.
    """
    stored = world.responses.get(response_id)
    if stored is None:
        raise _no_response(response_id)
    return whole(stored.response)


def delete(response_id: str, world: World) -> Reply:
    """Answer ``DELETE /v1/responses/{id}``.

    @raise NotFound: no such response is stored.
    """
    if not world.responses.drop(response_id):
        raise _no_response(response_id)
    return whole({"id": response_id, "object": "response", "deleted": True})


def _no_response(response_id: str) -> ApiError:
    return NotFound(f"Response with id '{response_id}' not found.")


def _earlier(request: Mapping[str, Any], world: World) -> tuple[Mapping[str, Any], ...]:
    """The conversation that the request goes on with."""
    previous = request.get("previous_response_id")
    if previous is None:
        return ()
    stored = world.responses.get(previous)
    if stored is None:
        raise rules.previous_not_found(previous)
    return stored.items


def _known_ids(world: World) -> set[str]:
    return {item["id"] for stored in world.responses.values() for item in stored.response["output"]}


def _response(request: Mapping[str, Any], said: Answer, effort: str | None, world: World) -> dict[str, Any]:
    """The Response object (schema ``Response``) as it is in the end."""
    now = world.now()
    asked = {name: default if request.get(name) is None else request[name] for name, default in _ECHOED.items()}
    text = request.get("text") or {}
    reasoning = request.get("reasoning") or {}
    usage = said.usage
    user = {"user": request["user"]} if request.get("user") is not None else {}
    return {
        "id": world.new_id("resp_"),
        "object": "response",
        "created_at": now,
        "status": "completed" if said.complete else "incomplete",
        **asked,
        **user,
        "completed_at": now if said.complete else None,
        "error": None,
        "incomplete_details": None if said.complete else {"reason": "max_output_tokens"},
        "model": request["model"],
        "output": _output(request, said, world),
        "reasoning": {"effort": effort or reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tools": [_echoed_tool(tool) for tool in request.get("tools") or ()],
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        },
    }


def _echoed_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if tool["type"] != "function":
        return tool
    # strict is what the API makes of a tool that says nothing about it
    strict = tool.get("strict") is not False
    return {**tool, "parameters": tool.get("parameters"), "strict": strict}


def _output(request: Mapping[str, Any], said: Answer, world: World) -> list[dict[str, Any]]:
    include = request.get("include") or ()
    items: list[dict[str, Any]] = []
    for part in said.parts:
        if isinstance(part, Thought):
            items.append(_thought_item(part, world.new_id("rs_"), "reasoning.encrypted_content" in include))
        elif isinstance(part, Search):
            sources = [{"type": "url", "url": PAGE}] if "web_search_call.action.sources" in include else None
            action = {"type": "search", "query": part.query, "queries": [part.query]}
            items.append(
                {
                    "id": world.new_id("ws_"),
                    "type": "web_search_call",
                    "status": "completed",
                    "action": {**action, "sources": sources} if sources else action,
                }
            )
        elif isinstance(part, Call):
            items.append(_call_item(part, world))
        else:
            wanted = "message.output_text.logprobs" in include
            alternatives = (request.get("top_logprobs") or 0) if wanted else None
            items.append(_message_item(part, world.new_id("msg_"), alternatives))
    return items


def _thought_item(part: Thought, item_id: str, encrypted: bool) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in part.summary]
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": summary}
    return {**item, "encrypted_content": rules.encrypted(item_id)} if encrypted else item


def _call_item(part: Call, world: World) -> dict[str, Any]:
    kind, prefix, field = (
        ("custom_tool_call", "ctc_", "input") if part.custom else ("function_call", "fc_", "arguments")
    )
    return {
        "id": world.new_id(prefix),
        "type": kind,
        "status": "completed" if part.whole else "incomplete",
        "call_id": world.new_id("call_"),
        "name": part.name,
        field: part.arguments,
    }


def _message_item(part: Text | Refusal, item_id: str, alternatives: int | None) -> dict[str, Any]:
    """A message item.

    @param alternatives: how many likely tokens each log probability comes with, or None for no log probabilities.
    """
    content: dict[str, Any]
    if isinstance(part, Refusal):
        content = {"type": "refusal", "refusal": part.text}
    else:
        content = {
            "type": "output_text",
            "annotations": [
                {"type": "url_citation", "start_index": c.start, "end_index": c.end, "url": c.url, "title": c.title}
                for c in part.citations
            ],
            "logprobs": [] if alternatives is None else tokens.logprobs(part.text, alternatives),
            "text": part.text,
        }
    item = {
        "id": item_id,
        "type": "message",
        "status": "completed" if part.whole else "incomplete",
        "content": [content],
        "role": "assistant",
    }
    return {**item, "phase": "commentary"} if isinstance(part, Text) and part.preamble else item
