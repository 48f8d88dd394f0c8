"""Fields that both APIs check alike."""

from __future__ import annotations

from oaiproxy.demo.checks import boolean, fields, integer, nullable, number, one_of, string, strings_by_name

METADATA = nullable(strings_by_name(most=16, name_length=64, length=512))

#: An identifier that the client makes up.
ID_64 = nullable(string(most=64))

#: What the names of functions and schemas are made of.
FUNCTION_NAME = "[a-zA-Z0-9_-]+"

#: The sampling parameters and the identifiers of a request.
COMMON = {
    "metadata": METADATA,
    "model": string(least=1),
    "moderation": nullable(fields({"model": string()}, "model", more=True)),
    "parallel_tool_calls": nullable(boolean),
    "prompt_cache_key": ID_64,
    "prompt_cache_options": nullable(fields({"mode": nullable(string()), "ttl": nullable(string())})),
    "prompt_cache_retention": nullable(one_of("in_memory", "24h")),
    "safety_identifier": ID_64,
    "store": nullable(boolean),
    "stream": nullable(boolean),
    "temperature": nullable(number(0, 2)),
    "top_logprobs": nullable(integer(least=0, most=20)),
    "top_p": nullable(number(0, 1)),
    "user": ID_64,
}
