"""Values that Chat writes in another way than Responses: usage, citations, log probabilities, images, moderation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from oaiproxy.api.chat import SERVICE_TIERS
from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.items import ANNOTATIONS, Place


def integer(value: Any) -> int:
    """A count, or 0 where there is none."""
    if value.__class__ is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else 0


def timestamp(value: Any) -> int | None:
    """Unix time in seconds, or None where there is none: servers send fractions, digits, and dates in words."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                moment = datetime.fromisoformat(value)
                value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        return None
    return int(value)


def chat_usage(usage: Any) -> JsonObject | None:
    """Chat's ``usage`` for a response's, or None where there is none (bridge.md 3.7).

    Servers leave out the details, though the schema requires them, and some have Chat's names here too.
    """
    if not isinstance(usage, dict):
        return None
    spent = integer(usage.get("input_tokens", usage.get("prompt_tokens")))
    made = integer(usage.get("output_tokens", usage.get("completion_tokens")))
    total = usage.get("total_tokens")
    read, written = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    return {
        "prompt_tokens": spent,
        "completion_tokens": made,
        "total_tokens": spent + made if total is None else integer(total),
        "prompt_tokens_details": {
            "cached_tokens": integer(read.get("cached_tokens")),
            "cache_write_tokens": integer(read.get("cache_write_tokens")),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": integer(written.get("reasoning_tokens")),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _details(usage: Mapping[str, Any], group: str) -> JsonObject:
    details = usage.get(group)
    return details if isinstance(details, dict) else {}


def citation(annotation: Any, shift: int) -> JsonObject | None:
    """Chat's form of an annotation, or None for one that has no such form (file citations).

    @param shift: how many characters of the message's content stand before the part that `annotation` is about.
    """
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    flat = annotation.get("url_citation")  # some servers send Chat's form in Responses too
    if not isinstance(flat, dict):
        flat = annotation
    url, title = flat.get("url"), flat.get("title")
    if not isinstance(url, str):
        return None
    return {
        "type": "url_citation",
        "url_citation": {
            "url": url,
            "title": title if isinstance(title, str) else "",
            "start_index": integer(flat.get("start_index")) + shift,
            "end_index": integer(flat.get("end_index")) + shift,
        },
    }


def file_annotation(annotation: Any, shift: int) -> JsonObject | None:
    """An annotation about a file, which Chat has no form for, or None for another one.

    @param shift: as for `citation`; ``index`` is none of a character but of a file.
    """
    if not isinstance(annotation, dict) or not isinstance(annotation.get("type"), str):
        return None
    known = ANNOTATIONS.get(annotation["type"])
    if known is None or known.place is not Place.FILES:
        return None
    places = {key: integer(annotation[key]) + shift for key in ("start_index", "end_index") if key in annotation}
    return {**annotation, **places}


def chat_logprobs(entries: list[Any]) -> list[JsonObject]:
    """Chat's log probabilities for a part's; Chat requires ``bytes``, which stream events leave out."""
    return [{**_logprob(entry), "top_logprobs": _tokens(entry.get("top_logprobs"))} for entry in _with_token(entries)]


def _tokens(entries: Any) -> list[JsonObject]:
    return [_logprob(entry) for entry in _with_token(entries)]


def _with_token(entries: Any) -> list[JsonObject]:
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("token"), str)]


def _logprob(entry: Mapping[str, Any]) -> JsonObject:
    token, value, encoded = entry["token"], entry.get("logprob"), entry.get("bytes")
    known = isinstance(encoded, list) and all(byte.__class__ is int for byte in encoded)
    if not known or (token and not encoded):
        # a replacement character stands for a part of a character: the bytes are not known
        encoded = None if "\ufffd" in token else list(token.encode())
    # -9999.0 is the API's own value for "very unlikely"
    return {"token": token, "logprob": value if isinstance(value, int | float) else -9999.0, "bytes": encoded}


_URLS = ("data:", "https://", "http://")


def image_urls(item: Mapping[str, Any]) -> Iterator[str]:
    """The URLs of the pictures that an ``image_generation_call`` or a ``code_interpreter_call`` made."""
    result = item.get("result")
    if isinstance(result, str) and result:
        kind = item.get("output_format")
        head = f"data:image/{kind if isinstance(kind, str) and kind.isalnum() else 'png'};base64,"
        yield result if result.startswith(_URLS) else head + result
    outputs = item.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict) and output.get("type") == "image":
            url = output.get("url")
            if isinstance(url, str) and url.startswith(_URLS):
                yield url


def chat_moderation(moderation: Any) -> JsonObject | None:
    """Chat's ``moderation`` for a response's, or None where there is none (bridge.md 3.7)."""
    if not isinstance(moderation, dict):
        return None
    sides = {side: _verdict(moderation.get(side)) for side in ("input", "output")}
    return sides if all(sides.values()) else None


def _verdict(result: Any) -> JsonObject | None:
    if not isinstance(result, dict):
        return None
    if result.get("type") != "moderation_result":
        return result
    return {"type": "moderation_results", "model": result.get("model"), "results": [result]}


def chat_extra(tier: Any, moderation: Any) -> JsonObject:
    """The fields of an answer that only some have.

    @param tier: a response's ``service_tier``; one that Chat does not know is left out.
    @param moderation: its ``moderation``.
    """
    extra: JsonObject = {}
    if isinstance(tier, str) and tier in SERVICE_TIERS:
        extra["service_tier"] = tier
    verdicts = chat_moderation(moderation)
    if verdicts is not None:
        extra["moderation"] = verdicts
    return extra


def chat_metadata(metadata: Any) -> JsonObject | None:
    """What of a response's metadata is as the schema has it, or None where there is none."""
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)} or None
