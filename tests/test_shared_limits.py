"""Limits by the minute over several machines: two services, each with its own process, and one real Redis."""

from __future__ import annotations

import json
import signal
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.hammering import busiest, hammer, let_in
from tests.process import PATIENCE, Service
from tests.redisserver import MISSING, RedisServer

KEY = "key-of-a-client"


def more(*services: Service) -> float:
    """How much more may be let in: none, unless this machine is so busy that a store's answers come too late."""
    return 1.1 if any("counts requests and tokens by itself" in service.output for service in services) else 1.0


class SharedLimitTests(SynchronousTestCase):
    if MISSING:
        skip = MISSING

    def setUp(self) -> None:
        self.services = 0
        self.redis = RedisServer()
        self.addCleanup(self.redis.stop, signal.SIGKILL)

    def service(self, *options: str) -> Service:
        service = Service(
            "--upstream=demo",
            "--auth=replace",
            f"--store={self.redis.url}",
            *options,
            OAIPROXY_STORE_KEY="0123456789abcdef" * 4,
            OPENAI_API_KEY="sk-x",
            PROXY_API_KEYS=f"{KEY},another",
        )
        self.addCleanup(service.stop)
        self.services += 1
        # what comes before it has a connection it counts by itself
        until = time.monotonic() + PATIENCE
        while self.redis.command("CLIENT", "LIST", "TYPE", "normal").count(b"cmd=ping") < self.services:
            self.assertLess(time.monotonic(), until, "the service does not connect to the store")
            time.sleep(0.01)
        return service

    def ask(self, base: str, method: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, dict[str, str]]:
        where = urlsplit(base)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=30)
        self.addCleanup(connection.close)
        data = None if body is None else json.dumps(body)
        fields = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request(method, where.path + path, data, fields)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def test_machines_that_are_asked_at_random_let_in_as_many_as_one_may(self) -> None:
        machines = [self.service("--requests-per-minute=150") for _ in range(2)]
        hits = hammer([machine.passthrough for machine in machines], KEY, seconds=4, rate=100)
        found = let_in(hits)
        self.assertEqual({hit.status for hit in hits}, {200, 429})
        self.assertGreater(len(hits), 200)
        self.assertEqual({hit.place for hit in hits if hit.status == 200}, {0, 1})
        # never more; refusals under way at the same moment may leave a place free for a moment
        self.assertLessEqual(busiest(found), 150 * more(*machines))
        self.assertGreaterEqual(len(found), 148)
        status, _ = self.ask(machines[0].bridge, "GET", "/files", key="another")
        self.assertEqual(status, 200)

    def test_tokens_that_one_machine_s_answers_cost_are_gone_on_the_other(self) -> None:
        one, other = (self.service("--tokens-per-minute=100000") for _ in range(2))
        chat = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "demo:tokens=50"}]}
        self.assertEqual(self.ask(one.bridge, "POST", "/chat/completions", chat)[0], 200)
        _, here = self.ask(one.bridge, "GET", "/files")
        _, there = self.ask(other.passthrough, "GET", "/files")
        left = int(here["x-ratelimit-remaining-tokens"])
        self.assertTrue(90_000 < left < 100_000, left)
        self.assertEqual(there["x-ratelimit-remaining-tokens"], str(left))

    def test_without_the_server_all_are_answered_and_each_counts_by_itself(self) -> None:
        machines = [self.service("--requests-per-minute=3") for _ in range(2)]
        self.assertEqual(self.ask(machines[0].bridge, "GET", "/files")[0], 200)
        self.redis.stop(signal.SIGKILL)
        for machine, left in zip(machines, (2, 3), strict=True):
            statuses = [self.ask(machine.bridge, "GET", "/files")[0] for _ in range(4)]
            self.assertEqual(statuses, [200] * left + [429] * (4 - left))
            self.assertIn("each process counts requests and tokens by itself", machine.output)

    def test_the_server_is_told_no_key_and_forgets(self) -> None:
        machine = self.service("--requests-per-minute=9", "--tokens-per-minute=9")
        self.ask(machine.bridge, "GET", "/files")
        names = self.redis.command("KEYS", "*")
        self.assertEqual(len(names), 1)
        self.assertNotIn(KEY.encode(), names[0])
        self.assertNotIn(b"rate", names[0])
        self.assertTrue(0 < self.redis.command("TTL", names[0]) <= 66)


class WorkerTests(SynchronousTestCase):
    """Processes of one machine, which share a store although none is named."""

    def test_workers_let_in_as_many_as_one_process_may(self) -> None:
        service = Service("--upstream=demo", "--workers=2", "--requests-per-minute=60")
        self.addCleanup(service.stop)
        hits = hammer([service.passthrough], KEY, seconds=2.5, rate=60, clients=6)
        self.assertEqual({hit.status for hit in hits}, {200, 429})
        self.assertTrue(59 <= len(let_in(hits)) <= 60 * more(service), len(let_in(hits)))
