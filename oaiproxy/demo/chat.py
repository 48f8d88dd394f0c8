"""The chat API of the demo: requests in, `Reply`s out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import decode_object
from oaiproxy.demo import chat_rules as rules
from oaiproxy.demo import tokens
from oaiproxy.demo.answers import Answer, Call, Refusal, Text, answer
from oaiproxy.demo.chat_chunks import FAILURE, stream_steps
from oaiproxy.demo.chat_fields import CREATE_CHAT_COMPLETION
from oaiproxy.demo.chat_question import read, texts
from oaiproxy.demo.checks import fields
from oaiproxy.demo.directives import Trouble
from oaiproxy.demo.reply import Reply, stream, whole
from oaiproxy.demo.world import World

_check = fields(CREATE_CHAT_COMPLETION, "model", "messages")

#: What stands for the version of the model; an old field that some clients insist on.
FINGERPRINT = "fp_oaiproxy_demo"


def create(body: bytes, world: World) -> Reply:
    """Answer ``POST /v1/chat/completions``.

    @raise ApiError: the API does not take the request, or its text asks for an error.
    """
    request = decode_object(body)
    rules.check_known(request, CREATE_CHAT_COMPLETION)
    rules.check_limit(request)
    _check(request, "")
    rules.check_options(request)
    effort = rules.check_model(request)
    rules.check_tools(request)
    rules.check_turns(request["messages"])
    rules.check_format(request, [text for message in request["messages"] for text in texts(message)])
    question = read(request, effort)
    asked = question.directives
    completion = _completion(request, answer(question), world)
    if request.get("stream"):
        options = request.get("stream_options") or {}
        return stream(stream_steps(completion, bool(options.get("include_usage")), asked), asked)
    if asked.trouble is Trouble.FAIL:
        raise server_failed()
    return whole(completion, asked)


def server_failed() -> ApiError:
    """The error of a request that fails while it is being answered, before anything was sent."""
    failure = FAILURE["error"]
    return ApiError(str(failure["message"]), status=500, type=failure["type"], code=failure["code"])


def usage_of(said: Answer, times: int = 1) -> dict[str, Any]:
    """The usage of an answer that is given some times (schema ``CompletionUsage``)."""
    usage = said.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output * times,
        "total_tokens": usage.input + usage.output * times,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning * times,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _completion(request: Mapping[str, Any], said: Answer, world: World) -> dict[str, Any]:
    """The chat completion (schema ``CreateChatCompletionResponse``)."""
    count = request.get("n") or 1
    completion: dict[str, Any] = {
        "id": world.new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": world.now(),
        "model": request["model"],
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        "choices": [_choice(index, request, said, world) for index in range(count)],
        "usage": usage_of(said, count),
    }
    if request.get("metadata"):
        completion["metadata"] = request["metadata"]
    return completion


def _choice(index: int, request: Mapping[str, Any], said: Answer, world: World) -> dict[str, Any]:
    message = _message(said, bool(request.get("functions")), world)
    logprobs = None
    if request.get("logprobs") and message["content"] is not None:
        content = tokens.logprobs(message["content"], request.get("top_logprobs") or 0)
        logprobs = {"content": content, "refusal": None}
    called = next((name for name in ("tool_calls", "function_call") if name in message), None)
    finish = (called or "stop") if said.complete else "length"
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _message(said: Answer, legacy: bool, world: World) -> dict[str, Any]:
    """The assistant's message (schema ``ChatCompletionResponseMessage``).

    @param legacy: the client speaks ``functions``, so a call comes as ``function_call``.
    """
    spoken = [part for part in said.parts if isinstance(part, Text)]
    refusals = [part.text for part in said.parts if isinstance(part, Refusal)]
    calls = [part for part in said.parts if isinstance(part, Call)]
    content = "".join(part.text for part in spoken)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if (calls or refusals) and not spoken else content,
        "refusal": refusals[0] if refusals else None,
        "annotations": [
            {
                "type": "url_citation",
                "url_citation": {"start_index": c.start, "end_index": c.end, "url": c.url, "title": c.title},
            }
            for part in spoken
            for c in part.citations
        ],
    }
    if calls and legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [_tool_call(call, world) for call in calls]
    return message


def _tool_call(call: Call, world: World) -> dict[str, Any]:
    kind, field = ("custom", "input") if call.custom else ("function", "arguments")
    return {"id": world.new_id("call_"), "type": kind, kind: {"name": call.name, field: call.arguments}}
