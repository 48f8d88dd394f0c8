"""What the chat API demands beyond the fields one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.demo.models import check_reasoning, check_sampling, kind_of
from oaiproxy.demo.schemas import check_answer_schema, check_function

Message = Mapping[str, Any]

#: Parameter -> the value that a reasoning model takes all the same, as it changes nothing.
_SAMPLING: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
}


def check_known(request: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """See that the API knows all fields of a request.

    @raise BadRequest: it does not; this API says it in words of its own, without naming the parameter elsewhere.
    """
    for name in request:
        if name not in known:
            raise BadRequest(f"Unrecognized request argument supplied: {name}")


def check_limit(request: Mapping[str, Any]) -> None:
    """See that a reasoning model is not given the old limit; the API looks at this before it looks at values.

    @raise BadRequest: it is.
    """
    model = request.get("model")
    if isinstance(model, str) and kind_of(model).by_default and request.get("max_tokens") is not None:
        raise BadRequest(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )


def check_model(request: Mapping[str, Any]) -> str | None:
    """See that the model takes what the request asks of it.

    @return: the effort it reasons with, or None where it does not reason.
    @raise BadRequest: it does not.
    """
    model: str = request["model"]
    effort = check_reasoning(model, {"reasoning_effort": request.get("reasoning_effort")}, "reasoning_effort")
    given = {name: request.get(name) for name, neutral in _SAMPLING.items() if request.get(name) != neutral}
    check_sampling(model, given, effort is not None)
    return effort


def check_options(request: Mapping[str, Any]) -> None:
    """See that options come with what they are options of.

    @raise BadRequest: they do not, or the demo cannot do it.
    """
    if request.get("stream_options") is not None and not request.get("stream"):
        raise BadRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if request.get("max_tokens") is not None and request.get("max_completion_tokens") is not None:
        raise BadRequest(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", param="max_tokens"
        )
    if request.get("top_logprobs") is not None and not request.get("logprobs"):
        raise BadRequest(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs"
        )
    if "audio" in (request.get("modalities") or ()):
        raise BadRequest(
            "oaiproxy's demo upstream answers in text only. Leave out 'audio' from 'modalities'.", param="modalities"
        )


def check_tools(request: Mapping[str, Any]) -> None:
    """See that functions have schemas the API takes, and that the choice among tools is one of those that are there.

    @raise BadRequest: they have not, or it is not.
    """
    tools: Sequence[Mapping[str, Any]] = request.get("tools") or ()
    for name in ("tool_choice", "parallel_tool_calls"):
        if request.get(name) is not None and not tools:
            raise BadRequest(
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", param=name
            )
    if request.get("function_call") is not None and not request.get("functions"):
        raise BadRequest(
            "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are specified.",
            param="function_call",
        )
    for index, tool in enumerate(tools):
        if tool["type"] == "function":
            function = tool["function"]
            path = f"tools[{index}].function.parameters"
            check_function(function["name"], function.get("parameters"), function.get("strict") is True, path)
    for index, function in enumerate(request.get("functions") or ()):
        check_function(function["name"], function.get("parameters"), False, f"functions[{index}].parameters")
    choice = request.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] != "allowed_tools":
        kind = choice["type"]
        if choice[kind]["name"] not in [tool[kind]["name"] for tool in tools if tool["type"] == kind]:
            raise BadRequest(
                f"Tool choice '{choice[kind]['name']}' not found in 'tools' parameter.", param="tool_choice"
            )


def check_turns(messages: Sequence[Message]) -> None:
    """See that tool calls are answered at once, each by its id, and that nothing else is.

    @raise BadRequest: they are not.
    """
    waiting: dict[str, bool] = {}
    for index, message in enumerate(messages):
        path = f"messages[{index}].role"
        if message["role"] == "tool":
            if not waiting:
                raise BadRequest(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    param=path,
                )
            if message["tool_call_id"] not in waiting:
                raise BadRequest(
                    f"Invalid parameter: 'tool_call_id' of '{message['tool_call_id']}' not found in 'tool_calls' of "
                    "previous message.",
                    param=f"messages[{index}].tool_call_id",
                )
            waiting[message["tool_call_id"]] = True
            continue
        _check_answered(waiting, path)
        waiting = {call["id"]: False for call in message.get("tool_calls") or ()}
    _check_answered(waiting, f"messages[{len(messages)}].role")


def _check_answered(waiting: Mapping[str, bool], path: str) -> None:
    absent = [call_id for call_id, answered in waiting.items() if not answered]
    if absent:
        raise BadRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(absent)}",
            param=path,
        )


def check_format(request: Mapping[str, Any], words: Sequence[str]) -> None:
    """See that the format of the answer is one the API takes.

    @param words: the texts of the messages, one of which has to speak of JSON where plain JSON is asked for.
    @raise BadRequest: it is not.
    """
    form = request.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"]
        check_answer_schema(schema["name"], schema.get("schema"), schema.get("strict") is True, "response_format")
    if form.get("type") == "json_object" and not any("json" in text.lower() for text in words):
        raise BadRequest(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            param="messages",
        )
