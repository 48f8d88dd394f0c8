"""What a client is told of a translation that could not keep everything, and when that is too much."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.notes import Dropped, Note, dropped

#: How many of a client's unknown fields are named; a response header has to stay small.
MAX_UNKNOWN = 16


def shown(name: str) -> str:
    """A client's own word, fit for a header's list: printable ASCII without commas, and short."""
    clean = "".join(c if " " < c < "\x7f" and c != "," else "?" for c in name)
    return clean if len(clean) <= 64 else clean[:61] + "..."


class Notes:
    """Collects notes: each once, in the order they came up."""

    def __init__(self) -> None:
        self._seen: dict[str, Note] = {}
        self._unknown: dict[str, Dropped] = {}

    def add(self, warning: str) -> None:
        """Note that something was changed; `warning` is ASCII without commas (``clamped max_tokens to 16``)."""
        self._seen.setdefault(warning, Note(warning))

    def dropped(self, what: str, why: str, param: str | None = None) -> None:
        """Note that something the client asked for was left out.

        @param what: how the client is told of it: the field, or a word for many of them.
        @param why: the reason.
        @param param: the very field in the client's words, where that is not `what`.
        """
        note = dropped(what, why, param)
        self._seen.setdefault(note.text, note)

    def unknown(self, name: str, param: str | None = None) -> None:
        """Note that a field nobody knows was left out; `name` and `param` as in `dropped`."""
        note = dropped(shown(name), "unknown field", None if param is None else shown(param))
        self._unknown.setdefault(note.text, note)

    def all(self) -> tuple[Note, ...]:
        """Every note."""
        unknown: list[Note] = list(self._unknown.values())
        if len(unknown) > MAX_UNKNOWN:
            unknown[MAX_UNKNOWN:] = [Note(f"dropped {len(unknown) - MAX_UNKNOWN} more unknown fields")]
        return (*self._seen.values(), *unknown)


def excused(notes: Iterable[Note], demanded: Collection[str]) -> tuple[Note, ...]:
    """Notes, of which those about the operator's fields are no loss to the client: it asked for none of them.

    It is told all the same, for whoever looks for the effect of a rule that has none.

    @param demanded: the fields that the operator's rules have set.
    """
    return tuple(_of_rule(note) if _field(note) in demanded else note for note in notes)


def _field(note: Note) -> str:
    return re.split(r"[.\[]", note.param, maxsplit=1)[0] if isinstance(note, Dropped) else ""


def _of_rule(note: Note) -> Note:
    return Note(f"{note.text.removesuffix(')')}; it is set by a rule of this proxy)")


#: So many fields the refusal of a strict proxy names.
MAX_REFUSED = 8


def too_lossy(notes: Iterable[Note]) -> BadRequest | None:
    """The error of a strict proxy for a request of which something would be left out, or None where nothing is.

    @param notes: all that the client would have been told.
    @return: its `param` is the first field of them.
    """
    lost = [note for note in notes if isinstance(note, Dropped)]
    if not lost:
        return None
    names = [f"'{note.param}' ({note.why})" for note in lost[:MAX_REFUSED]]
    if len(lost) > MAX_REFUSED:
        names.append(f"{len(lost) - MAX_REFUSED} more")
    return BadRequest(
        f"This proxy is strict and would have to leave out {', '.join(names)}. Leave "
        f"{'it' if len(lost) == 1 else 'them'} out of the request, or start the proxy without --strict (for this "
        "request alone: send the header x-oaiproxy-strict: false).",
        param=lost[0].param,
        code="unsupported_parameter",
    )
