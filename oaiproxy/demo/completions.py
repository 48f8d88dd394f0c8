"""The legacy completions API of the demo (schema ``CreateCompletionRequest``): requests in, `Reply`s out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oaiproxy.api.request import decode_object
from oaiproxy.demo import chat_rules as rules
from oaiproxy.demo import directives, tokens
from oaiproxy.demo.answers import Answer, answer
from oaiproxy.demo.chat import FINGERPRINT, server_failed, usage_of
from oaiproxy.demo.chat_chunks import FAILURE
from oaiproxy.demo.chat_fields import stop
from oaiproxy.demo.checks import anything, array, boolean, fields, integer, nullable, number, string, wrong_type
from oaiproxy.demo.directives import Directives, Trouble
from oaiproxy.demo.question import Question, Received
from oaiproxy.demo.reply import DONE, Cut, Reply, Step, Wait, data_event, halfway, stream, whole
from oaiproxy.demo.world import World


def _prompt(value: Any, path: str) -> None:
    """Takes a text, token numbers, or an array of either."""
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong_type(path, "one of a string or array", value)
    for index, item in enumerate(value):
        if isinstance(item, list):
            array(integer(least=0), least=1)(item, f"{path}[{index}]")
        elif not isinstance(item, str) and (not isinstance(item, int) or isinstance(item, bool)):
            raise wrong_type(f"{path}[{index}]", "one of a string, integer or array of integers", item)


_CREATE_COMPLETION = {
    "best_of": nullable(integer(least=0, most=20)),
    "echo": nullable(boolean),
    "frequency_penalty": nullable(number(-2, 2)),
    "logit_bias": nullable(anything),
    "logprobs": nullable(integer(least=0, most=5)),
    "max_tokens": nullable(integer(least=0)),
    "model": string(least=1),
    "n": nullable(integer(least=1, most=128)),
    "presence_penalty": nullable(number(-2, 2)),
    "prompt": nullable(_prompt),
    "seed": nullable(integer()),
    "stop": nullable(stop),
    "stream": nullable(boolean),
    "stream_options": nullable(fields({"include_usage": nullable(boolean), "include_obfuscation": nullable(boolean)})),
    "suffix": nullable(string()),
    "temperature": nullable(number(0, 2)),
    "top_p": nullable(number(0, 1)),
    "user": nullable(string()),
}
_check = fields(_CREATE_COMPLETION, "model", "prompt")


def create(body: bytes, world: World) -> Reply:
    """Answer ``POST /v1/completions``.

    @raise ApiError: the API does not take the request, or its text asks for an error.
    """
    request = decode_object(body)
    rules.check_known(request, _CREATE_COMPLETION)
    _check(request, "")
    rules.check_options(request)
    prompts = _prompts(request["prompt"])
    asked = directives.parse(prompts[-1], "prompt")
    answers = [answer(_question(request, prompt, asked)) for prompt in prompts]
    count = request.get("n") or 1
    said = [(prompt, one) for prompt, one in zip(prompts, answers, strict=True) for _ in range(count)]
    completion = {
        "id": world.new_id("cmpl-"),
        "object": "text_completion",
        "created": world.now(),
        "model": request["model"],
        "system_fingerprint": FINGERPRINT,
        "choices": [_choice(index, request, prompt, one) for index, (prompt, one) in enumerate(said)],
        "usage": _sum([usage_of(one, count) for one in answers]),
    }
    if request.get("stream"):
        options = request.get("stream_options") or {}
        return stream(_steps(completion, bool(options.get("include_usage")), asked), asked)
    if asked.trouble is Trouble.FAIL:
        raise server_failed()
    return whole(completion, asked)


def _prompts(value: Any) -> list[str]:
    """The prompts; token numbers are shown as such, as the demo knows no vocabulary."""
    if not isinstance(value, list):
        return [value or ""]
    if value and all(isinstance(item, int) for item in value):
        return [_numbers(value)]
    return [item if isinstance(item, str) else _numbers(item) for item in value] or [""]


def _numbers(value: Sequence[int] | int) -> str:
    return " ".join(map(str, value)) if not isinstance(value, int) else str(value)


def _question(request: Mapping[str, Any], prompt: str, asked: Directives) -> Question:
    stops = request.get("stop") or ()
    limit = request.get("max_tokens")
    return Question(
        model=request["model"],
        text=prompt,
        received=Received(messages=1),
        input_tokens=tokens.count([prompt]),
        directives=asked,
        # the default of this API, unless the text asks for a number of words
        limit=limit if limit is not None or asked.tokens is not None else 16,
        stop=(stops,) if isinstance(stops, str) else tuple(stops),
    )


def _choice(index: int, request: Mapping[str, Any], prompt: str, said: Answer) -> dict[str, Any]:
    text = "".join(getattr(part, "text", "") for part in said.parts)
    if request.get("echo"):
        text = prompt + text
    logprobs = None if request.get("logprobs") is None else _logprobs(text, request["logprobs"])
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": "stop" if said.complete else "length",
    }


def _logprobs(text: str, alternatives: int) -> dict[str, Any]:
    entries: list[Any] = tokens.logprobs(text, alternatives)
    offsets, at = [], 0
    for entry in entries:
        offsets.append(at)
        at += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [{top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in entries],
        "text_offset": offsets,
    }


def _sum(usages: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: sum(usage[name] for usage in usages) for name in names}


def _steps(completion: Mapping[str, Any], include_usage: bool, asked: Directives) -> Iterator[Step]:
    middle: list[dict[str, Any] | Step] = [Wait(asked.stall)] if asked.stall else []
    if asked.trouble is Trouble.CUT:
        middle.append(Cut())
    elif asked.trouble is Trouble.FAIL:
        middle.append(data_event(FAILURE))
    told = halfway(lambda: _chunks(completion, include_usage), _is_delta, middle, resume=asked.trouble is None)
    for step in told:
        yield data_event(step) if isinstance(step, dict) else step
    if asked.trouble is None:
        yield DONE


def _is_delta(chunk: Mapping[str, Any]) -> bool:
    return any(choice["finish_reason"] is None for choice in chunk["choices"])


def _chunks(completion: Mapping[str, Any], include_usage: bool) -> Iterator[dict[str, Any]]:
    frame = dict(completion)
    usage = frame.pop("usage")
    if include_usage:
        frame["usage"] = None
    for choice in completion["choices"]:
        for token in tokens.split(choice["text"]):
            yield {**frame, "choices": [{**choice, "text": token, "logprobs": None, "finish_reason": None}]}
        yield {**frame, "choices": [{**choice, "text": ""}]}
    if include_usage:
        yield {**frame, "choices": [], "usage": usage}
