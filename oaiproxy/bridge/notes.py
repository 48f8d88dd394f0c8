"""What a client is told of a translation that could not keep everything: the ``x-oaiproxy-warning`` header."""

from __future__ import annotations

#: How many of a client's unknown fields are named; a response header has to stay small.
MAX_UNKNOWN = 16


def shown(name: str) -> str:
    """A client's own word, fit for a header's list: printable ASCII without commas, and short."""
    clean = "".join(c if " " < c < "\x7f" and c != "," else "?" for c in name)
    return clean if len(clean) <= 64 else clean[:61] + "..."


class Notes:
    """Collects warnings: each once, in the order they came up."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}
        self._unknown: dict[str, None] = {}

    def add(self, warning: str) -> None:
        """Note that something was changed; `warning` is ASCII without commas (``clamped max_tokens to 16``)."""
        self._seen.setdefault(warning)

    def dropped(self, what: str, why: str) -> None:
        """Note that a field was left out."""
        self.add(f"dropped {what} ({why})")

    def unknown(self, name: str) -> None:
        """Note that a field nobody knows was left out."""
        self._unknown.setdefault(shown(name))

    def all(self) -> tuple[str, ...]:
        """Every warning."""
        names = list(self._unknown)
        unknown = [f"dropped {name} (unknown field)" for name in names[:MAX_UNKNOWN]]
        if len(names) > MAX_UNKNOWN:
            unknown.append(f"dropped {len(names) - MAX_UNKNOWN} more unknown fields")
        return (*self._seen, *unknown)
