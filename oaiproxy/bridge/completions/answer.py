"""Chat answers as legacy completions: a thin layer over the translators of the chat bridge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from oaiproxy.api.body import JointTranslator, Rewriter
from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import JsonObject
from oaiproxy.api.sse import DONE, SseDecoder, encode_event
from oaiproxy.bridge.choices import joint_translator
from oaiproxy.bridge.completions.failures import completion_error
from oaiproxy.bridge.completions.logprobs import LegacyLogprobs, likelihood
from oaiproxy.bridge.completions.plan import CompletionPlan

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

#: The finish reasons that this API has; all others of a chat answer are a normal end here.
_FINISH_REASONS = frozenset({"stop", "length", "content_filter"})


def completion_translator(plan: CompletionPlan) -> JointTranslator:
    """The translator for the answers to one legacy request."""
    inner = joint_translator(plan.chat, plan.answers)
    return LegacyChunks(inner, plan) if plan.chat.stream else LegacyObject(inner, plan)


class _Choice:
    """One choice in the making: what of it depends on what came before."""

    def __init__(self, plan: CompletionPlan, answer: int) -> None:
        prompt = plan.prompt_of(answer)
        self._plan = plan
        self._logprobs = LegacyLogprobs(len(prompt))
        self._refusal: list[str] = []
        #: What is still to be echoed.
        self.echo = prompt if plan.echo else ""

    def legacy(self, index: int, text: str, entries: Any, reason: Any) -> JsonObject:
        """The legacy choice, or a piece of it.

        @param text: the text.
        @param entries: its tokens' entries in a chat answer.
        @param reason: the chat answer's finish reason.
        """
        text, self.echo = self.echo + text, ""
        shown = entries if self._plan.logprobs is not None else None
        return {
            "text": text,
            "index": index,
            "logprobs": self._logprobs.write(shown) if shown else None,
            "finish_reason": reason if reason is None or reason in _FINISH_REASONS else "stop",
        }

    def refuse(self, text: str) -> None:
        """Keep a piece of a refusal: this API has no other place for it than the end of the text."""
        self._refusal.append(text)

    def refusal(self) -> str:
        """The refusal, as it is put behind the text."""
        refusal = "".join(self._refusal)
        self._refusal.clear()
        return refusal


class _Legacy(Rewriter):
    """What a legacy object and a legacy stream have in common (each a `JointTranslator`): they rewrite what the chat
    answer's translator gives."""

    def __init__(self, inner: JointTranslator, plan: CompletionPlan) -> None:
        """@param inner: makes the chat answer, of `CompletionPlan.answers` upstream answers.
        @param plan: how the legacy answer has to look.
        """
        super().__init__(inner)
        self._plan = plan

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of an upstream's body.

        @raise ApiError: see `BodyTranslator.feed`; its `param` is one of the legacy request.
        """
        try:
            return self._rewrite(self._inner.feed(part, data))
        except ApiError as e:
            raise completion_error(e) from None

    def end(self, part: int) -> bytes:
        """Take the end of an upstream's body.

        @raise ApiError: see `BodyTranslator.end`; its `param` is one of the legacy request.
        """
        try:
            return self._rewrite(self._inner.end(part))
        except ApiError as e:
            raise completion_error(e) from None

    def fail(self, error: ApiError) -> bytes:
        """What the client gets when the exchange fails: errors look the same in both APIs."""
        return self._inner.fail(error)

    def _rewrite(self, piece: bytes) -> bytes:
        raise NotImplementedError


class LegacyObject(_Legacy):
    """A chat completion as a legacy completion."""

    def __init__(self, inner: JointTranslator, plan: CompletionPlan) -> None:
        super().__init__(inner, plan)
        self._whole = bytearray()

    def _rewrite(self, piece: bytes) -> bytes:
        self._whole += piece
        if not self._whole or not self._inner.finished:
            return b""
        value = legacy_completion(_decode(self._whole), self._plan)
        self._whole.clear()
        return _encode(value)

    def keepalive(self) -> bytes:
        """Nothing: an object that is not whole cannot be begun."""
        return b""


def legacy_completion(chat: Mapping[str, Any], plan: CompletionPlan) -> JsonObject:
    """The legacy completion for a chat completion.

    @param chat: a chat completion with a choice for each upstream answer, in their order.
    """
    choices: list[JsonObject] = []
    for prompt in range(len(plan.prompts)):
        made = chat["choices"][prompt * plan.made : (prompt + 1) * plan.made]
        for choice in _best(made, plan.kept):
            choices.append(_whole_choice(choice, len(choices), plan))
    whole: JsonObject = {**_envelope(chat), "choices": choices}
    if chat.get("usage") is not None:
        whole["usage"] = chat["usage"]
    return whole


def _best(choices: list[JsonObject], count: int) -> list[JsonObject]:
    """The likeliest choices, the best one first; as they are where all are wanted."""
    if len(choices) <= count:
        return choices
    return sorted(choices, key=lambda choice: likelihood(_entries(choice)), reverse=True)[:count]


def _whole_choice(choice: Mapping[str, Any], index: int, plan: CompletionPlan) -> JsonObject:
    message = choice["message"]
    made = _Choice(plan, choice["index"])
    text = (message.get("content") or "") + (message.get("refusal") or "")
    return made.legacy(index, text, _entries(choice), choice["finish_reason"])


class LegacyChunks(_Legacy):
    """Chat chunks as legacy ones."""

    def __init__(self, inner: JointTranslator, plan: CompletionPlan) -> None:
        super().__init__(inner, plan)
        self._decoder = SseDecoder()
        self._choices: dict[int, _Choice] = {}

    def _rewrite(self, piece: bytes) -> bytes:
        return b"".join(self._rewritten(piece)) if piece else b""

    def keepalive(self) -> bytes:
        """A chunk whose text is empty."""
        piece = self._inner.keepalive()
        return b"".join(self._rewritten(piece, blank=True)) if piece else b""

    def _rewritten(self, piece: bytes, blank: bool = False) -> Iterator[bytes]:
        """@param blank: whether a chunk is written even if it says nothing."""
        for event in self._decoder.feed(piece):
            if event.data == b"[DONE]":
                yield DONE
                continue
            chunk = _decode(event.data)
            choices = [choice for given in chunk["choices"] if (choice := self._choice(given, blank)) is not None]
            if chunk["choices"] and not choices:
                continue
            whole: JsonObject = {**_envelope(chunk), "choices": choices}
            if "usage" in chunk:
                whole["usage"] = chunk["usage"]
            yield encode_event(_encode(whole))

    def _choice(self, given: Mapping[str, Any], blank: bool) -> JsonObject | None:
        """The legacy form of a chat chunk's choice, or None where there is nothing to tell."""
        index, delta, reason = given["index"], given["delta"], given["finish_reason"]
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(self._plan, index)
        text = delta.get("content") or ""
        if delta.get("refusal"):
            choice.refuse(delta["refusal"])
        if reason is not None:
            text += choice.refusal()
        if not (text or choice.echo or reason is not None or blank):
            return None
        return choice.legacy(index, text, _entries(given), reason)


def _entries(choice: Mapping[str, Any]) -> list[JsonObject]:
    """The log probabilities in a chat answer's choice."""
    entries: list[JsonObject] = (choice.get("logprobs") or {}).get("content") or []
    return entries


def _envelope(chat: Mapping[str, Any]) -> JsonObject:
    """What a legacy answer says of itself."""
    return {
        "id": "cmpl-" + chat["id"].removeprefix("chatcmpl-"),
        "object": "text_completion",
        "created": chat["created"],
        "model": chat["model"],
    }
