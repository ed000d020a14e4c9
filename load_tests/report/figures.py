"""The figures of a run, one line each: what two runs are compared by. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from load_tests.report.series import highest, mean_rate, total
from load_tests.run.histogram import Histogram, quantile
from load_tests.run.notes import Run

MIB = 2**20
SERVERS = {"gateway": "Gateway", "writer": "Writer", "postgresql": "PostgreSQL", "redis": "Redis"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a run. `better` is -1 when less is better, 1 when more is, 0 when neither."""

    name: str
    unit: str
    value: float | None
    better: int = 0


def figures(run: Run) -> list[Figure]:
    """Every figure; `None` where nothing was measured. The same names in the same order for every run."""
    return [*_times(run), *_fixes(run), *_phones(run), *_servers(run), *_stores(run)]


def change(now: float | None, before: float | None) -> float | None:
    """In per cent of what it was; `None` where that says nothing."""
    if now is None or before is None or (before == 0 and now != 0):
        return None
    return 0.0 if now == before else 100 * (now - before) / before


def _times(run: Run) -> list[Figure]:
    sums = total(run.tallies)
    kinds: list[tuple[str, Histogram]] = [
        ("Delivery delay", sums.delay_ms),
        ("Ack delay", sums.ack_ms),
        ("Join", sums.join_ms),
    ]
    return [
        Figure(f"{name} {label}", "ms", quantile(counts, share), -1)
        for name, counts in kinds
        for label, share in (("p50", 0.5), ("p99", 0.99))
    ]


def _fixes(run: Run) -> list[Figure]:
    sums, account = total(run.tallies), run.account
    seconds = len({one.at_s for one in run.tallies})

    def rate(count: int) -> float | None:
        return count / seconds if seconds else None

    return [
        Figure("Fixes offered", "/s", rate(sums.offered)),
        Figure("Fixes acked", "/s", rate(sums.acked), 1),
        Figure("Deliveries", "/s", rate(sums.deliveries), 1),
        Figure("Held at most", "fixes", float(sums.held) if run.tallies else None, -1),
        Figure("Held at the end", "fixes", float(account.held), -1),
        Figure("Lost", "fixes", float(account.lost), -1),
        Figure("Rejected", "fixes", float(sum(account.rejected.values()))),
        Figure("Sent again", "fixes", float(account.sent_again), -1),
        Figure("Violations", "", float(sum(run.audited.broken.values())), -1),
    ]


def _phones(run: Run) -> list[Figure]:
    sums = total(run.tallies)
    wanted = sum(one.wanted for one in run.tallies)
    there = sum(min(one.connected, one.wanted) for one in run.tallies)
    return [
        Figure("Connected of wanted", "%", 100 * there / wanted if wanted else None, 1),
        Figure("Connections cut", "", float(sum(sums.closes.values())), -1),
        Figure("Phones that gave up", "", float(sum(run.gave_up.values())), -1),
    ]


def _servers(run: Run) -> list[Figure]:
    def cores(server: str) -> float | None:
        return mean_rate(run, f"{server}_cpu_s")

    def memory(server: str) -> float | None:
        return _scaled(highest(run, f"{server}_memory_bytes"), 1 / MIB)

    return [
        Figure("Gateway CPU per fix", "µs", _cpu_per_fix(run), -1),
        *(Figure(f"{label} CPU", "cores", cores(server), -1) for server, label in SERVERS.items()),
        *(Figure(f"{label} memory at most", "MiB", memory(server), -1) for server, label in SERVERS.items()),
    ]


def _stores(run: Run) -> list[Figure]:
    per_second: Callable[[str], float | None] = lambda figure: mean_rate(run, figure)  # noqa: E731
    return [
        Figure("Redis commands", "/s", per_second("redis_commands"), -1),
        Figure("Redis data at most", "MiB", _scaled(highest(run, "redis_used_bytes"), 1 / MIB), -1),
        Figure("Stream entries at most", "", highest(run, "stream_entries"), -1),
        Figure("PostgreSQL commits", "/s", per_second("postgresql_commits"), -1),
        Figure("PostgreSQL rows inserted", "/s", per_second("postgresql_rows_inserted")),
        Figure("PostgreSQL connections at most", "", highest(run, "postgresql_connections"), -1),
    ]


def _cpu_per_fix(run: Run) -> float | None:
    cpu, fixes = mean_rate(run, "gateway_cpu_s"), mean_rate(run, "gateway_fixes")
    return 1e6 * cpu / fixes if cpu is not None and fixes else None


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
