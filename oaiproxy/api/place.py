"""Where in the code an error came from, for logs in which its message must not stand: it may hold a client's words."""

from __future__ import annotations

import traceback
from pathlib import Path


def place_of(error: BaseException, skip: int = 0) -> str:
    """The places in the code at which an error was raised, the innermost last; not all of a recursion without end.

    @param skip: how many of the outermost are of no interest.
    """
    frames = traceback.extract_tb(error.__traceback__)[skip:][-4:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames) or "its call"


def trace_of(error: BaseException) -> str:
    """The whole way to an error and what kind of one it is, a line for each place; nothing of what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    shown = [*frames[:10], *frames[10:][-20:]]
    lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in shown]
    return "\n".join(["Traceback (what the error says is left out):", *lines, type(error).__qualname__])


def let_go(error: BaseException) -> None:
    """Let go of all that an exception holds, once it was dealt with.

    It holds the frames that it came through, and one of them mostly holds it in turn, with all of what it worked on:
    nothing of that would be gone before the garbage collector finds it.
    """
    held: BaseException | None = error
    while held is not None:
        following = held.__cause__ or held.__context__
        held.__traceback__ = held.__cause__ = held.__context__ = None
        held = following
