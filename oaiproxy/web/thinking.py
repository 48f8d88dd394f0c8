"""Which chat requests on a passthrough port get their answers read: for the thoughts that are left in the text, for
calls of tools that the proxy runs, and for what they cost."""

from __future__ import annotations

from typing import Any

import msgspec

from oaiproxy.rates import may_stream
from oaiproxy.rules.route import find_route
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.web.context import PortContext
from oaiproxy.web.dialects import Dialect, chat_as_is
from oaiproxy.web.site import ProxyRequest


class _Named(msgspec.Struct):
    # the parser skips all else without building it
    model: Any = None


_PATHS = ("/chat/completions", "/completions")

_decoder = msgspec.json.Decoder(_Named)


def chat_dialect(port: PortContext, request: ProxyRequest) -> Dialect | None:
    """How a chat request is said upstream whose answer is a chat answer too.

    @param request: the request, its body collected.
    @return: None where nobody has to read the answer, so that the request is passed on as it is.
    """
    rules = think_rules(port, request) if port.settings.think.on else None
    # a compressed request cannot be read, and is upstream's to judge
    tools = port.tools and not request.getHeader(b"content-encoding")
    return chat_as_is(rules) if tools or rules is not None or asks_usage(port, request) else None


def completions_dialect(port: PortContext, request: ProxyRequest) -> Dialect | None:
    """The same for completions of prompts, in which nothing but what they cost is looked for."""
    return chat_as_is(None) if asks_usage(port, request) else None


def asks_usage(port: PortContext, request: ProxyRequest) -> bool:
    """Whether upstream has to be asked what the answer costs: it may be a stream, or one by the port's rules, or nobody
    can tell before the request is read."""
    if not port.settings.rates.tokens:
        return False
    return (
        may_stream(request.body.data or b"")
        or request.getHeader(b"content-encoding") is not None
        or any(port.pipeline.for_request(port.kind, path) for path in _PATHS)
    )


def think_rules(port: PortContext, request: ProxyRequest) -> ThinkRules | None:
    """What is done with the thoughts in the answer to a chat request.

    @return: None where nothing is, so that the request may be passed on as it is; also where nobody can read it.
    """
    named = sent = None
    if not request.getHeader(b"content-encoding"):
        try:
            model = _decoder.decode(request.body.data or b"").model
        except (ValueError, RecursionError):
            return None
        named = model if isinstance(model, str) else None
        sent = find_route(port.settings.rules, named).model
    rules = port.settings.think.rules_for(named, sent)
    return None if rules.mode is ThinkMode.OFF else rules
