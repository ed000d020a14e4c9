"""What a gateway, writer or keeper counts, and how Prometheus reads it.

The hot path adds to plain integers; names and formats appear only when somebody asks for `/metrics`.
No label ever holds an id, a name, a token or a place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from protocol.close_codes import CloseCode
from protocol.messages import Reject

ACK_BUCKETS_S = (0.5, 1, 2, 3, 5, 7, 10, 15, 30, 60, 120, 300)


class Stats:
    """A gateway's counts since it started."""

    __slots__ = (
        "ack_buckets",
        "ack_seconds",
        "addresses_forgotten",
        "batches",
        "closed",
        "conflated",
        "fixes_in",
        "joins_turned_away",
        "positions_out",
        "rejected",
        "relay_unreadable",
        "relayed",
        "repeated",
        "resent_batches",
        "rows_committed",
        "rows_refused",
        "snapshots",
        "ticks",
        "turned_away",
    )

    def __init__(self) -> None:
        self.fixes_in = 0
        self.repeated = 0
        self.rejected: Counter[Reject] = Counter()
        self.closed: Counter[CloseCode] = Counter()
        self.positions_out = 0
        self.conflated = 0
        self.relayed = 0
        self.relay_unreadable = 0
        self.ticks = 0
        self.snapshots = 0
        self.batches = 0
        self.resent_batches = 0
        self.rows_committed = 0
        self.rows_refused = 0
        self.turned_away = 0
        self.joins_turned_away = 0
        self.addresses_forgotten = 0
        self.ack_buckets = [0] * (len(ACK_BUCKETS_S) + 1)
        self.ack_seconds = 0.0

    def acked(self, seconds: float) -> None:
        """One window, from its first fix to its commit."""
        self.ack_buckets[bisect_left(ACK_BUCKETS_S, seconds)] += 1
        self.ack_seconds += seconds


class GatewayCollector(Collector):
    """Reads a gateway's counts when asked."""

    def __init__(self, stats: Stats, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._stats = stats
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        stats = self._stats
        for name, text, value in (
            ("fixes_in", "Fixes received, repeated and rejected ones included", stats.fixes_in),
            ("fixes_repeated", "Fixes sent again while the first was on its way", stats.repeated),
            ("positions_out", "Positions written to connections", stats.positions_out),
            ("relayed", "Messages published to other gateways", stats.relayed),
            ("relay_unreadable", "Messages of other gateways that could not be read", stats.relay_unreadable),
            ("positions_conflated", "Positions a slow connection was not sent", stats.conflated),
            ("ticks", "Ticks encoded", stats.ticks),
            ("snapshots", "Snapshots written to Redis", stats.snapshots),
            ("batches", "Batches handed to the stream", stats.batches),
            ("batches_resent", "Batches handed over again because Redis lost them", stats.resent_batches),
            ("rows_committed", "Rows known to be committed", stats.rows_committed),
            ("rows_refused", "Rows the writer refused", stats.rows_refused),
            ("connections_turned_away", "Connections beyond a limit", stats.turned_away),
            (
                "joins_turned_away",
                "Joins and sessions beyond the rate of an address",
                stats.joins_turned_away,
            ),
            (
                "addresses_forgotten",
                "Addresses that left the book of joins with a debt",
                stats.addresses_forgotten,
            ),
        ):
            yield CounterMetricFamily(f"partyline_{name}", text, value=value)
        rejected = CounterMetricFamily("partyline_fixes_rejected", "Fixes refused", labels=["reason"])
        for reason in Reject:
            rejected.add_metric([reason.value], stats.rejected[reason])
        yield rejected
        closed = CounterMetricFamily("partyline_connections_refused", "Closed for an error", labels=["code"])
        for code in CloseCode:
            closed.add_metric([code.reason], stats.closed[code])
        yield closed
        yield self._ack_delay()
        for name, (text, level) in self._gauges().items():
            yield GaugeMetricFamily(f"partyline_{name}", text, value=level)

    def _ack_delay(self) -> Metric:
        total, buckets = 0, []
        for bound, count in zip((*ACK_BUCKETS_S, float("inf")), self._stats.ack_buckets, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return HistogramMetricFamily(
            "partyline_ack_delay_seconds",
            "From a window's first fix to its commit",
            buckets=buckets,
            sum_value=self._stats.ack_seconds,
        )


def exposition(collector: Collector) -> bytes:
    """The text that Prometheus scrapes: what the process counts, and its own processor time and memory."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry)
