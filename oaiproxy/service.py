"""Settings become a running service: the one place where the parts are put together."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from oaiproxy import __version__
from oaiproxy.discovery import BrokenPlugin
from oaiproxy.garbage import QUIET_EVERY, collect_when_quiet, settle
from oaiproxy.handedover import NOTHING_HANDED_OVER, check_handed_over
from oaiproxy.interfaces import IExchangeObserver, IStateStore
from oaiproxy.observe.traffic import TrafficLog
from oaiproxy.relay import UpstreamClient, own_address
from oaiproxy.settings import DEMO, Port, ServiceSettings
from oaiproxy.stopping import EXIT_ENDED, StartFailed, Stopping
from oaiproxy.store import MemoryStore, StoreRefused, open_store
from oaiproxy.tools import ToolBox, ToolBoxError
from oaiproxy.transforms import Pipeline
from oaiproxy.upstreams import Shared
from oaiproxy.web import Connections, Drain, Exchanges, PortContext, ProxySite, resource_tree

#: A machine without IPv6 says one of these of ``::1``.
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}


@dataclass(frozen=True, slots=True)
class Part:
    """What is otherwise where the process is one of several that are one service (`oaiproxy.workers`).

    @ivar sockets: opens the ports in the reactor's place.
    @ivar ready: called when connections are taken, in place of saying so in the log.
    @ivar closed: called when the ports are closed.
    @ivar demo: base URL of the embedded upstream that another process has; or nothing.
    @ivar log: descriptor of the traffic log that another process has begun, or None.
    @ivar connections: told how many connections of clients there are, whenever that changes.
    @ivar serves: whether it answers requests, and does not only see whether it could.
    """

    sockets: Any
    ready: Callable[[], None]
    closed: Callable[[], None]
    demo: str = ""
    log: int | None = None
    connections: Callable[[int], None] | None = None
    serves: bool = True


class ProxyService(MultiService):
    """The proxy: its ports, and what they share.

    @ivar addresses: where each kind of port listens, as base URLs or, for sockets that have none, as descriptions.
    @ivar traffic: the traffic log, where there is one.
    @ivar demo: base URL of the embedded upstream, where it is used.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: ServiceSettings,
        pipeline: Pipeline,
        broken: Sequence[BrokenPlugin] = (),
        tools: ToolBox | None = None,
        stopping: Stopping | None = None,
        part: Part | None = None,
    ) -> None:
        """
        @param reactor: for sockets and time.
        @param settings: what the service is told.
        @param pipeline: the request transforms.
        @param broken: plugins that could not be loaded; they are named in the log.
        @param tools: the tools that were found.
        @param stopping: the end of the process, where the service is all that it does.
        @param part: what is otherwise where the process is one of several.
        @raise StartFailed: an endpoint description is wrong, or a port is to run a tool that there is not.
        """
        super().__init__()
        self._reactor = reactor
        self._settings = settings
        self._pipeline = pipeline
        self._broken = broken
        self._tools = tools or ToolBox()
        self._stopping = stopping
        self._part = part
        self._drain: Drain | None = None
        self._check_tools()
        self._endpoints = [
            (number, text, self._endpoint(text, reactor if part is None else part.sockets))
            for number, port in enumerate(settings.ports)
            for text in port.endpoints
        ]
        self._listening: list[IListeningPort] = []
        self._demo: list[IListeningPort] = []
        self._upstreams: Sequence[UpstreamClient] = ()
        self._store: IStateStore | None = None
        self.addresses: list[tuple[Port, str]] = []
        self.traffic: TrafficLog | None = None
        self.demo = ""

    def _check_tools(self) -> None:
        for port in self._settings.ports:
            try:
                self._tools.for_settings(port.settings.tools)
            except ToolBoxError as e:
                raise StartFailed(f"oaiproxy: {e} (see --list-tools)") from None

    @staticmethod
    def _endpoint(text: str, sockets: Any) -> IStreamServerEndpoint:
        try:
            endpoint: IStreamServerEndpoint = serverFromString(sockets, text)
            check_handed_over(endpoint)
        except Exception as e:
            # what Twisted says of a socket that systemd has not handed over is its name, or less
            reason = NOTHING_HANDED_OVER if isinstance(e, LookupError) and text.startswith("systemd:") else e
            raise StartFailed(f"oaiproxy: {text!r} is no endpoint to listen on: {reason}") from None
        return endpoint

    def privilegedStartService(self) -> None:
        """Open the ports while the process may still open low ones."""
        self._open()
        super().privilegedStartService()

    def startService(self) -> None:
        if not self._listening:
            # `twist` knows no privileged start
            self._open()
        if self._stopping is not None:
            self._stopping.listen(self._hurry)
        super().startService()

    def _hurry(self) -> None:
        if self._drain is not None:
            self._drain.hurry()

    def stopService(self) -> Deferred[Any]:
        """Close the ports, let what runs go on for a while, then close the idle connections and the log."""
        return Deferred.fromCoroutine(self._close())

    def stop_listening(self) -> Deferred[Any]:
        """Close the ports, and nothing else."""
        return _stop(self._listening)

    async def _close(self) -> None:
        if self._drain is not None:
            if self._stopping is None or self._stopping.announced:
                await self._drain.announce(self._settings.drain_delay if self._stopping is not None else 0)
            self._drain.begin()
        await self.stop_listening()
        if self._part is not None:
            self._part.closed()
        if self._drain is not None and not await self._drain.run() and self._stopping is not None:
            self._stopping.status = EXIT_ENDED
        # until now it had to answer
        await _stop(self._demo)
        await gatherResults([Deferred.fromCoroutine(upstream.close()) for upstream in self._upstreams])
        if self._store is not None:
            await self._store.close()
        await super().stopService()

    def _open(self) -> None:
        """Put the parts together and listen.

        @raise StartFailed: a port is taken, its upstream is the proxy itself, or the traffic log or the store cannot be
            written.
        """
        try:
            self._open_all()
        except StartFailed:
            _stop(self._listening)
            _stop(self._demo)
            if self._store is not None:
                self._store.close()
            raise

    def _open_all(self) -> None:
        settings, part = self._settings, self._part
        for plugin in self._broken:
            self._log.error("plugin {name} is left out: {reason}", name=plugin.name, reason=plugin.reason)
        observers: list[IExchangeObserver] = []
        if settings.log_file is not None:
            self.traffic = self._open_traffic(settings.log_file)
            observers.append(self.traffic)
        self._store = self._open_store()
        shared = Shared(self._reactor, self._open_demo)
        census: list[Exchanges] = []
        contexts = [
            PortContext(
                kind=port.kind,
                settings=port.settings,
                models=shared.models(port.settings.models_file),
                pipeline=self._pipeline,
                upstream=shared.upstream(port.settings),
                clock=self._reactor,
                observers=observers,
                learnt=shared.learnt(port.settings.upstream),
                debug=settings.debug,
                tools=self._tools,
                census=census,
                store=self._store,
                keep_seconds=settings.store.seconds,
            )
            for port in settings.ports
        ]
        sites = [ProxySite(resource_tree(context), context.kind.value, context.settings.limits) for context in contexts]
        self._drain = Drain(self._reactor, [site.connections for site in sites], census, settings.drain)
        self._upstreams = shared.upstreams
        own: dict[tuple[str, int], Port] = {}
        for number, text, endpoint in self._endpoints:
            port = settings.ports[number]
            listening = self._listen(endpoint, text, sites[number], optional=text in port.optional)
            if listening is not None:
                self._listening.append(listening)
                self.addresses.append((port, _address(listening, text)))
                own[_host_and_port(listening)] = port
        self._refuse_itself(own)
        if part is not None and part.connections is not None:
            self._tell_connections([site.connections for site in sites], part.connections)
        ready = self.say_ready if part is None else part.ready
        if self._stopping is not None:
            # the process is this service's
            self._reactor.callWhenRunning(settle)
            quiet = TimerService(QUIET_EVERY, lambda: collect_when_quiet(sum(map(len, census))))
            quiet.clock = self._reactor
            quiet.setServiceParent(self)
        # not before the reactor runs and heeds signals, in the turn after it has begun
        self._reactor.callWhenRunning(self._reactor.callLater, 0, ready)

    @staticmethod
    def _tell_connections(connections: Sequence[Connections], tell: Callable[[int], None]) -> None:
        """Tell how many connections there are: now, and whenever that changes."""

        def changed() -> None:
            tell(sum(map(len, connections)))

        for of_port in connections:
            of_port.changed = changed
        changed()

    def _open_store(self) -> IStateStore:
        settings, part = self._settings.store, self._part
        try:
            if part is None:
                return open_store(settings, self._reactor)
            if part.serves:
                # what it was made of was looked through by the one that does not serve
                return open_store(settings, self._reactor, check=False)
            open_store(settings, self._reactor).close()
        except StoreRefused as e:
            raise StartFailed(f"oaiproxy: --store: {e}") from None
        return MemoryStore(self._reactor.seconds)

    def _open_traffic(self, path: Path) -> TrafficLog:
        begun = None if self._part is None else self._part.log
        traffic = TrafficLog(path, self._reactor, begun=begun)
        try:
            traffic.open()
        except OSError as e:
            raise StartFailed(f"oaiproxy: {e}") from None
        traffic.setServiceParent(self)
        return traffic

    def say_ready(self) -> None:
        """Say in the log where the service listens and what its upstream is."""
        settings = self._settings
        for remark in settings.remarks:
            self._log.warn("{remark}", remark=remark)
        for port, address in self.addresses:
            self._log.info("{kind} port: {address}", kind=port.kind.value, address=address)
        urls = dict.fromkeys(port.settings.upstream for port in settings.ports)
        named = ", ".join("the embedded demo" if url == DEMO else url for url in urls)
        if settings.store.place is not None:
            self._log.info("store: {place}", place=str(settings.store.place))
        self._log.info("oaiproxy {version} is ready; upstream: {upstream}", version=__version__, upstream=named)
        if self._stopping is not None:
            self._stopping.ready(self.status)

    @property
    def status(self) -> str:
        """Where the service listens, in one line."""
        return ", ".join(f"{port.kind.value} port: {address}" for port, address in self.addresses)

    def _refuse_itself(self, own: Mapping[tuple[str, int], Port]) -> None:
        """See to it that no port's upstream is a port of ours: a request would come around until nothing is left.

        @param own: where the ports listen.
        @raise StartFailed: one is.
        """
        for settings in (port.settings for port in self._settings.ports if port.settings.upstream != DEMO):
            found = own_address(settings.upstream, own)
            if found is not None:
                said, kind = settings.upstream_said, own[found].kind.value
                # what other programs read too may be right for them
                ours = said.startswith(("--", "OAIPROXY_")) or ":" in said
                remedy = said if ours else "--upstream, which counts first,"
                raise StartFailed(
                    f"oaiproxy: {said} names the proxy itself: {settings.upstream} leads to its {kind} port at "
                    f"{found[0]} port {found[1]}. Set {remedy} to where requests are to go, such as "
                    "https://api.openai.com/v1"
                )

    def _open_demo(self) -> str:
        if self._part is not None and self._part.demo:
            return self._part.demo
        # imported late: a service with another upstream starts sooner without
        from oaiproxy.demo import demo_site

        text = "tcp:0:interface=127.0.0.1:backlog=1024"
        listening = self._listen(self._endpoint(text, self._reactor), text, demo_site(self._reactor), optional=False)
        assert listening is not None
        self._demo.append(listening)
        self.demo = _address(listening, text)
        return self.demo

    def _listen(
        self, endpoint: IStreamServerEndpoint, text: str, factory: IProtocolFactory, *, optional: bool
    ) -> IListeningPort | None:
        factory.noisy = False  # type: ignore[attr-defined]
        results: list[Any] = []
        # the endpoints of sockets give their result at once; a mistake has to be known before the process goes on
        endpoint.listen(factory).addBoth(results.append)
        result = results[0] if results else Failure(RuntimeError("it does not open at once"))
        if not isinstance(result, Failure):
            return result  # type: ignore[no-any-return]
        error = result.value
        if isinstance(error, CannotListenError):
            cause = error.socketError
            if optional and getattr(cause, "errno", None) in _NO_SUCH_ADDRESS:
                return None
            reason = getattr(cause, "strerror", None) or str(cause)
        else:
            reason = str(error)
        raise StartFailed(f"oaiproxy: cannot listen on {text}: {reason}")


def _stop(ports: list[IListeningPort]) -> Deferred[Any]:
    """Stop to listen."""
    closing = [maybeDeferred(port.stopListening) for port in ports]
    ports.clear()
    return gatherResults(closing)


def _host_and_port(port: IListeningPort) -> tuple[str, int]:
    """Where a port listens; of a socket that has no such address nothing and 0."""
    where = port.getHost()
    return getattr(where, "host", ""), getattr(where, "port", 0)


def _address(port: IListeningPort, text: str) -> str:
    """How people reach a port: a base URL where it has one."""
    where = port.getHost()
    host = getattr(where, "host", None)
    if host is None:
        return text
    scheme = "https" if text.startswith(("ssl:", "tls:")) else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{getattr(where, 'port', 0)}/v1"
