"""Finding and masking secrets in running text.  Use it through `oaiproxy.api.secrets.Masker`.

Each of the two stages here says what it masks in terms of the whole text, decides as soon as enough of the text is
there, and holds back only what is undecided; hence the output does not depend on how the text was cut.
"""

from __future__ import annotations

import re

_MASK = b"***"

#: The beginnings of API keys: OpenAI's keys, sessions and client secrets, then those of servers that speak its API.
_KEY_PREFIXES = (b"sk-", b"sess-", b"ek_", b"gsk_", b"xai-")

#: The ends of the names of JSON members that hold secrets (MCP tools bring ``authorization`` and ``headers``).
_SECRET_NAMES = (
    b"access_token",
    b"api-key",
    b"api_key",
    b"apikey",
    b"authorization",
    b"client_secret",
    b"cookie",
    b"password",
    b"refresh_token",
)

#: Where something may begin that is to be masked, in lower case.  None contains another, so that the first one found is
#: the first one there.
TRIGGERS = (*_KEY_PREFIXES, b"bearer", *_SECRET_NAMES)

_TRIGGER = re.compile(b"|".join(map(re.escape, TRIGGERS)))
_BEGINNINGS = frozenset(trigger[:n] for trigger in TRIGGERS for n in range(1, len(trigger)))
_LAST_BYTES = frozenset(beginning[-1] for beginning in _BEGINNINGS)
_LONGEST = max(map(len, _BEGINNINGS))

#: How much of the text before a trigger `_WHOLE` looks at.
_BEHIND = 6

#: What has to follow a trigger, in lower case.  A match with a named group: what is to be masked begins there, and the
#: group's name says how it goes on (`_RUNS`).  A match without one: the text ended too early to tell.  A key has to
#: have eight characters behind its prefix, so that words such as "sk-learn" stay.
_WHOLE = re.compile(
    rb"""
      (?: (?<![a-z0-9]) | (?<=\\[nrtbf]) | (?<=\\u[0-9a-f]{4}) )      # a word begins here; in JSON, after an escape
      (?: (?: %(keys)s ) (?= (?P<key> [a-z0-9_-]{8} ) | [a-z0-9_-]{0,7} \Z )
        | bearer (?: \Z | [ \t]{1,8} (?= (?P<token> [a-z0-9._~+/=-]{8} ) | [a-z0-9._~+/=-]{0,7} \Z ) )
      )
    | (?: %(names)s ) \\{0,3}
      (?: \Z | " [ \t\r\n]{0,8}
        (?: \Z | : [ \t\r\n]{0,8}
          (?: \Z
            | " (?: \Z | (?P<string> [^"] ) )
            | \\{1,3} (?: \Z | " (?: \Z | (?P<nested> [^"\\] ) ) )    # JSON in a JSON string, such as arguments
          )
        )
      )
    """
    % {b"keys": b"|".join(_KEY_PREFIXES), b"names": b"|".join(_SECRET_NAMES)},
    re.VERBOSE,
)

#: How a secret goes on, by the group of `_WHOLE` that found it.
_RUNS = {
    "key": re.compile(rb"[A-Za-z0-9_-]*"),
    "token": re.compile(rb"[A-Za-z0-9._~+/=-]*"),
    "string": re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL),
    "nested": re.compile(rb'[^"\\]*'),
}


class LiteralMasker:
    """Masks given byte strings.  Occurrences that overlap are masked as one."""

    __slots__ = ("_covered", "_held", "_literals")

    def __init__(self, literals: tuple[bytes, ...]) -> None:
        """@param literals: what to mask; none of them empty."""
        self._literals = literals
        self._held = b""
        self._covered = 0  # so many bytes of _held belong to an occurrence that was masked in the output already

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        return self._mask(data, min(_beginning(data, literal) for literal in self._literals))

    def end(self) -> bytes:
        return self._mask(self._held, len(self._held))

    def _mask(self, data: bytes, cut: int) -> bytes:
        """Return ``data[:cut]`` masked and hold the rest."""
        at = self._covered
        out: list[bytes] = []
        for start, stop in sorted(span for literal in self._literals for span in _spans(data, literal, cut)):
            if start >= at:
                out += (data[at:start], _MASK)
            at = max(at, stop)
        out.append(data[at:cut])
        self._held, self._covered = data[cut:], max(at - cut, 0)
        return b"".join(out)


def _spans(data: bytes, literal: bytes, cut: int) -> list[tuple[int, int]]:
    """Where `literal` stands in `data`, those that begin before `cut`."""
    spans = []
    at = data.find(literal)
    while 0 <= at < cut:
        spans.append((at, at + len(literal)))
        at = data.find(literal, at + 1)
    return spans


def _beginning(data: bytes, literal: bytes) -> int:
    """Where a beginning of `literal` starts with which `data` ends; the length of `data` if with none."""
    if not data or data[-1] not in literal:  # the usual case: an event ends with a line feed
        return len(data)
    at = data.find(literal[:1], max(0, len(data) - len(literal) + 1))
    while at >= 0 and not literal.startswith(data[at:]):
        at = data.find(literal[:1], at + 1)
    return at if at >= 0 else len(data)


class PatternMasker:
    """Masks what looks like a secret by how it begins (`TRIGGERS`, `_WHOLE`) and goes on (`_RUNS`)."""

    __slots__ = ("_behind", "_held", "_run")

    def __init__(self) -> None:
        self._behind = b""  # the last bytes that were dealt with
        self._held = b""  # what is not yet decided
        self._run: re.Pattern[bytes] | None = None  # how the secret goes on in the midst of which the text was cut

    def feed(self, data: bytes) -> bytes:
        return self._mask(data, final=False) if data else b""

    def end(self) -> bytes:
        return self._mask(b"", final=True)

    def _mask(self, data: bytes, *, final: bool) -> bytes:
        behind = self._behind
        text = behind + self._held + data
        lower = text.lower()
        out: list[bytes] = []
        at = len(behind)
        while True:
            if self._run is not None:
                at = self._end_of_run(self._run, text, at, final=final)
                if self._run is not None:
                    break
            found = _TRIGGER.search(lower, at)
            if found is None:
                cut = len(text) if final else _undecided(lower, at)
                out.append(text[at:cut])
                at = cut
                break
            start = found.start()
            whole = _WHOLE.match(lower, start)
            if whole is None or (final and whole.lastgroup is None):
                out.append(text[at : start + 1])
                at = start + 1
            elif whole.lastgroup is None:
                out.append(text[at:start])
                at = start
                break
            else:
                secret = whole.start(whole.lastgroup)
                out += (text[at:secret], _MASK)
                at = secret
                self._run = _RUNS[whole.lastgroup]
        self._behind, self._held = text[max(0, at - _BEHIND) : at], text[at:]
        return b"".join(out)

    def _end_of_run(self, run: re.Pattern[bytes], text: bytes, at: int, *, final: bool) -> int:
        """Where the secret ends that goes on at `at`; `_run` is None then unless more of it may come."""
        match = run.match(text, at)
        end = match.end() if match is not None else at
        # a backslash at the end of a string's text is half an escape
        if end == len(text) or (text[end:] == b"\\" and run is _RUNS["string"] and not final):
            return end
        self._run = None
        return end


def _undecided(lower: bytes, at: int) -> int:
    """Where the beginning of a trigger starts with which the text from `at` on ends; its length if with none."""
    size = len(lower)
    if size > at and lower[-1] in _LAST_BYTES:
        for start in range(max(at, size - _LONGEST), size):
            if lower[start:] in _BEGINNINGS:
                return start
    return size
