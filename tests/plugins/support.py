"""Chat requests for transforms, and what they are run with."""

from __future__ import annotations

from typing import Any

from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings
from oaiproxy.transforms import TransformContext


def chat(**body: Any) -> ApiRequest:
    """A chat request on a bridge port with this JSON body."""
    return ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), Body.of(body))


def context(**settings: Any) -> TransformContext:
    """The built-in models, and these settings."""
    return TransformContext(Settings(**settings), Catalogue.builtin())
