"""Log probabilities in the legacy form (schema ``CreateCompletionResponse``, ``choices[].logprobs``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oaiproxy.api.request import JsonObject


class LegacyLogprobs:
    """Writes the log probabilities of one choice, piece by piece.

    Its offsets count the characters of prompt and text together, also where the prompt is not echoed: that is how the
    API counts them.  A token that is no whole character is written as its bytes (``bytes:\\xe2\\x80``).
    """

    def __init__(self, offset: int) -> None:
        """@param offset: where the text begins: the length of the prompt."""
        self._offset = offset
        self._rest = b""  # of a character that is not complete yet

    def write(self, entries: Iterable[Mapping[str, Any]]) -> JsonObject:
        """The legacy form of some tokens' entries in a chat answer."""
        tokens: list[str] = []
        values: list[float] = []
        tops: list[dict[str, float]] = []
        offsets: list[int] = []
        for entry in entries:
            token = _name(entry)
            tokens.append(token)
            values.append(entry["logprob"])
            top: dict[str, float] = {}
            for other in entry.get("top_logprobs") or ():
                top.setdefault(_name(other), other["logprob"])
            # the API names the chosen token too, whether or not it is among the most likely ones
            tops.append({**top, token: entry["logprob"]})
            offsets.append(self._offset)
            self._advance(entry)
        return {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}

    def _advance(self, entry: Mapping[str, Any]) -> None:
        known = _bytes(entry)
        if known is None:
            self._offset += len(entry["token"])
            return
        data = self._rest + known
        try:
            self._offset += len(data.decode())
            self._rest = b""
        except UnicodeDecodeError as e:
            incomplete = e.reason == "unexpected end of data"
            self._offset += len(data[: e.start].decode("utf-8", "replace"))
            self._rest = data[e.start :] if incomplete else b""


def _bytes(entry: Mapping[str, Any]) -> bytes | None:
    """The token's bytes, or None where they are not known."""
    known = entry.get("bytes")
    try:
        return None if known is None else bytes(known)
    except ValueError:
        return None


def _name(entry: Mapping[str, Any]) -> str:
    token: str = entry["token"]
    known = _bytes(entry)
    if known is None:
        return token
    try:
        return known.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in known)


def likelihood(entries: Iterable[Mapping[str, Any]]) -> float:
    """The mean log probability of some tokens, by which ``best_of`` compares answers; without any an answer is last."""
    values = [entry["logprob"] for entry in entries]
    return sum(values) / len(values) if values else float("-inf")
