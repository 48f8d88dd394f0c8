"""Names of models, and globs of them: which of several tables is a model's own."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def is_glob(pattern: str) -> bool:
    """Whether a pattern stands for several names (``*``, ``?``, ``[...]``, as in a shell)."""
    return any(sign in pattern for sign in "*?[")


def best_match(patterns: Sequence[str], names: Sequence[str], exact: Sequence[str] = ()) -> int | None:
    """Which of several patterns fits a model best.

    An exact name comes before a glob, a longer glob before a shorter one; of two that are alike the first counts.

    @param patterns: names and globs.
    @param names: what the model is called, the most exact name first.
    @param exact: further names, before those, that only an exact pattern fits.
    @return: the pattern's place, or None where none fits.
    """
    for name in (*exact, *names):
        if name in patterns:
            return patterns.index(name)
    fitting = (n for n, pattern in enumerate(patterns) if any(fnmatchcase(name, pattern) for name in names))
    # max keeps the first of those that are as long
    return max(fitting, key=lambda n: len(patterns[n]), default=None)
