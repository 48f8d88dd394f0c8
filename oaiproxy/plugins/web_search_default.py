"""The hosted ``web_search`` tool for chat requests that name no tools, so that answers are up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.interfaces import IRequestTransform, ITransformContext
from oaiproxy.models import Capabilities
from oaiproxy.plugins.reasoning_default import effective_effort, has_less_than

#: Tokens.  Requests for less are for titles and tags, which need no search.
TINY_BUDGET = 256

#: The fields by which a chat request says something about tools, and about the form of the answer.
_TOOL_FIELDS = frozenset({"tools", "functions", "web_search_options", "tool_choice", "function_call"})
_FORM_FIELDS = frozenset({"response_format", "text"})


@implementer(IRequestTransform)
class WebSearchDefault:
    """Adds the ``web_search`` tool, unless the operator turned that off (`Settings.auto_web_search`)."""

    name = "web-search-default"
    phase = "defaults"
    before: tuple[str, ...] = ()
    # the effort decides whether a search is possible
    after = ("reasoning-default",)
    ports = frozenset({PortKind.BRIDGE})
    paths = frozenset({"/chat/completions"})

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        if not context.settings.auto_web_search:
            return request
        if not may_search(request.json, context.models.capabilities(request.model)):
            return request
        return request.with_added(tools=[{"type": "web_search"}])


def may_search(body: Mapping[str, Any], can: Capabilities) -> bool:
    """True if nothing in a chat request speaks against a search of which its client knows nothing.

    @param body: the chat request, with its reasoning settled.
    @param can: what the model takes.
    """
    return (
        can.web_search
        and not names_tools(body)
        and not wants_json(body)
        # upstream refuses searches at this effort: https://github.com/openai/codex/issues/3559
        and effective_effort(body, can) != "minimal"
        and not has_less_than(body, TINY_BUDGET)
    )


def names_tools(body: Mapping[str, Any]) -> bool:
    """True if a chat request says anything about tools or searching, even that there is to be none.

    An empty list says nothing: some clients always send one.
    """
    if _TOOL_FIELDS.isdisjoint(body):
        return False
    if body.get("tools") or body.get("functions") or body.get("web_search_options") is not None:
        return True
    return any(body.get(name) not in (None, "auto") for name in ("tool_choice", "function_call"))


def wants_json(body: Mapping[str, Any]) -> bool:
    """True if a chat request asks for free JSON, with which upstream does not search; a schema is no hindrance."""
    if _FORM_FIELDS.isdisjoint(body):
        return False
    text = body.get("text")
    forms = (body.get("response_format"), text.get("format") if isinstance(text, dict) else None)
    return any(isinstance(form, dict) and form.get("type") == "json_object" for form in forms)


web_search_default = WebSearchDefault()
