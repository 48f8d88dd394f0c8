"""Text in pieces of any size, and what of it is the model's answer and what its thoughts."""

from __future__ import annotations

from enum import Enum

from oaiproxy.rules.think import ThinkRules


class Part(Enum):
    """What a piece of text is."""

    ANSWER = "answer"
    THOUGHT = "thought"
    MARK = "mark"  # a tag, or white space that only sets a block off


Piece = tuple[Part, str]

#: What models put between a tag and text.  Wider white space, such as the ideographic space, is the text's own.
_LAYOUT = " \t\r\n"


class ThinkFilter:
    """Tells thoughts from the answer, wherever the text is cut.

    Put together, the pieces are the text, each character once and in its place.  A block begins with the start tag and
    ends with the next end tag; start tags in it are part of the thought, and an end tag outside of one is text.  What
    follows a start tag without an end is thought, to the end of the text.

    White space right after a start tag is layout, and so is white space right after an end tag as long as nothing of
    the answer has come: an answer whose thoughts are taken out does not begin with blank lines.  All other white space
    is the text's own.

    Only what may be the beginning of the tag that is waited for is held back.
    """

    __slots__ = ("_end", "_first", "_held", "_inside", "_layout", "_opened", "_said", "_start", "_tag")

    def __init__(self, rules: ThinkRules) -> None:
        self._start, self._end = rules.start, rules.end
        self._opened = rules.opened  # a model may say the start tag once more than its prompt
        self._said = False  # something of the answer that can be seen
        self._held = ""
        self._enter(rules.opened)
        self._layout = rules.opened

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return len(self._held)

    def feed(self, text: str) -> list[Piece]:
        """Take more of the text and return what is known of it now."""
        if not self._held and not self._layout and self._first not in text:
            return self._plain(text)
        text, self._held = self._held + text, ""
        pieces: list[Piece] = []
        if self._opened:
            if len(text) < len(self._start) and self._start.startswith(text):
                self._held = text
                return pieces
            self._opened = False
            if text.startswith(self._start):
                pieces.append((Part.MARK, self._start))
                text = text[len(self._start) :]
        at = 0
        while (found := text.find(self._tag, at)) >= 0:
            self._put(pieces, text[at:found])
            pieces.append((Part.MARK, self._tag))
            at = found + len(self._tag)
            self._enter(not self._inside)
        text = text[at:]
        keep = _beginning(text, self._tag)
        if keep:
            text, self._held = text[:-keep], text[-keep:]
        self._put(pieces, text)
        return pieces

    def flush(self) -> list[Piece]:
        """The text ends or pauses: what was held back was no tag after all."""
        pieces: list[Piece] = []
        held, self._held = self._held, ""
        self._put(pieces, held)
        return pieces

    def _plain(self, text: str) -> list[Piece]:
        if self._inside:
            return [(Part.THOUGHT, text)] if text else []
        if not self._said:
            self._said = bool(text.strip(_LAYOUT))
        return [(Part.ANSWER, text)] if text else []

    def _enter(self, inside: bool) -> None:
        self._inside = inside
        self._tag = self._end if inside else self._start
        self._first = self._tag[0]
        self._layout = inside or not self._said  # whether white space that comes now is layout

    def _put(self, pieces: list[Piece], text: str) -> None:
        if self._layout and text:
            rest = text.lstrip(_LAYOUT)
            if len(rest) < len(text):
                pieces.append((Part.MARK, text[: len(text) - len(rest)]))
            text = rest
            self._layout = not text
        if text:
            pieces += self._plain(text)


def _beginning(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    at = text.find(tag[0], max(0, len(text) - len(tag) + 1))
    while at >= 0:
        if tag.startswith(text[at:]):
            return len(text) - at
        at = text.find(tag[0], at + 1)
    return 0
