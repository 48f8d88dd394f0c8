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
from oaiproxy.interfaces import IExchangeObserver, IStateStore
from oaiproxy.models import Catalogue
from oaiproxy.relay import UpstreamClient
from oaiproxy.rules.route import own_models
from oaiproxy.settings import ReasoningContinuity, Settings
from oaiproxy.tools import ToolBox
from oaiproxy.transforms import Pipeline, TransformContext
from oaiproxy.web.access import Keys
from oaiproxy.web.continuity import Continuity
from oaiproxy.web.exchanges import Exchanges
from oaiproxy.web.ratelimits import RateLimits

#: The name by which requests that have been through this process are known (`oaiproxy.api.loop`).
MARK = b"oaiproxy-" + secrets.token_hex(8).encode()


def _ids() -> Iterator[str]:
    # unique among restarts as well, so that a traffic log can be joined with an older one
    run = secrets.token_hex(4)
    return (f"{run}-{n}" for n in itertools.count(1))


@dataclass(frozen=True, slots=True)
class PortContext:
    """The parts that a kind of port is made of.

    @ivar kind: what the port does with requests.
    @ivar settings: the service's settings.
    @ivar models: the models and what each can do, those that the port's rules make among them.
    @ivar pipeline: the request transforms; those that have nothing to do with such settings are left out.
    @ivar upstream: where requests go.
    @ivar clock: tells the time and calls later.
    @ivar observers: who is told what passes through; usually nobody.
    @ivar learnt: what upstream was seen to refuse.
    @ivar ids: gives each exchange its id.
    @ivar debug: whether the service's log has a line for each exchange.
    @ivar tools: the tools that the proxy runs itself; those that the port does not run are left out.
    @ivar store: keeps what outlives an exchange.
    @ivar keep_seconds: for how long turns of conversations are kept.
    @ivar continuity: the kept turns; None where none are kept.
    @ivar keys: who may use the port, and which key goes upstream.
    @ivar census: those of all ports of the process, for who counts them.
    @ivar known: what request transforms may know.
    @ivar rates: how many requests and tokens a minute may have; None where nothing is limited.
    @ivar exchanges: those that run at the moment.
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
    debug: bool = False
    tools: ToolBox = field(default_factory=ToolBox)
    census: list[Exchanges] = field(default_factory=list)
    store: IStateStore | None = None
    keep_seconds: float = 86400.0
    keys: Keys = field(init=False)
    continuity: Continuity | None = field(init=False)
    known: TransformContext = field(init=False)
    rates: RateLimits | None = field(init=False)
    exchanges: Exchanges = field(init=False)

    def __post_init__(self) -> None:
        # decided here, once, and not for every request
        object.__setattr__(self, "keys", Keys(self.settings.access))
        limits = self.settings.concurrency
        object.__setattr__(self, "exchanges", Exchanges(limits.port, limits.client))
        self.census.append(self.exchanges)
        object.__setattr__(self, "rates", self._rates())
        object.__setattr__(self, "tools", self.tools.for_settings(self.settings.tools))
        object.__setattr__(self, "pipeline", self.pipeline.for_settings(self.settings))
        object.__setattr__(self, "models", self.models.with_models(own_models(self.settings.rules)))
        object.__setattr__(self, "known", TransformContext(self.settings, self.models))
        object.__setattr__(self, "continuity", self._continuity())

    def _continuity(self) -> Continuity | None:
        mode = self.settings.reasoning_continuity
        if self.store is None or mode is ReasoningContinuity.OFF:
            return None
        return Continuity(mode, self.store, self.keep_seconds, self.models, self.clock.seconds)

    def _rates(self) -> RateLimits | None:
        rates = self.settings.rates
        if not (rates.requests or rates.tokens):
            return None
        # each kind of port to an upstream is one, wherever it listens
        port = f"{self.kind.value} {self.settings.upstream}"
        return RateLimits(rates, self.keys, port, self.store, self.clock.seconds)
