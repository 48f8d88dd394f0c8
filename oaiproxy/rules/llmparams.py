"""``LLM_PARAMS``: parameters by model in one line, as users of cot_proxy have it."""

from __future__ import annotations

from oaiproxy.rules.tables import ModelTable


def parse_llm_params(value: object) -> tuple[ModelTable, ...]:
    """What ``LLM_PARAMS`` says.

    @param value: ``model=NAME,key=value,...;model=NAME2,...``.
    @return: a table for each model; ``model=default`` is the one of requests that name no model.
    @raise ValueError: it is malformed; the message says where.
    """
    raise NotImplementedError
