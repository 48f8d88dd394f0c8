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
        self._prefixes = frozenset(stop[:end] for stop in self._stops for end in range(1, len(stop)))
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """Take more of the text and return what may be shown."""
        if self.hit:
            return ""
        text = self._held + text
        matches = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if matches:
            # the one that is complete first, as for a model that stops while it writes; so no cut of the text matters
            self.hit, self._held = True, ""
            return text[: min(matches)[1]]
        keep = self._beginning(text)
        if not keep:
            self._held = ""
            return text
        self._held = text[-keep:]
        return text[:-keep]

    def flush(self) -> str:
        """The text ends or pauses: what was held back was no stop sequence after all."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a stop sequence."""
        for length in self._lengths:
            if text[-length:] in self._prefixes:
                return min(length, len(text))
        return 0
