"""Metrics: every number that is counted can be scraped, and no label tells who or where."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from protocol.close_codes import CloseCode
from protocol.messages import Reject
from server.metrics import ACK_BUCKETS_S, GatewayCollector, Stats, exposition


def scrape(stats: Stats) -> dict[str, dict[tuple[str, ...], float]]:
    text = exposition(GatewayCollector(stats, lambda: {"connections": ("Connections open", 3.0)})).decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_what_is_counted_is_scraped() -> None:
    stats = Stats()
    stats.fixes_in, stats.ticks, stats.rows_committed = 11, 12, 13
    stats.rejected[Reject.FUTURE] = 14
    stats.closed[CloseCode.TOO_LARGE] = 15
    found = scrape(stats)
    assert found["partyline_fixes_in_total"][()] == 11
    assert found["partyline_ticks_total"][()] == 12
    assert found["partyline_rows_committed_total"][()] == 13
    assert found["partyline_fixes_rejected_total"][("future",)] == 14
    assert found["partyline_connections_refused_total"][("too_large",)] == 15
    assert found["partyline_connections"][()] == 3.0


def test_every_count_of_the_gateway_has_a_name_to_scrape() -> None:
    counts = [name for name in Stats.__slots__ if isinstance(getattr(Stats(), name), int)]
    for name in counts:
        stats = Stats()
        setattr(stats, name, 4242)
        assert any(4242 in values.values() for values in scrape(stats).values()), name


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_the_buckets_of_the_ack_delay_are_cumulative(delays: list[float]) -> None:
    stats = Stats()
    for seconds in delays:
        stats.acked(seconds)
    found = scrape(stats)
    buckets = found["partyline_ack_delay_seconds_bucket"]
    for bound in ACK_BUCKETS_S:
        (value,) = (value for (le,), value in buckets.items() if le != "+Inf" and float(le) == bound)
        assert value == sum(seconds <= bound for seconds in delays)
    assert buckets[("+Inf",)] == len(delays)
    assert found["partyline_ack_delay_seconds_count"][()] == len(delays)
    assert abs(found["partyline_ack_delay_seconds_sum"][()] - sum(delays)) < 1e-6


def test_labels_hold_reasons_codes_and_bounds_only() -> None:
    allowed = {reason.value for reason in Reject} | {code.reason for code in CloseCode}
    for name, samples in scrape(Stats()).items():
        for labels in samples:
            assert name.endswith("_bucket") or set(labels) <= allowed
