"""The upstreams of a service, and what is known of them: ports that are told the same share them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from oaiproxy.bridge import Learnt
from oaiproxy.models import Catalogue, CatalogueError
from oaiproxy.relay import AuthoritiesError, Retry, UpstreamClient, UpstreamTls, load_authorities
from oaiproxy.settings import DEMO, Settings, Timeouts
from oaiproxy.stopping import StartFailed


class Shared:
    """What ports share that are told the same; each part is made when a port asks for it."""

    _log = Logger()

    def __init__(self, reactor: Any, open_demo: Callable[[], str]) -> None:
        """
        @param reactor: for the clients' sockets and time.
        @param open_demo: opens the embedded upstream, once, where a port wants it; its base URL.
        """
        self._reactor = reactor
        self._open_demo = open_demo
        self._demo = ""
        self._upstreams: dict[tuple[str, Timeouts, int, Path | None], UpstreamClient] = {}
        self._learnt: dict[str, Learnt] = {}
        self._models: dict[Path | None, Catalogue] = {None: Catalogue.builtin()}

    @property
    def upstreams(self) -> Sequence[UpstreamClient]:
        """Every client that there is."""
        return tuple(self._upstreams.values())

    def upstream(self, settings: Settings) -> UpstreamClient:
        """The client of a port's upstream.

        @raise StartFailed: the file of further authorities cannot be used.
        """
        key = (settings.upstream, settings.timeouts, settings.retries, settings.upstream_ca)
        if key not in self._upstreams:
            self._upstreams[key] = UpstreamClient(
                self._reactor,
                self._url(settings.upstream),
                settings.timeouts,
                Retry(settings.retries),
                self._tls(settings.upstream_ca),
            )
        return self._upstreams[key]

    @staticmethod
    def _tls(authorities: Path | None) -> UpstreamTls | None:
        if authorities is None:
            return None
        try:
            return UpstreamTls(load_authorities(authorities))
        except AuthoritiesError as e:
            raise StartFailed(f"oaiproxy: upstream_ca: {e}") from None

    def _url(self, upstream: str) -> str:
        if upstream != DEMO:
            return upstream
        self._demo = self._demo or self._open_demo()
        return self._demo

    def learnt(self, upstream: str) -> Learnt:
        """What one port learns of an upstream holds for all."""
        return self._learnt.setdefault(upstream, Learnt(time.monotonic))

    def models(self, path: Path | None) -> Catalogue:
        """The model list in a file, or the built-in one."""
        if path not in self._models:
            assert path is not None
            try:
                self._models[path] = Catalogue.load(path)
            except CatalogueError as e:
                self._log.error("{error}; the built-in model list is served instead", error=str(e))
                self._models[path] = self._models[None]
        return self._models[path]
