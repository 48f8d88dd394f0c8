"""The tables of the file that are about one model, or a glob of them: ``[model."gpt-5*"]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oaiproxy.config import values
from oaiproxy.rules.params import ParameterRules
from oaiproxy.rules.tables import ModelTable
from oaiproxy.rules.think import ThinkMode

#: What such a table may say.
KEYS: Mapping[str, Callable[[object], Any]] = {
    "param_defaults": values.parameters,
    "param_overrides": values.parameters,
    "param_drop": values.words,
    "param_rename": values.string_table,
    "append_to_last_user_message": values.appended,
    "upstream_model": values.text,
    "think": values.one_of(ThinkMode),
    "think_tag": values.text,
    "think_end_tag": values.text,
    "think_opened": values.flag,
}


def model_tables(value: object) -> tuple[ModelTable, ...]:
    """All tables about models.

    @raise ValueError: one of them says what nobody knows, or says it wrongly; the path is in the message.
    """
    return tuple(_table(name, given) for name, given in values.table(value).items())


def _table(name: str, value: object) -> ModelTable:
    if not isinstance(value, dict):
        raise ValueError(f"{name!r}: must be a table")
    said: dict[str, Any] = {}
    for key, given in value.items():
        if key not in KEYS:
            raise ValueError(f"{name!r}: {key}: there is no such setting; there are {', '.join(KEYS)}")
        try:
            said[key] = KEYS[key](given)
        except ValueError as e:
            raise ValueError(f"{name!r}: {key}: {e}") from None
    rules = ParameterRules(
        rename=said.get("param_rename", {}),
        drop=said.get("param_drop", ()),
        defaults=said.get("param_defaults", {}),
        overrides=said.get("param_overrides", {}),
        append=said.get("append_to_last_user_message"),
    )
    return ModelTable(
        pattern=name,
        rules=rules,
        upstream_model=said.get("upstream_model"),
        think=said.get("think"),
        think_tag=said.get("think_tag"),
        think_end_tag=said.get("think_end_tag"),
        think_opened=said.get("think_opened"),
    )
