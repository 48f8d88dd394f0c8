"""The table: every field of a legacy completions request, and what becomes of it on the way to Responses.

The translation reads it (`oaiproxy.bridge.completions.request`), ``docs/completions.md`` shows it, and tests hold it
against the published schema (``CreateCompletionRequest``) and against what the translation does.
"""

from __future__ import annotations

from oaiproxy.bridge.fields import Fate, Field

_NO_FIELD = "The Responses API has no such field."
_SAMPLING = "As it is; dropped with a warning where the model reasons."

#: The fields of the published schema.
COMPLETION_FIELDS = {
    field.name: field
    for field in (
        Field("best_of", Fate.EMULATED, "As many requests; the answers with the most likely tokens are kept."),
        Field("echo", Fate.EMULATED, "The prompt is put before the text; not together with logprobs."),
        Field("frequency_penalty", Fate.DROPPED, _NO_FIELD, neutral=(0,)),
        Field("logit_bias", Fate.DROPPED, _NO_FIELD, neutral=({},)),
        Field(
            "logprobs",
            Fate.TRANSLATED,
            "Told in the legacy form; dropped with a warning where the model reasons.",
            "include",
        ),
        Field("max_tokens", Fate.TRANSLATED, "16 if absent, as ever; room to reason is added.", "max_output_tokens"),
        Field("model", Fate.CARRIED, "As it is, once aliases are resolved.", "model"),
        Field("n", Fate.EMULATED, "As many requests, joined to one answer."),
        Field("presence_penalty", Fate.DROPPED, _NO_FIELD, neutral=(0,)),
        Field("prompt", Fate.TRANSLATED, "A text, or an array of texts; token numbers are an error.", "input"),
        Field("seed", Fate.DROPPED, _NO_FIELD),
        Field("stop", Fate.EMULATED, "The text ends before the first of them, and upstream is cancelled."),
        Field("stream", Fate.CARRIED, "As it is.", "stream"),
        Field("stream_options", Fate.TRANSLATED, "The usage chunk is made here; padding is off.", "stream_options"),
        Field("suffix", Fate.TRANSLATED, "The model is told to write what stands between the two texts.", "input"),
        Field("temperature", Fate.CARRIED, _SAMPLING, "temperature", neutral=(1,)),
        Field("top_p", Fate.CARRIED, _SAMPLING, "top_p", neutral=(1,)),
        Field("user", Fate.CARRIED, "Hashed if longer than 64 characters.", "user"),
    )
}

#: Fields of a chat request that are no legacy ones and mean the same here: they are taken as those of a chat request.
CHAT_FIELDS = (
    "metadata",
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
)
