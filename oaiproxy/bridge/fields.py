"""The table: every field of a Chat Completions request, and what becomes of it on the way to Responses.

The translation reads it (`oaiproxy.bridge.request`), the documentation shows it, and a test holds it against the
published schema (``CreateChatCompletionRequest``), so that no field is forgotten in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from oaiproxy.bridge.checks import (
    as_array,
    as_integer,
    as_object,
    as_string,
    as_string_or_object,
)


class Fate(str, Enum):
    """What becomes of a field."""

    CARRIED = "carried"
    TRANSLATED = "translated"
    EMULATED = "emulated"
    DROPPED = "dropped with a warning"
    REFUSED = "refused"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Field:
    """One top-level field of a chat request.

    @ivar name: as the client writes it.
    @ivar fate: what becomes of it.
    @ivar note: one line that explains it.
    @ivar upstream: where it goes in the Responses request; empty where it goes nowhere.
    @ivar check: for a field that is carried as it is: what its value has to pass, as in `oaiproxy.bridge.checks`.
    @ivar neutral: values beside null that ask for nothing, so that leaving them out loses nothing.
    """

    name: str
    fate: Fate
    note: str
    upstream: str = ""
    check: Callable[[Any, str], Any] | None = None
    neutral: tuple[Any, ...] = ()

    def asks_nothing(self, value: Any) -> bool:
        """True for a value that says no more than an absent field does."""
        return value is None or value in self.neutral


def _table(*fields: Field) -> dict[str, Field]:
    return {f.name: f for f in fields}


#: The fields of the published schema.
FIELDS = _table(
    Field("audio", Fate.REFUSED, "Responses speaks no audio; ignored with a warning while only text is asked for."),
    Field("frequency_penalty", Fate.DROPPED, "Responses has no penalties.", neutral=(0,)),
    Field("function_call", Fate.TRANSLATED, "As tool_choice, which wins if both are there.", "tool_choice"),
    Field("functions", Fate.TRANSLATED, "As function tools, one call at a time; answered as function_call.", "tools"),
    Field("logit_bias", Fate.DROPPED, "Responses cannot bias tokens.", neutral=({},)),
    Field("logprobs", Fate.TRANSLATED, "Dropped with a warning where the model reasons.", "include"),
    Field("max_completion_tokens", Fate.TRANSLATED, "At least 16, as upstream demands.", "max_output_tokens"),
    Field("max_tokens", Fate.TRANSLATED, "The older name of max_completion_tokens, which wins.", "max_output_tokens"),
    Field(
        "messages",
        Fate.TRANSLATED,
        "Each message becomes one or more input items, in place; a kept turn of the assistant's, what upstream gave.",
        "input",
    ),
    Field("metadata", Fate.CARRIED, "As it is.", "metadata", as_object),
    Field("modalities", Fate.REFUSED, "Only text; asking for audio is an error."),
    Field("model", Fate.CARRIED, "As it is, once aliases are resolved.", "model"),
    Field("moderation", Fate.CARRIED, "As it is.", "moderation", as_object),
    Field("n", Fate.EMULATED, "That many requests at once, whose answers become the choices.", neutral=(1,)),
    Field("parallel_tool_calls", Fate.CARRIED, "Only where the request has tools.", "parallel_tool_calls"),
    Field("prediction", Fate.DROPPED, "A hint for speed only; Responses has no place for it."),
    Field("presence_penalty", Fate.DROPPED, "Responses has no penalties.", neutral=(0,)),
    Field("prompt_cache_key", Fate.CARRIED, "As it is.", "prompt_cache_key", as_string),
    Field("prompt_cache_options", Fate.CARRIED, "As it is.", "prompt_cache_options", as_object),
    Field("prompt_cache_retention", Fate.CARRIED, "As it is.", "prompt_cache_retention", as_string),
    Field("reasoning_effort", Fate.TRANSLATED, "Dropped with a warning where the model cannot reason.", "reasoning"),
    Field("response_format", Fate.TRANSLATED, "Un-nested; json_object brings the word it demands.", "text.format"),
    Field("safety_identifier", Fate.CARRIED, "Hashed if longer than 64 characters.", "safety_identifier"),
    Field("seed", Fate.DROPPED, "Responses has no seed."),
    Field("service_tier", Fate.CARRIED, "As it is.", "service_tier", as_string),
    Field("stop", Fate.EMULATED, "The text ends before the first of them, and upstream is cancelled."),
    Field("store", Fate.TRANSLATED, "False unless the client says true, as Chat has it.", "store"),
    Field("stream", Fate.CARRIED, "As it is.", "stream"),
    Field("stream_options", Fate.TRANSLATED, "The usage chunk is made here; padding is off.", "stream_options"),
    Field("temperature", Fate.CARRIED, "Dropped with a warning where the model reasons.", "temperature", neutral=(1,)),
    Field("tool_choice", Fate.TRANSLATED, "Un-nested; dropped with a warning where no tools are left.", "tool_choice"),
    Field("tools", Fate.TRANSLATED, "Un-nested, strict only where the client says so; hosted tools pass.", "tools"),
    Field("top_logprobs", Fate.CARRIED, "Only together with logprobs.", "top_logprobs", neutral=(0,)),
    Field("top_p", Fate.CARRIED, "Dropped with a warning where the model reasons.", "top_p", neutral=(1,)),
    Field("user", Fate.CARRIED, "Hashed if longer than 64 characters.", "user"),
    Field("verbosity", Fate.TRANSLATED, "Moved.", "text.verbosity"),
    Field("web_search_options", Fate.TRANSLATED, "Becomes the web_search tool.", "tools"),
)

_PRIVATE = "The client's own bookkeeping; it says nothing about the answer."
_NATIVE = "A Responses field; merged into the translated request."
_SAMPLER = "A sampler setting of other servers; the API has none such."

#: Fields that are not in the schema and that clients send all the same.  What is in neither table is dropped with a
#: warning.
EXTRA_FIELDS = _table(
    Field("background", Fate.REFUSED, "A chat answer cannot be fetched later.", neutral=(False,)),
    Field("context_management", Fate.CARRIED, _NATIVE, "context_management", as_array),
    Field("conversation", Fate.CARRIED, _NATIVE, "conversation", as_string_or_object),
    Field(
        "include",
        Fate.TRANSLATED,
        f"{_NATIVE[:-1]}, with `reasoning.encrypted_content` where turns are kept.",
        "include",
    ),
    Field("input", Fate.TRANSLATED, "A Responses body: its items pass as they are, but those in Chat's form.", "input"),
    Field("instructions", Fate.CARRIED, _NATIVE, "instructions", as_string),
    Field("max_output_tokens", Fate.TRANSLATED, "Like max_completion_tokens.", "max_output_tokens"),
    Field("max_tool_calls", Fate.CARRIED, _NATIVE, "max_tool_calls", as_integer),
    Field("previous_response_id", Fate.CARRIED, _NATIVE, "previous_response_id", as_string),
    Field("prompt", Fate.CARRIED, _NATIVE, "prompt", as_object),
    Field("reasoning", Fate.TRANSLATED, "OpenRouter's or Responses' object; reasoning_effort wins.", "reasoning"),
    Field("text", Fate.TRANSLATED, _NATIVE + "  response_format and verbosity win.", "text"),
    Field("truncation", Fate.CARRIED, _NATIVE, "truncation", as_string),
    *(
        Field(name, Fate.DROPPED, _SAMPLER)
        for name in (
            "chat_template_kwargs",
            "enable_thinking",
            "keep_alive",
            "min_p",
            "num_ctx",
            "options",
            "repetition_penalty",
            "thinking",
            "top_k",
        )
    ),
    *(
        Field(name, Fate.IGNORED, _PRIVATE)
        for name in (
            "background_tasks",
            "chat_id",
            "features",
            "files",
            "filter_ids",
            "id",
            "message_id",
            "model_item",
            "session_id",
            "tool_ids",
            "tool_servers",
            "variables",
        )
    ),
)

#: Both tables as one: what the translation knows.
KNOWN_FIELDS = {**FIELDS, **EXTRA_FIELDS}
