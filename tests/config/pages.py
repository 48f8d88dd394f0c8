"""What people read of the settings, made from the table that the code reads.

``python -m tests.config.pages`` writes ``docs/configuration.md`` and ``.env.example`` anew; a test says when that is
due.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from oaiproxy.config.models import KEYS
from oaiproxy.config.sources import option_of
from oaiproxy.config.table import SETTINGS, Job, Setting

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / ".env.example"

BEGIN, END = "<!-- settings: made by tests/config/pages.py -->\n", "<!-- end of settings -->\n"

#: What is no setting of the table: where the ports and the file are.
PLACES = (
    (
        "--passthrough WHERE",
        "OAIPROXY_PASSTHROUGH",
        "`[[ports]]`",
        "5101",
        "listen there and pass everything on; several in one variable are separated by spaces",
    ),
    ("--bridge WHERE", "OAIPROXY_BRIDGE", "`[[ports]]`", "5102", "listen there and bridge"),
    (
        "--interface ADDRESS",
        "OAIPROXY_INTERFACE",
        "`interface` of a port",
        "127.0.0.1 and ::1",
        "the address for bare port numbers",
    ),
    ("--config FILE", "OAIPROXY_CONFIG", "", "", "the file"),
    ("--list-transforms", "OAIPROXY_LIST_TRANSFORMS", "", "", "show the request transforms, and exit"),
    ("--list-tools", "OAIPROXY_LIST_TOOLS", "", "", "show the tools that the proxy can run, and exit"),
)


def names(setting: Setting) -> Iterator[str]:
    """The variables of a setting."""
    for name in setting.variables:
        yield name
        if setting.file:
            yield name + "_FILE"


def option(setting: Setting) -> str:
    """How its option is written."""
    name = option_of(setting)
    if name is None:
        return ""
    takes = "FILE" if setting.file and not setting.option else setting.takes
    return f"--{name} {takes}".rstrip()


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables() -> str:
    """The tables of the page."""
    head = [_row("option", "variables", "key in the file", "default", "meaning"), _row(*["---"] * 5)]
    lines = ["### Ports and the file", "", *head]
    lines += [_row(f"`{o}`", f"`{v}`", key, default, meaning) for o, v, key, default, meaning in PLACES]
    for job in Job:
        lines += ["", f"### {job.value}", "", *head]
        for setting in SETTINGS:
            if setting.job is job:
                keys = [setting.key, *([setting.key + "_file"] if setting.file else [])]
                lines.append(
                    _row(
                        f"`{option(setting)}`" if option(setting) else "",
                        ", ".join(f"`{name}`" for name in names(setting)),
                        ", ".join(f"`{key}`" for key in keys),
                        setting.default or ("off" if setting.is_flag else ""),
                        setting.meaning.replace("<", "&lt;"),
                    )
                )
    lines += ["", "A table `[model.NAME]` may have: " + ", ".join(f"`{key}`" for key in KEYS) + "."]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it has to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def example() -> str:
    """``.env.example``: every variable, grouped by the job it does, all of them commented out."""
    lines = [
        "# Copy this to .env, beside where the service is started, and take away the # before what you need.",
        "# A variable of the environment wins over the same one here, and an option over both.",
        "# An empty variable says nothing. docs/configuration.md explains each.",
        "",
        "# == Ports and the file",
        "",
    ]
    for _, name, _, default, meaning in PLACES:
        lines += [f"# {meaning}", f"#{name}={default if default.isdigit() else ''}", ""]
    for job in Job:
        lines += [f"# == {job.value}", ""]
        for setting in SETTINGS:
            if setting.job is not job or not setting.variables:
                continue
            default = f" (default: {setting.default})" if setting.default else ""
            lines += textwrap.wrap(setting.meaning + default, 100, initial_indent="# ", subsequent_indent="# ")
            lines += [f"#{name}=" for name in names(setting)]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")
