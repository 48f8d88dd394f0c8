"""The table of client profiles in docs/clients.md, made from the data.

``python -m tests.clients.table`` writes it anew; a test says when that is due.
"""

from __future__ import annotations

from pathlib import Path

from oaiproxy.clients import DEFAULT, ClientProfile
from oaiproxy.clients.book import builtin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"

BEGIN, END = "<!-- profiles: made by tests/clients/table.py -->\n", "<!-- end of profiles -->\n"

#: What is said of each difference from the default.
DIFFERENCES = {
    "reasoning_field": "reasoning in `{0}`",
    "keepalive": "keep-alive as `{0}`",
    "model_list": "model list in the form `{0}`",
    "errors": "errors as `{0}`",
    "accepts": "accepts `{0}`",
}


def differences(profile: ClientProfile) -> list[str]:
    """What a profile does in another way than the default."""
    found = []
    for field, words in DIFFERENCES.items():
        value = getattr(profile, field)
        if value != getattr(DEFAULT, field):
            values = sorted(v.value for v in value) if isinstance(value, frozenset) else [value.value]
            found.append("no reasoning" if values == ["none"] else words.format("`, `".join(values)))
    return found


def table() -> str:
    """The table, a row for each profile."""
    rows = ["| profile | client | its User-Agent | what differs | evidence |", "| --- | --- | --- | --- | --- |"]
    for profile in builtin().profiles[1:]:
        chosen = "" if profile.user_agents else ": **chosen only by name**"
        what = "; ".join(differences(profile)) or "nothing"
        cells = (
            f"`{profile.name}`",
            profile.title,
            f"{profile.sends}{chosen}",
            f"**{what}.** {profile.notes}",
            "; ".join(profile.evidence),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The page as it has to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
