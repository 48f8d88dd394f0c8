"""One choice of a chat answer: its text with the thoughts taken out or set apart, and its log probabilities with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from oaiproxy.api.rawjson import as_list, as_object, as_plain
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkfilter import Part, Piece, ThinkFilter

#: What stands between two thoughts that were apart.
SEPARATOR = "\n\n"


@dataclass(slots=True)
class Segment:
    """A piece of what the client gets.

    @ivar thought: whether it is thought; the rest is answer.
    @ivar logprobs: the log probabilities of its tokens; none for thoughts, which have no place for them.
    """

    thought: bool
    text: str
    logprobs: list[Any] = field(default_factory=list)


class ThinkChoice:
    """Takes a choice's text as it comes, and gives what the client gets of it.

    @ivar aligned: whether the last log probabilities could be told by token.
    """

    __slots__ = ("_filter", "_last", "_move", "_thought", "_waiting", "aligned")

    def __init__(self, rules: ThinkRules) -> None:
        self._filter = ThinkFilter(rules)
        self._move = rules.mode is ThinkMode.MOVE
        self._last: Part | None = None  # what came last
        self._thought = False  # the client was told of a thought
        self._waiting: list[tuple[int, Any]] = []  # where each token ends in the text to come, and what is known of it
        self.aligned = False

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return self._filter.held

    def reasoned(self) -> None:
        """Upstream itself tells the client of a thought."""
        self._thought, self._last = True, None

    def feed(self, text: str, logprobs: Callable[[], Any] = lambda: None) -> list[Segment] | None:
        """Take more of the text.

        @param logprobs: finds the choice's ``logprobs`` that came with it, as in an opened object.
        @return: what the client gets now, or None where that is the same text.
        """
        before = self._filter.held
        pieces = self._filter.feed(text)
        if not before and not self._waiting and len(pieces) == 1 and pieces[0] == (Part.ANSWER, text):
            self._last = Part.ANSWER
            return None
        end = before
        entries = _by_token(logprobs())
        self.aligned = entries is not None
        for length, entry in entries or ():
            end = min(end + length, before + len(text))
            self._waiting.append((end, entry))
        return self._segments(pieces)

    def flush(self) -> list[Segment]:
        """The text ends, or something else comes: what was held back."""
        return self._segments(self._filter.flush())

    def _segments(self, pieces: list[Piece]) -> list[Segment]:
        segments: list[Segment] = []
        passed = 0
        for part, text in pieces:
            passed += len(text)
            entries = self._ended(passed)
            if part is Part.ANSWER:
                _add(segments, Segment(False, text, entries))
            elif part is Part.THOUGHT and self._move:
                apart = self._thought and self._last is not Part.THOUGHT
                _add(segments, Segment(True, SEPARATOR + text if apart else text))
                self._thought = True
            self._last = part
        self._waiting = [(end - passed, entry) for end, entry in self._waiting]
        return segments

    def _ended(self, passed: int) -> list[Any]:
        """The tokens that end before a place, taken from those that wait."""
        count = 0
        while count < len(self._waiting) and self._waiting[count][0] <= passed:
            count += 1
        found = [entry for _, entry in self._waiting[:count]]
        del self._waiting[:count]
        return found


def _add(segments: list[Segment], segment: Segment) -> None:
    if segments and segments[-1].thought is segment.thought:
        segments[-1].text += segment.text
        segments[-1].logprobs += segment.logprobs
    else:
        segments.append(segment)


def _by_token(logprobs: Any) -> list[tuple[int, Any]] | None:
    """How long each token of a choice's ``logprobs`` is, and what is said of it; None where that cannot be told."""
    entries = as_list(as_object(logprobs).get("content"))
    tokens = [_text(as_object(entry).get("token")) for entry in entries]
    if not entries or None in tokens:
        return None
    return [(len(token or ""), entry) for token, entry in zip(tokens, entries, strict=True)]


def _text(value: Any) -> str | None:
    plain = as_plain(value)
    return plain if isinstance(plain, str) else None
