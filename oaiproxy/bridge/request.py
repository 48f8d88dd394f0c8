"""A Chat Completions request becomes a Responses request.

`translate` runs a list of steps over a draft.  Each step names the client's fields that it reads; what no step reads is
handled as the table in `oaiproxy.bridge.fields` says: carried as it is, or left out with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ApiRequest
from oaiproxy.bridge.checks import (
    as_array,
    as_boolean,
    as_integer,
    as_object,
    as_string,
    missing,
    wrong_type,
)
from oaiproxy.bridge.draft import Draft
from oaiproxy.bridge.fields import KNOWN_FIELDS, Fate
from oaiproxy.bridge.forms import form_names
from oaiproxy.bridge.hybrid import speaks_chat
from oaiproxy.bridge.messages import History, input_items
from oaiproxy.bridge.names import MAX_ID, digest
from oaiproxy.bridge.notes import excused, too_lossy
from oaiproxy.bridge.output import translate_format, translate_limit
from oaiproxy.bridge.plan import AnswerPlan, Translation
from oaiproxy.bridge.reasoning import translate_reasoning, translate_sampling
from oaiproxy.bridge.tool_choice import translate_tool_choice
from oaiproxy.bridge.tools import translate_tools

if TYPE_CHECKING:
    from oaiproxy.models import Capabilities

#: The order of the fields in the translated body.  What grows with the conversation comes last, so that two turns of
#: one conversation differ only at the end of their bytes.
ORDER = (
    "model",
    "instructions",
    "prompt",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_tool_calls",
    "text",
    "reasoning",
    "temperature",
    "top_p",
    "top_logprobs",
    "max_output_tokens",
    "include",
    "metadata",
    "moderation",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "truncation",
    "context_management",
    "store",
    "stream",
    "stream_options",
    "conversation",
    "previous_response_id",
    "input",
)

#: The translated body: its fields in that order, without those that have no value.
_Request = msgspec.defstruct("_Request", [(name, Any, msgspec.UNSET) for name in ORDER])

_encode = msgspec.json.Encoder().encode


def translate(
    request: ApiRequest,
    capabilities: Capabilities,
    reasoning_field: ReasoningField = ReasoningField.REASONING_CONTENT,
    *,
    strict: bool = False,
    empty_messages: bool = False,
    created: int = 0,
    kept: Mapping[int, Sequence[dict[str, Any]]] | None = None,
) -> Translation:
    """Translate a chat request.

    @param request: the request after its transforms have run: its model is no alias any more, and the proxy's defaults
        are in its body (``reasoning`` as ``{"effort", "summary"}``, ``web_search`` among the ``tools``) and named in
        its ``added``.
    @param capabilities: what its model can do.
    @param reasoning_field: where the answer shows reasoning summaries.
    @param strict: refuse the request rather than leave something out of it that the client asked for, be it here or in
        a transform.
    @param empty_messages: leave out messages without content rather than refuse them as Chat does.
    @param created: Unix time in seconds, for an answer whose upstream does not say it.
    @param kept: the indexes of assistant messages -> the items that go back in their place (see
        `oaiproxy.bridge.continuity`).  None where no turns are kept: then upstream is not asked for what makes that
        possible.
    @return: the body for ``POST /v1/responses``, the plan for the answer, and the translation's own notes (those of
        the request itself are not repeated).
    @raise BadRequest: the request cannot be translated; ``param`` names the field in the client's words.
    """
    draft = Draft(request.json, request.added, capabilities, reasoning_field, leave_out=request.leave_out)
    draft.empty_messages, draft.kept = empty_messages, kept
    try:
        for run in _steps(READ_BY_STEPS.intersection(draft.given)):
            run(draft)
        _by_table(draft)
        body = _encode(_Request(**draft.body))
    except (RecursionError, UnicodeError, OverflowError):
        # what a decoded body cannot hold, and a body made by a transform can
        raise BadRequest("The request holds a value that JSON cannot carry.", code="invalid_value") from None
    notes = draft.notes.all()
    if notes and request.demanded:
        notes = excused(notes, request.demanded)
    if strict and (error := too_lossy((*request.notes, *notes))) is not None:
        raise error
    return Translation(body, _plan(draft, created), notes)


def _plan(draft: Draft, created: int) -> AnswerPlan:
    return AnswerPlan(
        stream=draft.stream,
        include_usage=draft.include_usage,
        legacy_functions=draft.legacy_functions,
        functions=draft.functions,
        custom_tools=draft.custom_tools,
        hosted_tools=draft.hosted_tools,
        names=dict(draft.names.reverse),
        logprobs=draft.logprobs,
        stop=draft.stop,
        choices=draft.choices,
        reasoning_field=draft.reasoning_field,
        max_tokens_field=draft.max_tokens_field,
        model=draft.body["model"],
        created=created,
    )


# ---------------------------------------------------------------- fields that the table alone decides


def _by_table(draft: Draft) -> None:
    """Carry or drop every field that no step has read."""
    for name in [name for name in draft.given if name not in READ_BY_STEPS]:
        value = draft.given[name]
        if value is None:
            continue
        known = KNOWN_FIELDS.get(name)
        if known is None:
            if name not in draft.added:
                draft.notes.unknown(name)
        elif known.fate is Fate.CARRIED:
            draft.body[known.upstream] = known.check(value, name) if known.check else value
        elif known.fate is Fate.DROPPED and not known.asks_nothing(value):
            draft.dropped(name, "the Responses API has no such field")


# ---------------------------------------------------------------- steps

#: As many choices Chat Completions makes at most (schema ``CreateChatCompletionRequest.n``).
MAX_CHOICES = 128

#: As many stop sequences Chat Completions takes (schema ``StopConfiguration``).
MAX_STOPS = 4

#: How ``include`` asks for reasoning that can be given back.
ENCRYPTED = "reasoning.encrypted_content"

_STREAM_FLAGS = frozenset(form_names("stream_options"))


def _model(draft: Draft) -> None:
    model = draft.read("model", as_string)
    if not model:
        raise missing("model")
    draft.body["model"] = model


def _conversation(draft: Draft) -> None:
    """``messages``, or a Responses body's ``input``: as it is, unless some of it is Chat's after all."""
    messages, given = draft.given.get("messages"), draft.given.get("input")
    where = "messages"
    if messages == [] and given is not None:
        messages = None
    if messages is None and isinstance(given, list) and any(speaks_chat(item) for item in given):
        messages, given, where = given, None, "input"
    if messages is not None:
        if given is not None:
            draft.dropped("input", "messages wins")
        chained = draft.given.get("previous_response_id") is not None or draft.given.get("conversation") is not None
        history = History(
            reasoning=draft.capabilities.reasoning,
            names=draft.names,
            custom_tools=draft.custom_tools,
            chained=chained,
            think=draft.reasoning_field is ReasoningField.THINK,
            empty_messages=draft.empty_messages,
            kept=draft.kept or {},
            notes=draft.notes,
        )
        draft.body["input"] = input_items(messages, history, where)
    elif isinstance(given, str):
        draft.body["input"] = given
    elif isinstance(given, list):
        draft.body["input"] = [as_object(item, f"input[{i}]") for i, item in enumerate(given)]
    elif given is not None:
        raise wrong_type(given, "input", "a string or an array of items")
    else:
        raise missing("messages")


def _delivery(draft: Draft) -> None:
    """How the answer comes: streamed or not, kept or not."""
    # Chat keeps nothing unless told to, Responses everything
    store = draft.read("store", as_boolean)
    if store is not None or "store" not in draft.leave_out:
        draft.body["store"] = bool(store)
    stream = draft.read("stream", as_boolean)
    options = draft.read("stream_options", as_object) or {}
    flags = {}
    for name, value in options.items():
        if name not in _STREAM_FLAGS:
            draft.notes.unknown(f"stream_options.{name}")
        elif value is not None:
            flags[name] = as_boolean(value, f"stream_options.{name}")
    if stream:
        draft.stream, draft.include_usage = True, flags.get("include_usage", False)
    if stream is not None or draft.stop:
        # after a stop sequence upstream need not go on, which only a stream can be spared
        draft.body["stream"] = bool(stream or draft.stop)
    if draft.body.get("stream") and "stream_options" not in draft.leave_out:
        # padding against eavesdroppers costs bytes on a line that is encrypted anyway
        draft.body["stream_options"] = {"include_obfuscation": flags.get("include_obfuscation", False)}
    if draft.read("background", as_boolean):
        raise BadRequest(
            "A chat completion cannot be made in the background. Leave 'background' out.",
            param="background",
            code="unsupported_value",
        )


def _reasoning_back(draft: Draft) -> None:
    """Ask for reasoning in the form in which it can be given back, where turns are kept."""
    if draft.kept is None or draft.effort == "none" or "include" in draft.leave_out:
        return
    include: list[str] = draft.body.setdefault("include", [])
    if ENCRYPTED not in include:
        include.append(ENCRYPTED)


def _choices(draft: Draft) -> None:
    """How many answers: each is a request of its own, as Responses gives one at a time."""
    n = draft.read("n", as_integer)
    if n is None:
        return
    if n < 1:
        raise BadRequest(
            f"Invalid 'n': integer below minimum value. Expected a value >= 1, but got {n} instead.",
            param="n",
            code="integer_below_min_value",
        )
    if n > MAX_CHOICES:
        raise BadRequest(
            f"Invalid 'n': integer above maximum value. Expected a value <= {MAX_CHOICES}, but got {n} instead.",
            param="n",
            code="integer_above_max_value",
        )
    draft.choices = n


def _stops(draft: Draft) -> None:
    """Stop sequences: the answer's translator ends the text before the first of them."""
    given = draft.given.get("stop")
    stops = [given] if isinstance(given, str) else draft.read("stop", as_array) or []
    if len(stops) > MAX_STOPS:
        raise BadRequest(
            f"Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array with "
            f"length {len(stops)} instead.",
            param="stop",
            code="array_above_max_length",
        )
    draft.stop = tuple(stop for i, stop in enumerate(stops) if as_string(stop, f"stop[{i}]"))
    if draft.stop:
        draft.notes.add("usage is not known where a stop sequence ends the answer")


