"""The demo's tokens: words with the blank before them, and runs of punctuation.

They are what usage counts, what a stream sends one of at a time, and what the output limits cut at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOKEN = re.compile(r"\s?\w+(?:'\w+)*|\s?[^\w\s]+|\s+")

#: What an image, a file and an audio clip count for in the input, in tokens.
MEDIA_TOKENS = {"image": 85, "file": 100, "audio": 50}


def split(text: str) -> list[str]:
    """The tokens of `text`; joined, they are `text` again."""
    return _TOKEN.findall(text)


def count(texts: Iterable[str]) -> int:
    """How many tokens there are in all of `texts`."""
    return sum(len(_TOKEN.findall(text)) for text in texts)


def logprobs(text: str, alternatives: int) -> list[dict[str, object]]:
    """A log probability for each token of `text`, in the shape both APIs share.

    The numbers follow from the token alone.

    @param alternatives: how many entries ``top_logprobs`` gets: the token itself, then less likely spellings of it.
    """
    return [_logprob(token, alternatives) for token in split(text)]


def _logprob(token: str, alternatives: int) -> dict[str, object]:
    raw = token.encode()
    likely = -(sum(raw) % 100) / 1000
    top = [_alternative(token + "'" * n, likely - n) for n in range(alternatives)]
    return {**_alternative(token, likely), "top_logprobs": top}


def _alternative(token: str, value: float) -> dict[str, object]:
    return {"token": token, "logprob": round(value, 3), "bytes": list(token.encode())}
