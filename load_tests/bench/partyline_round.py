"""One round of Partyline, everything on: as a peer's, and acks, the writer's CPU, many connections, 70 % CPU.

A flood counts from its first fix until every fix is acked; what the gateway uses idle is taken off for the
seconds after the last fix, because those are no fix's. At one fix a second nothing is taken off.
"""

from __future__ import annotations

import json
import time

from load_tests.bench.frames import lateness_ms
from load_tests.bench.load import PARTY
from load_tests.bench.load_process import LoadProcess
from load_tests.bench.peers import RATE_S, note_losses
from load_tests.bench.phone import LoadError
from load_tests.bench.plan import Plan
from load_tests.bench.proc import child_with, cpu_ns, memory_kib
from load_tests.bench.results import OURS, Results, percentile
from load_tests.bench.running import Running
from load_tests.bench.servers import gateway_of

ACKED_S = 20.0
TICK_MS = 1000
FIRST_PROBE = 9_000
"""Number of the first phone that watches: of no other load, and still on Earth."""
PROBE_PARTIES = 10
SHARE = 0.7
LEAD_S = 1.5
MOST_RATE_S = 100.0
OPENED_BETWEEN_SIGNS = 100
"""Parties opened between two signs of life, or those opened first would be cut as silent."""


class PartylineRound:
    """A load of its own, kept for the whole round. Its end is `close`."""

    def __init__(self, running: Running, plan: Plan, results: Results) -> None:
        self._plan = plan
        self._results = results
        self._port = running.port
        self._gateway = gateway_of(running)
        self.writer = child_with(running.process.pid, "writer")
        self._load = LoadProcess("partyline", running.port, ticks=True)
        self._probe: LoadProcess | None = None

    def close(self) -> None:
        """Ends the load."""
        for load in (self._load, self._probe):
            if load is not None:
                load.close()

    def peer_part(self) -> None:
        """What peers are measured by."""
        plan, results, load = self._plan, self._results, self._load
        load.do("open", 1)
        before = memory_kib(self._gateway)
        now = load.do("open", plan.connections // PARTY)
        results.add(OURS, "idle_memory", (memory_kib(self._gateway) - before) / (now - PARTY))
        begun = cpu_ns(self._gateway)
        time.sleep(plan.idle_s)
        idle_ns_s = (cpu_ns(self._gateway) - begun) / plan.idle_s

        begun, writer = cpu_ns(self._gateway), cpu_ns([self.writer])
        sent = load.do("flood", plan.flood_s)
        ended = time.perf_counter()
        outcome = load.do("settle", ACKED_S)
        used = cpu_ns(self._gateway) - begun - idle_ns_s * (time.perf_counter() - ended)
        results.add(OURS, "flooded_tick", used / sent / 1000)
        results.add(OURS, "writer_cpu", (cpu_ns([self.writer]) - writer) / sent / 1000)
        note_losses(results, OURS, "flooded_tick", outcome)
        self._paced("paced_tick")

    def _paced(self, measure: str) -> None:
        self._load.do("pace", RATE_S, self._plan.lead_s)
        begun = cpu_ns(self._gateway)
        sent = self._load.do("pace", RATE_S, self._plan.paced_s)
        self._results.add(OURS, measure, (cpu_ns(self._gateway) - begun) / sent / 1000)

    def many_part(self) -> None:
        """Cost per fix with many connections. Its account is that of `end`."""
        wanted, now = self._plan.many, self._load.do("sign_of_life")
        while now < wanted:
            parties = min(OPENED_BETWEEN_SIGNS, -(-(wanted - now) // PARTY))
            now = self._load.do("open", parties)
            self._load.do("sign_of_life")
        self._paced("many_tick")

    def busy_part(self) -> None:
        """p99 of what a delivery takes beyond its tick while the gateway uses about 70 % of a core."""
        plan, load = self._plan, self._load
        connections = load.do("sign_of_life")
        probe = self._probe = LoadProcess("partyline", self._port, ticks=True, first=FIRST_PROBE)
        connections += probe.do("open", PROBE_PARTIES)
        rate = self._rate_for(connections)
        for _ in range(2):  # what a fix costs depends on the rate: a look, then a correction
            used = self._both(probe, rate, LEAD_S)
            rate = min(MOST_RATE_S, rate * SHARE / used)
        probe.do("watch")
        used = self._both(probe, rate, plan.load_s)
        late = [ms for frames in probe.do("seen") for ms in lateness_ms(_ticks(frames), TICK_MS)]
        if not late:
            raise LoadError("no ticks came while the gateway was busy")
        self._results.add(OURS, "beyond_tick_p99", float(percentile(late, 0.99)))
        self._results.add(OURS, "beyond_tick_cpu", used * 100)

    def _rate_for(self, connections: int) -> float:
        cost_us = self._results.median(OURS, "flooded_tick") or 20.0
        return min(MOST_RATE_S, SHARE / (1.5 * cost_us * 1e-6 * connections))

    def _both(self, probe: LoadProcess, rate_s: float, seconds: float) -> float:
        """The share of a core that the gateway used."""
        begun, since = cpu_ns(self._gateway), time.perf_counter()
        self._load.begin("pace", rate_s, seconds)
        probe.begin("pace", rate_s, seconds)
        self._load.finish()
        probe.finish()
        return (cpu_ns(self._gateway) - begun) / 1e9 / (time.perf_counter() - since)

    def end_begins(self) -> None:
        """Starts to wait until everything that was sent is acked."""
        for load in (self._load, self._probe):
            if load is not None:
                load.begin("settle", ACKED_S)

    def end(self) -> None:
        """The account of the whole round."""
        note_losses(self._results, OURS, "paced_tick", self._load.finish())
        if self._probe is not None:
            note_losses(self._results, OURS, "beyond_tick_p99", self._probe.finish())


def _ticks(frames: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """Of each `positions` frame when the server sent it and when it came."""
    found = []
    for received_ms, payload in frames:
        if payload.startswith(b'{"t":"positions"'):
            found.append((int(json.loads(payload)["at"]), received_ms))
    return found
