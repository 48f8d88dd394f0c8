"""The arguments of a call, which servers give twice: as deltas, and as a whole at the end."""

from __future__ import annotations

import re

#: The most characters that wait for the end of a call because their deltas have white space between tokens.
HELD = 256

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_SPACE = re.compile(r"\s")


class Arguments:
    """Decides which of the arguments may go to the client now.

    A client can only append, so what was sent can never be taken back.  Deltas go on as they come, but for two cases in
    which the whole that follows is known to be another text:

     - They do not begin like a JSON object: some servers send the model's own notation first (XML) and JSON at the end.
     - They have white space between tokens: some servers write the whole anew, without it.  OpenAI's models leave it
       out, so nothing of theirs waits; and no more than `HELD` characters wait for this reason.

    @ivar free: whether it is a custom tool's free text and not JSON; then nothing waits.
    """

    __slots__ = (
        "_begun",
        "_escaped",
        "_length",
        "_quoted",
        "_received",
        "_sent",
        "_settled",
        "_spaced",
        "_stray",
        "free",
    )

    def __init__(self) -> None:
        self.free = False
        self._received: list[str] = []
        self._sent = 0  # how many of `_received` went to the client
        self._length = 0
        self._settled = False
        self._begun = False  # whether there was anything but white space
        self._stray = False  # whether that is no object
        self._spaced = False  # whether there was white space between tokens
        self._quoted = False  # whether the deltas so far end inside a string,
        self._escaped = False  # and behind a backslash

    @property
    def sent(self) -> bool:
        """Whether any of it went to the client."""
        return self._sent > 0

    @property
    def whole(self) -> str:
        """All of it, as far as it is known."""
        return "".join(self._received)

    def add(self, delta: str) -> None:
        """Take more of it; stale once it is settled."""
        if self._settled:
            return
        self._received.append(delta)
        self._length += len(delta)
        if self.free or self._spaced or self._stray:
            return
        if not self._begun:
            delta = delta.lstrip()
            self._begun = delta != ""
            self._stray = self._begun and not delta.startswith("{")
        self._spaced = self._has_space(delta)

    def settle(self, final: str) -> None:
        """Take the whole.  What was sent and does not lead up to it stays as it is, and so does what follows it."""
        if self._settled or not final:
            return
        self._settled = True
        if final == "{}" and self._begun and not self._stray:
            return  # LM Studio ends some calls so, whatever their arguments were
        sent = "".join(self._received[: self._sent])
        if final.startswith(sent):
            self._received = [sent, final[len(sent) :]] if sent else [final]
            self._sent = len(self._received) - 1

    def close(self) -> None:
        """Take that nothing more comes."""
        self._settled = True

    def take(self) -> str:
        """What may go to the client now, and did not yet."""
        waits = not self._begun or self._stray or (self._spaced and self._length <= HELD)
        if waits and not self._settled and not self.free:
            return ""
        text = "".join(self._received[self._sent :])
        self._sent = len(self._received)
        return text

    def _has_space(self, delta: str) -> bool:
        """Whether `delta` has white space outside of strings; notes where it ends."""
        if self._escaped:
            delta, self._escaped = delta[1:], False
        if "\\" in delta:
            delta = _ESCAPE.sub("", delta)
            self._escaped = delta.endswith("\\")
        pieces = delta.split('"')
        outside = pieces[1 if self._quoted else 0 :: 2]
        if len(pieces) % 2 == 0:
            self._quoted = not self._quoted
        return any(_SPACE.search(piece) for piece in outside)
