"""Stop sequences for upstreams that have none: the text ends before the first of them.

Chat Completions: "The returned text will not contain the stop sequence" (API reference, ``stop``).
"""

from __future__ import annotations

from collections.abc import Sequence


class StopFilter:
    """Lets text through until a stop sequence comes, wherever the text is cut.

    Only what may be the beginning of a stop sequence is held back.

    @ivar hit: whether a stop sequence has come; nothing is let through after it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """@param stops: the stop sequences; empty ones are none."""
        self._stops = tuple(dict.fromkeys(stop for stop in stops if stop))
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """Take more of the text and return what may be shown."""
        if self.hit:
            return ""
        text = self._held + text
        matches = ((at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0)
        # the one that is complete first, as for a model that stops while it writes; so no cut of the text matters
        _, found = min(matches, default=(0, -1))
        if found >= 0:
            self.hit, self._held = True, ""
            return text[:found]
        keep = self._beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """The text ends or pauses: what was held back was no stop sequence after all."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a stop sequence."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            tail = text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
