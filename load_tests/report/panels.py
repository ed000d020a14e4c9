"""Which plots the page has, and which lines each of them shows. Pure; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from load_tests.report.figures import MIB, SERVERS
from load_tests.report.series import Course, Line, cumulative, level, over_time, per_second, rate, times


@dataclass(frozen=True, slots=True)
class Panel:
    """A plot. Its lines have the same names for every run, in the same order."""

    key: str
    title: str
    unit: str
    lines: Callable[[Course], Sequence[Line]]
    about: str = ""
    """What is not plain from the title."""
    by_time_taken: bool = False
    """Whether `x` is milliseconds that something took, rather than seconds since the start."""


def _cpu(went: Course) -> list[Line]:
    return [rate(went, label, f"{server}_cpu_s") for server, label in SERVERS.items()]


def _memory(went: Course) -> list[Line]:
    return [level(went, label, f"{server}_memory_bytes", 1 / MIB) for server, label in SERVERS.items()]


def _delay(went: Course) -> list[Line]:
    return [
        over_time(went, "p99", times(lambda one: one.delay_ms, 0.99)),
        over_time(went, "p50", times(lambda one: one.delay_ms, 0.5)),
    ]


def _delays(went: Course) -> list[Line]:
    return [cumulative(went.sums.delay_ms, "delivered")]


def _acks(went: Course) -> list[Line]:
    return [
        over_time(went, "p99", times(lambda one: one.ack_ms, 0.99)),
        over_time(went, "p50", times(lambda one: one.ack_ms, 0.5)),
    ]


def _acks_and_joins(went: Course) -> list[Line]:
    return [cumulative(went.sums.ack_ms, "acked"), cumulative(went.sums.join_ms, "joined")]


def _fixes(went: Course) -> list[Line]:
    return [
        over_time(went, "offered", per_second(lambda one: one.offered)),
        over_time(went, "acked", per_second(lambda one: one.acked)),
    ]


def _phones(went: Course) -> list[Line]:
    return [
        over_time(went, "wanted", lambda span: span.sum.wanted),
        over_time(went, "connected", lambda span: span.sum.connected),
    ]


def _troubles(went: Course) -> list[Line]:
    return [
        over_time(went, "connections cut", per_second(lambda one: sum(one.closes.values()))),
        over_time(went, "fixes rejected", per_second(lambda one: sum(one.rejected.values()))),
        over_time(went, "fixes sent again", per_second(lambda one: one.sent_again)),
    ]


PANELS = (
    Panel(
        "delay",
        "Delivery delay",
        "ms",
        _delay,
        "From a live fix's sending to its arrival at another phone, the tick included.",
    ),
    Panel(
        "delays",
        "Delivery delay, all of the run",
        "% within",
        _delays,
        "Share of the deliveries that took no longer.",
        by_time_taken=True,
    ),
    Panel(
        "deliveries",
        "Deliveries",
        "/s",
        lambda went: [over_time(went, "deliveries", per_second(lambda one: one.deliveries))],
        "Positions of others that reached a phone.",
    ),
    Panel("fixes", "Fixes", "/s", _fixes),
    Panel(
        "held",
        "Unacked",
        "fixes",
        lambda went: [over_time(went, "held", lambda span: span.sum.held)],
        "Fixes that the phones keep: neither acked nor rejected.",
    ),
    Panel("phones", "Phones", "", _phones, "Connected, against those that should be."),
    Panel("ack", "Ack delay", "ms", _acks, "From offering a fix to its ack, with a network."),
    Panel(
        "acks",
        "Acks and joins, all of the run",
        "% within",
        _acks_and_joins,
        "Share that took no longer.",
        by_time_taken=True,
    ),
    Panel("troubles", "Troubles", "/s", _troubles),
    Panel("cpu", "Processor time", "cores", _cpu),
    Panel("memory", "Memory", "MiB", _memory, "PostgreSQL: with its part of the shared memory."),
    Panel(
        "redis",
        "Redis commands",
        "/s",
        lambda went: [rate(went, "commands", "redis_commands")],
    ),
    Panel(
        "redis-data",
        "Redis data",
        "MiB",
        lambda went: [level(went, "used", "redis_used_bytes", 1 / MIB)],
    ),
    Panel(
        "streams",
        "Waiting for PostgreSQL",
        "entries",
        lambda went: [level(went, "stream entries", "stream_entries")],
        "Batches in Redis' streams.",
    ),
    Panel(
        "commits",
        "PostgreSQL commits",
        "/s",
        lambda went: [rate(went, "commits", "postgresql_commits")],
    ),
    Panel(
        "rows",
        "PostgreSQL rows inserted",
        "/s",
        lambda went: [rate(went, "rows", "postgresql_rows_inserted")],
        "Those of the staging table included.",
    ),
    Panel(
        "backends",
        "PostgreSQL connections",
        "",
        lambda went: [level(went, "connections", "postgresql_connections")],
    ),
)