def _text_only(draft: Draft) -> None:
    modalities = draft.read("modalities", as_array) or []
    for i, modality in enumerate(modalities):
        name = as_string(modality, f"modalities[{i}]")
        if name != "text":
            raise BadRequest(
                "This port answers in text; the Responses API has no other output. Leave 'modalities' out, or send "
                '["text"].',
                param="modalities",
                code="unsupported_value",
            )
    if draft.given.get("audio") is not None:
        draft.dropped("audio", "no audio output is asked for")


def _identity(draft: Draft) -> None:
    """Who the client's user is, in what upstream has room for."""
    for name in ("user", "safety_identifier"):
        value = draft.read(name, as_string)
        if value is None:
            continue
        if len(value) > MAX_ID:
            draft.notes.add(f"hashed {name} (longer than {MAX_ID} characters)")
            value = digest(value)
        draft.body[name] = value


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the translation.

    @ivar reads: the client's fields that it handles.
    @ivar run: what it does to the draft.
    @ivar always: it has something to do also where the client sent none of those fields.
    """

    reads: tuple[str, ...]
    run: Callable[[Draft], None]
    always: bool = False


#: The steps, in the order they run: a step may lean on what an earlier one found out.
STEPS = (
    Step(("model",), _model, always=True),
    Step(("n",), _choices),
    Step(("stop",), _stops),
    Step(("modalities", "audio"), _text_only),
    Step(("tools", "functions", "web_search_options"), translate_tools),
    Step(("tool_choice", "function_call", "parallel_tool_calls"), translate_tool_choice, always=True),
    Step(("reasoning_effort", "reasoning"), translate_reasoning, always=True),
    Step(("temperature", "top_p", "logprobs", "top_logprobs", "include"), translate_sampling),
    Step(("max_completion_tokens", "max_output_tokens", "max_tokens"), translate_limit),
    Step(("messages", "input"), _conversation, always=True),
    Step(("response_format", "verbosity", "text"), translate_format),
    Step(("user", "safety_identifier"), _identity),
    Step(("store", "stream", "stream_options", "background"), _delivery, always=True),
    Step((), _reasoning_back, always=True),
)

#: The fields that the steps handle; all others are the table's.
READ_BY_STEPS = frozenset(name for step in STEPS for name in step.reads)


@lru_cache(maxsize=256)
def _steps(given: frozenset[str]) -> tuple[Callable[[Draft], None], ...]:
    """What there is to do for a request.

    @param given: which of `READ_BY_STEPS` the client sent.
    """
    return tuple(step.run for step in STEPS if step.always or not given.isdisjoint(step.reads))
