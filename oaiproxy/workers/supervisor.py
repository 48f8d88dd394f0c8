"""Starts the workers, replaces those that die, and ends them all (``--workers``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from oaiproxy.discovery import BrokenPlugin
from oaiproxy.service import Part, ProxyService
from oaiproxy.settings import Port, ServiceSettings
from oaiproxy.stopping import EXIT_ENDED, EXIT_FAILED, Stopping, tell_operator
from oaiproxy.tools import ToolBox
from oaiproxy.transforms import Pipeline
from oaiproxy.workers.messages import HandOver, Imports, hand_over
from oaiproxy.workers.process import Worker, reactor_module
from oaiproxy.workers.restarts import Restarts
from oaiproxy.workers.sharedstore import SharedStore
from oaiproxy.workers.shares import Shares, new_memory
from oaiproxy.workers.sockets import Binding, is_adopted, places

#: A worker that has not ended so many seconds after its drain is over is killed: it does nothing any more.
GRACE = 10.0


def processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # elsewhere than on Linux
        return os.cpu_count() or 1


class Supervisor(Service):
    """Several workers that are one service.

    What a single process does to start is done here too, with ports that accept nothing: so each mistake is said in the
    same way, and once.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: ServiceSettings,
        count: int,
        pipeline: Pipeline,
        broken: Sequence[BrokenPlugin],
        tools: ToolBox,
        stopping: Stopping,
    ) -> None:
        """
        @param reactor: for sockets, processes and time.
        @param settings: what the service is told.
        @param count: how many workers there are to be.
        @param pipeline: the request transforms.
        @param broken: plugins that could not be loaded.
        @param tools: the tools that were found.
        @param stopping: the end of the process.
        @raise StartFailed: see `ProxyService`.
        """
        self._reactor = reactor
        self._settings = settings
        self._stopping = stopping
        self._sockets = Binding(reactor)
        part = Part(sockets=self._sockets, ready=lambda: None, closed=lambda: None, serves=False)
        self._front = ProxyService(reactor, settings, pipeline, broken, tools, part=part)
        self._restarts = Restarts(count)
        self._store: SharedStore | None = None
        self._memory = new_memory(count)
        self._shares = Shares(self._memory, count)
        self._workers: list[Worker | None] = [None] * count
        self._waiting: list[IDelayedCall | None] = [None] * count
        self._started = 0
        self._said = self._ending = False
        self._all_closed: Deferred[None] = Deferred()
        self._all_ended: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        """Open the ports while the process may still open low ones."""
        self._front.privilegedStartService()
        super().privilegedStartService()

    def startService(self) -> None:
        self._front.startService()
        if self._settings.store.place is None:
            self._share_store()
        self._stopping.listen(self._hurry)
        self._reactor.callWhenRunning(self._start_all)
        super().startService()

    def _share_store(self) -> None:
        try:
            self._store = SharedStore()
        except OSError as e:
            self._log.warn(
                "there is no place for what the workers share ({reason}): each keeps turns for itself; name a --store",
                reason=e.strerror,
            )
            return
        self._settings = replace(self._settings, store=self._store.settings(self._settings.store))

    def _start_all(self) -> None:
        for place in range(len(self._workers)):
            self._start(place)

    def _start(self, place: int) -> None:
        """Start a worker."""
        self._waiting[place] = None
        if self._ending:
            return
        self._started += 1
        worker = self._workers[place] = Worker(self._reactor, self, self._started, place)
        sockets, free = places(self._sockets.opened)
        descriptors = {ours.fd: theirs.fd for ours, theirs in zip(sockets, self._sockets.opened, strict=True)}
        descriptors[free] = self._memory
        traffic = self._front.traffic
        if traffic is not None and traffic.fd is not None:
            descriptors[free + 1] = traffic.fd
        told = HandOver(
            settings=share_of(self._settings, len(self._workers)),
            sockets=sockets,
            shares=free,
            places=len(self._workers),
            place=place,
            log=None if traffic is None else free + 1,
            demo=self._front.demo,
        )
        adopts = any(is_adopted(socket.key) for socket in sockets)
        imports = Imports([os.path.abspath(entry) for entry in sys.path], reactor_module(self._reactor), adopts)
        try:
            worker.start(hand_over(imports, told), descriptors)
        except OSError as e:
            self.worker_ended(worker, f"before it began: {e.strerror}")
            return
        self._log.info("worker {n} has the process id {pid}", n=worker.number, pid=worker.pid)

    def worker_ready(self, worker: Worker) -> None:
        self._log.info("worker {n} is there", n=worker.number)
        if not self._said and all(found is not None and found.ready_at is not None for found in self._workers):
            self._said = True
            self._front.say_ready()
            self._stopping.ready(self._front.status)

    def worker_closed(self, worker: Worker) -> None:
        self._shares.clear(worker.place)
        self._look()

    def worker_ended(self, worker: Worker, how: str) -> None:
        self._shares.clear(worker.place)
        self._workers[worker.place] = None
        if self._ending:
            # one that was still starting had nothing to lose
            if worker.status != 0 and worker.ready_at is not None:
                self._stopping.status = self._stopping.status or EXIT_ENDED
                self._log.warn("worker {n} ended {how}", n=worker.number, how=how)
            self._look()
            return
        ran = None if worker.ready_at is None else self._reactor.seconds() - worker.ready_at
        delay = self._restarts.ended(worker.place, ran)
        if self._restarts.hopeless and not any(self._workers):
            self._log.critical("worker {n} ended {how}; none can start", n=worker.number, how=how)
            self._give_up()
            return
        self._log.error(
            "worker {n} ended {how}; another one starts in {delay:g} s", n=worker.number, how=how, delay=delay
        )
        self._waiting[worker.place] = self._reactor.callLater(delay, self._start, worker.place)

    def _give_up(self) -> None:
        tell_operator("oaiproxy: no worker can start; the log says why")
        self._stopping.status = EXIT_FAILED
        self._stopping.end()

    def _hurry(self) -> None:
        for worker in filter(None, self._workers):
            worker.hurry()

    def stopService(self) -> Deferred[Any]:
        """Let all workers end as a single process does, all at the same time."""
        super().stopService()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._ending = True
        for waiting in filter(None, self._waiting):
            if waiting.active():
                waiting.cancel()
        for worker in filter(None, self._workers):
            worker.end()
        last = self._reactor.callLater(self._settings.drain_delay + self._settings.drain + GRACE, self._kill)
        self._look()
        # a socket that nobody accepts on any more must not be open: clients would wait there
        await self._all_closed
        await self._front.stop_listening()
        await self._all_ended
        if last.active():
            last.cancel()
        # it may have the embedded upstream, which had to answer until now
        await self._front.stopService()
        os.close(self._memory)
        if self._store is not None:
            self._store.remove()

    def _kill(self) -> None:
        for worker in filter(None, self._workers):
            self._log.error("worker {n} does not end, and is killed", n=worker.number)
            worker.kill()

    def _look(self) -> None:
        """See whether the workers are as far as `_close` waits for."""
        if not self._ending:
            return
        left = list(filter(None, self._workers))
        if all(worker.closed for worker in left) and not self._all_closed.called:
            self._all_closed.callback(None)
        if not left and not self._all_ended.called:
            self._all_ended.callback(None)


def share_of(settings: ServiceSettings, count: int) -> ServiceSettings:
    """What one of so many workers is told: of what a port handles at the same time its share, rounded up.

    Not of what one client may have at the same time: all its connections may be with one worker.
    """

    def shared(port: Port) -> Port:
        limits = port.settings.concurrency
        mine = replace(limits, port=-(-limits.port // count))
        return replace(port, settings=replace(port.settings, concurrency=mine))

    return replace(settings, ports=tuple(map(shared, settings.ports)), remarks=(), workers=1)
