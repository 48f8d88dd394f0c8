"""The stop sequences of a chat request, which upstream knows nothing of: text and its log probabilities up to them."""

from __future__ import annotations

from collections.abc import Sequence

from oaiproxy.api.request import JsonObject
from oaiproxy.rules.stop import StopFilter

Shown = tuple[str, list[JsonObject] | None]


class Until:
    """Lets text through until a stop sequence comes, and with it the log probabilities of what it let through."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._filter = StopFilter(stops)
        self._fed = 0  # characters
        self._shown = 0
        self._waiting: list[tuple[int, JsonObject]] = []  # where each token ends, and what is known of it

    @property
    def hit(self) -> bool:
        """True once a stop sequence has come; nothing is let through after it."""
        return self._filter.hit

    def feed(self, text: str, logprobs: list[JsonObject] | None) -> Shown:
        """Take more of the text and return what may be shown now."""
        end = self._fed
        self._fed += len(text)
        for entry in logprobs or ():
            end = min(end + len(entry["token"]), self._fed)
            self._waiting.append((end, entry))
        return self._let(self._filter.feed(text))

    def flush(self) -> Shown:
        """The text ends or pauses: what was held back."""
        return self._let(self._filter.flush())

    def _let(self, text: str) -> Shown:
        self._shown += len(text)
        count = 0
        while count < len(self._waiting) and self._waiting[count][0] <= self._shown:
            count += 1
        shown = [entry for _, entry in self._waiting[:count]]
        del self._waiting[:count]
        return text, shown or None
