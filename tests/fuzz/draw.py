"""Values made of a string of bytes, so that one target serves every fuzzer: hypothesis, which makes a failing string
short, and atheris, which looks for strings that reach new code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

Some = TypeVar("Some")

#: Text that JSON, UTF-8 and our own grammars have trouble with.
ODD_TEXTS = (
    "",
    " ",
    "\n\n",
    "a",
    "é",
    "🦊",
    "\u2028",
    "\x00",
    "\ud800",
    "<think>",
    "</think>",
    '"}',
    "\\",
    "data: ",
    "sk-abcdefgh12345678",
    "x" * 70,
)

#: Numbers at the edges of what others keep them in.
ODD_NUMBERS = (0, 1, -1, 2, 7, 1.5, -0.0, 1e300, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30)


class Draw:
    """Takes values from a string of bytes; where it is used up, every value is the first or shortest of its sort."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """A number below 256."""
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, count: int) -> int:
        """A number below `count`."""
        number = self.byte()
        if count > 256:
            number = number << 8 | self.byte()
        return number % count

    def flag(self) -> bool:
        """True or, from the used-up string, False."""
        return self.byte() & 1 == 1

    def rarely(self) -> bool:
        """True once in sixteen times."""
        return self.byte() & 15 == 15

    def choice(self, values: Sequence[Some]) -> Some:
        """One of these."""
        return values[self.below(len(values))]

    def some(self, most: int) -> Iterator[int]:
        """Counts on, up to `most` times."""
        for number in range(most):
            if self.byte() & 3 == 0:
                return
            yield number

    def raw(self, most: int) -> bytes:
        """Bytes as they stand there."""
        size = self.below(most + 1)
        at = self._at
        self._at = at + size
        return self._data[at : at + size]

    def rest(self) -> bytes:
        """All that is left."""
        at, self._at = self._at, max(self._at, len(self._data))
        return self._data[at:]

    def text(self, most: int = 12) -> str:
        """A text, odd or not."""
        if self.flag():
            return self.choice(ODD_TEXTS)
        return self.raw(most).decode("utf-8", "surrogateescape" if self.rarely() else "replace")

    def joined(self, words: Sequence[Some], empty: Some, most: int = 30) -> Some:
        """Some of these words, one behind the other, with other text between them."""
        out = empty
        for _ in self.some(most):
            word: Any = self.choice(words)
            if self.rarely():
                word = self.raw(4) if isinstance(empty, bytes) else self.text(4)
            out = out + word
        return out

    def json(self, depth: int = 3) -> Any:
        """Any JSON value."""
        kind = self.below(8 if depth else 6)
        if kind < 3:
            return (None, True, False)[kind]
        if kind == 3:
            return self.choice(ODD_NUMBERS)
        if kind < 6:
            return self.text()
        if kind == 6:
            return [self.json(depth - 1) for _ in self.some(4)]
        return {self.text(6): self.json(depth - 1) for _ in self.some(4)}

    def changed(self, value: Any, names: Sequence[str] = ()) -> Any:
        """A JSON value with one place of it changed: another value there, a member or element more, less or twice.

        @param names: names that members may get.
        """
        if isinstance(value, dict) and value and not self.rarely():
            key = self.choice(list(value))
            what = self.below(8)
            if what == 0:
                return {k: v for k, v in value.items() if k != key}
            if what == 1 and names:
                return {**value, self.choice(names): self.json(2)}
            if what == 2 and names:
                return {**value, self.choice(names): value[key]}
            return {**value, key: self.changed(value[key], names)}
        if isinstance(value, list) and value and not self.rarely():
            at = self.below(len(value))
            what = self.below(8)
            if what == 0:
                return value[:at] + value[at + 1 :]
            if what == 1:
                return [*value[:at], value[at], *value[at:]]
            return [*value[:at], self.changed(value[at], names), *value[at + 1 :]]
        return self.json(2)

    def spoilt(self, raw: bytes) -> bytes:
        """Bytes with some places of them changed."""
        for _ in self.some(4):
            at = self.below(len(raw) + 1)
            what = self.below(5)
            if what == 0:
                raw = raw[:at]
            elif what == 1:
                raw = raw[:at] + self.raw(6) + raw[at:]
            elif what == 2:
                raw = raw[:at] + self.raw(3) + raw[at + self.below(8) :]
            elif what == 3:
                raw = raw[:at] + raw[at + self.below(200) :]
            else:
                end = at + self.below(200)
                raw = raw[:end] + raw[at:]
        return raw

    def pieces(self, raw: Any) -> list[Any]:
        """Bytes or a text, cut somewhere: nowhere, everywhere, or at some places."""
        how = self.below(4)
        if how == 0 or not raw:
            return [raw]
        if how == 1 and len(raw) <= 600:
            return [raw[at : at + 1] for at in range(len(raw))]
        places = sorted({self.below(len(raw) + 1) for _ in range(self.below(7) + 1)})
        return [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]
