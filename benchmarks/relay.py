"""What lies between a client and an upstream when the proxy does: processes of their own, on loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.table import table
from tests.soak.load import Plan
from tests.soak.rig import Rig, rig

_SECONDS = 4.0

_WAYS = ("upstream", "passthrough", "bridge")


def _row(running: Rig, way: str) -> tuple[float, float, float, float, float]:
    """Seconds for an answer of 1 kB, and to the first token; the delay of a piece, median and p99; pieces a second."""
    port = running.ports[way]
    plain = running.ask(Plan(port, "rate", 1, _SECONDS, stream=False))
    first = running.ask(Plan(port, "rate", 1, _SECONDS, chunks=1))
    pieces = running.ask(Plan(port, "streams", 20, chunks=200, every=0.02, ramp=1.0))
    flood = running.ask(Plan(port, "rate", 4, _SECONDS, chunks=5000))
    for found in (plain, first, pieces, flood):
        assert not found.wrong, found.wrong
    return plain.took["p50"], first.delay["p50"], pieces.delay["p50"], pieces.delay["p99"], flood.chunks / flood.seconds


def relay() -> None:
    """The same requests to the upstream itself and through both ports."""
    with rig() as running:
        for way in _WAYS:
            # the first requests open connections and fill caches
            running.ask(Plan(running.ports[way], "rate", 4, 0.5))
        found = {way: _row(running, way) for way in _WAYS}
    direct = found["upstream"]
    rows = []
    for way in _WAYS:
        plain, first, delay, worst, rate = found[way]
        rows.append(
            (
                way,
                f"{1000 * plain:.2f} ms",
                f"{1000 * (plain - direct[0]):+.2f} ms",
                f"{1000 * (first - direct[1]):+.2f} ms",
                f"{1000 * (delay - direct[2]):+.2f} ms",
                f"{1000 * (worst - direct[3]):+.2f} ms",
                f"{rate:,.0f}",
                f"{rate / direct[4]:.2f}",
            )
        )
    table(
        "Relay: one client at a time; then 20 streams of 50 pieces a second; then 4 streams as fast as it goes",
        ("", "1 kB, p50", "added", "first token, added", "a piece, added p50", "p99", "pieces/s", "of direct"),
        rows,
    )


def traffic_log() -> None:
    """Pieces a second with and without the traffic log."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for options in ((), ("--log", str(Path(folder) / "traffic.jsonl"))):
            with rig(options) as running:
                for way in ("passthrough", "bridge"):
                    found = running.ask(Plan(running.ports[way], "rate", 4, _SECONDS, chunks=2000))
                    assert not found.wrong, found.wrong
                    rates.setdefault(way, []).append(found.chunks / found.seconds)
    table(
        "Traffic log: 4 streams as fast as it goes, pieces/s",
        ("", "off", "on", "ratio"),
        [(way, f"{off:,.0f}", f"{on:,.0f}", f"{on / off:.2f}") for way, (off, on) in rates.items()],
    )
