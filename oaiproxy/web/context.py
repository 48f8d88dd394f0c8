"""What a port's resources work with."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.bridge import Learnt
from oaiproxy.interfaces import IExchangeObserver
from oaiproxy.models import Catalogue
from oaiproxy.relay import UpstreamClient
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline


def _ids() -> Iterator[str]:
    # unique among restarts as well, so that a traffic log can be joined with an older one
    run = secrets.token_hex(4)
    return (f"{run}-{n}" for n in itertools.count(1))


@dataclass(frozen=True, slots=True)
class PortContext:
    """The parts that a kind of port is made of.

    @ivar kind: what the port does with requests.
    @ivar settings: the service's settings.
    @ivar models: the models and what each can do.
    @ivar pipeline: the request transforms.
    @ivar upstream: where requests go.
    @ivar clock: tells the time and calls later.
    @ivar observers: who is told what passes through; usually nobody.
    @ivar learnt: what upstream was seen to refuse.
    @ivar ids: gives each exchange its id.
    """

    kind: PortKind
    settings: Settings
    models: Catalogue
    pipeline: Pipeline
    upstream: UpstreamClient
    clock: Any
    observers: Sequence[IExchangeObserver] = ()
    learnt: Learnt = field(default_factory=lambda: Learnt(time.monotonic))
    ids: Iterator[str] = field(default_factory=_ids)
