"""Runs for the tests of the report: made of numbers that are easy to add up."""

from __future__ import annotations

from typing import Any

from load_tests.run.histogram import bucket
from load_tests.run.notes import Account, Audited, Objective, Run, ServerSample, Tally, Violation

START_S = 1_700_000_000


def tally(second: int, **counted: Any) -> Tally:
    """The second after `START_S`."""
    usual: dict[str, Any] = {
        "connected": 20,
        "wanted": 20,
        "held": 7,
        "offered": 20,
        "acked": 15,
        "frames": 30,
        "deliveries": 80,
        "delay_ms": {bucket(500): 60, bucket(900): 20},
        "ack_ms": {bucket(3000): 15},
        "join_ms": {bucket(40): 20} if second == 0 else {},
    }
    return Tally(START_S + second, **(usual | counted))


def sample(second: int, **figures: float) -> ServerSample:
    """The servers half a second into it; each counter rises by a known amount a second."""
    usual = {
        "gateway_cpu_s": 3.0 + 0.25 * second,
        "gateway_memory_bytes": 100 * 2.0**20,
        "gateway_started_s": 1.0,
        "gateway_fixes": 20.0 * second,
        "writer_cpu_s": 1.0 + 0.125 * second,
        "writer_memory_bytes": 64 * 2.0**20,
        "postgresql_cpu_s": 9.0 + 0.5 * second,
        "postgresql_memory_bytes": 256 * 2.0**20,
        "postgresql_commits": 1000.0 + 8 * second,
        "postgresql_rows_inserted": 40.0 * second,
        "postgresql_connections": 6.0,
        "redis_cpu_s": 0.0625 * second,
        "redis_memory_bytes": 16 * 2.0**20,
        "redis_used_bytes": 4 * 2.0**20,
        "redis_commands": 64.0 * second,
        "stream_entries": 3.0,
    }
    return ServerSample(START_S + second + 0.5, usual | figures)


def run(seconds: int = 30, **parts: Any) -> Run:
    """A run of 20 phones that went well, unless `parts` say otherwise."""
    usual: dict[str, Any] = {
        "scenario": "rush-hour",
        "url": "http://127.0.0.1:8080",
        "seed": 7,
        "members": 20,
        "party_size": 5,
        "rate": 1.0,
        "minutes": 0.5,
        "workers": 2,
        "machine": "2 cores, Python 3.11",
        "started_at_s": float(START_S),
        "seconds": float(seconds),
        "outcome": "done",
        "tallies": [tally(second) for second in range(seconds)],
        "samples": [sample(second) for second in range(seconds)],
        "account": Account(20 * seconds, 19 * seconds, {"precision": 4}, seconds - 4, 0, 3),
        "audited": Audited(2345, 117, 116, 115),
        "gave_up": {},
        "objectives": [
            Objective("delay p99", 1500.0, "ms", 925.0, True),
            Objective("connected", 0.99, "share", 1.0, True),
        ],
    }
    return Run(**(usual | parts))


def undrawn(**parts: Any) -> Run:
    """A run without plots, which take their time."""
    return run(**({"tallies": [], "samples": []} | parts))


def nothing() -> Run:
    """Ctrl-C at once."""
    return run(
        0,
        outcome="stopped",
        account=Account(),
        audited=Audited(note="the run was stopped"),
        objectives=[Objective("delay p99", 1500.0, "ms", None, False)],
    )


def violations(count: int) -> list[Violation]:
    return [
        Violation("G3", 11, number, 1000 * START_S + 12_500, f"finer than rough, {number} m off")
        for number in range(count)
    ]
