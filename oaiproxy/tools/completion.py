"""The completions of several rounds as one."""

from __future__ import annotations

from typing import Any

from oaiproxy.api.rawjson import as_list, as_object, as_plain, close_object, open_object
from oaiproxy.api.request import JsonObject
from oaiproxy.tools.told import ENVELOPE, Told, joined_logprobs
from oaiproxy.tools.turn import Turn

#: What of a message is one text over all rounds.
_TEXTS = ("content", "reasoning_content", "reasoning")

#: What of a message is one list over all rounds.
_LISTS = ("annotations", "file_annotations", "images", "reasoning_details")


class RoundCompletions:
    """Joins the completions of one answer's rounds.

    @ivar turn: what the model has said in this round.
    @ivar running: whether the proxy runs the calls of this round, so that another one follows.
    """

    def __init__(self, own: frozenset[str], told: Told) -> None:
        """
        @param own: the names of the functions that the proxy runs.
        @param told: what the client knows.
        """
        self._own = own
        self._told = told
        self._envelope: JsonObject = {}
        self._messages: list[JsonObject] = []
        self._logprobs: list[Any] = []
        self.next_round()

    def next_round(self) -> None:
        """The completion of another round is to come."""
        self.turn = Turn(self._own)
        self.running = False

    def take(self, body: bytes) -> bytes:
        """Take a round's completion and return the client's; no bytes where another round follows.

        @param body: the completion; what is none is the client's as it is.
        """
        try:
            top = open_object(body)
            choices = as_list(top.get("choices"))
            given = as_object(choices[0]) if choices else {}
            message = as_plain(given.get("message"))
            reason, usage = as_plain(given.get("finish_reason")), as_plain(top.get("usage"))
        except ValueError:
            return body
        if not isinstance(message, dict):
            return body
        self.turn.add(message)
        for position, call in enumerate(_calls(message)):
            self.turn.add_call(call, position)
        if usage is not None:
            usage = self._told.usage(usage)
        self._messages.append(self._placed(message))
        self._logprobs.append(as_plain(given.get("logprobs")))
        if not self._envelope:
            self._envelope = {name: top[name] for name in ENVELOPE if name in top}
        self.running = self.turn.runs(reason)
        if self.running:
            return b""
        own = self.turn.own_calls
        if self._told.rounds == 0 and not own:
            return body
        given["message"] = self._whole(message)
        if any(logprobs is not None for logprobs in self._logprobs):
            given["logprobs"] = joined_logprobs(self._logprobs)
        choices[0] = given
        whole = {**top, **self._envelope, "choices": choices}
        if (usage := self._told.usage_so_far()) is not None:
            whole["usage"] = usage
        return close_object(whole)

    def _placed(self, message: JsonObject) -> JsonObject:
        message = dict(message)
        for field in _TEXTS:
            if isinstance(text := message.get(field), str) and text:
                message[field] = self._told.before(field) + text
                if field == "content":
                    self._told.say(text)
        return self._told.placed(message)

    def _whole(self, message: JsonObject) -> JsonObject:
        """The messages of all rounds as one; what is neither a text nor a list is the last one's."""
        whole = dict(message)
        for field in _TEXTS:
            texts = [text for each in self._messages if isinstance(text := each.get(field), str) and text]
            if texts:
                whole[field] = "".join(texts)
        for field in _LISTS:
            lists = [found for each in self._messages if isinstance(found := each.get(field), list)]
            if lists:
                whole[field] = [entry for found in lists for entry in found]
        if "tool_calls" in whole:
            own = self.turn.own_calls
            left = [call for call, known in zip(_calls(message), self.turn.calls, strict=False) if known not in own]
            whole.pop("tool_calls")
            if left:
                whole["tool_calls"] = left
        return whole


def _calls(message: JsonObject) -> list[JsonObject]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
