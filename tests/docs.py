"""The tables of ``docs/bridge.md``, made from the tables that the code reads.

``python -m tests.docs`` writes them anew; a test fails where they differ from the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from oaiproxy.bridge.endings import FAILURES, FINISHES
from oaiproxy.bridge.events import EVENTS
from oaiproxy.bridge.failures import STATUS_BY_CODE
from oaiproxy.bridge.fields import EXTRA_FIELDS, FIELDS, Field
from oaiproxy.bridge.forms import FORMS
from oaiproxy.bridge.items import ANNOTATIONS, ITEMS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "bridge.md"

_PLACE = re.compile(r"(<!-- table: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = tuple[str, ...]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _fields(fields: Iterable[Field]) -> Iterator[Row]:
    for field in fields:
        yield _code(field.name), field.fate.value, _code(field.upstream) if field.upstream else "", field.note


def _forms() -> Iterator[Row]:
    for field, forms in FORMS.items():
        for form in forms:
            yield _code(field), _code(form.name) + ("" if form.chat else " (beyond Chat)"), form.fate.value, form.note


def _codes() -> Iterator[Row]:
    statuses: dict[int, list[str]] = {}
    for code, status in STATUS_BY_CODE.items():
        statuses.setdefault(status, []).append(code)
    for status, codes in sorted(statuses.items()):
        yield str(status), ", ".join(map(_code, codes))


_FIELD_HEAD = ("field", "fate", "upstream", "what happens")
_PLACE_HEAD = ("type", "place in the chat answer", "what happens")
_EVENT_HEAD = ("event", "what the client gets")


def tables() -> dict[str, str]:
    """All tables, by the name that stands in the page."""
    places = {name: [(_code(k), v.place.value, v.note) for k, v in kinds.items()] for name, kinds in _KINDS.items()}
    events = {
        own: [(_code(k), rule.note) for k, rule in EVENTS.items() if rule.published is own] for own in (True, False)
    }
    failures = [
        (
            case.when,
            "by its code" if case.status is None else str(case.status),
            _code(case.code) if case.code else "its own",
        )
        for case in FAILURES.values()
    ]
    return {
        "fields": table(_FIELD_HEAD, _fields(FIELDS.values())),
        "other fields": table(_FIELD_HEAD, _fields(EXTRA_FIELDS.values())),
        "forms": table(("field", "form", "fate", "what happens"), _forms()),
        **{name: table(_PLACE_HEAD, rows) for name, rows in places.items()},
        "events": table(_EVENT_HEAD, events[True]),
        "other events": table(_EVENT_HEAD, events[False]),
        "finish reasons": table(("when", "`finish_reason`"), ((f.when, _code(f.reason.value)) for f in FINISHES)),
        "failures": table(("what happened", "HTTP status", "`code`"), failures),
        "codes": table(("HTTP status", "upstream's code"), _codes()),
    }


_KINDS = {"items": ITEMS, "annotations": ANNOTATIONS}


def updated(page: str) -> str:
    """The page with its tables as they are in the code.

    @raise KeyError: it has a place for a table that does not exist.
    """
    made = tables()
    return _PLACE.sub(lambda match: match[1] + made[match[2]] + match[3], page)


def shown(page: str) -> set[str]:
    """The names of the tables that a page has a place for."""
    return {match[2] for match in _PLACE.finditer(page)}


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
