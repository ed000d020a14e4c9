"""Medians, ratios and verdicts: what the table says is what was measured, and what was not is not made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from load_tests.bench import show
from load_tests.bench.results import CRITERIA, MEASURES, Loss, Results, as_document, percentile


def some(**values: float) -> Results:
    results = Results()
    for name, value in values.items():
        subject, _, measure = name.partition("__")
        results.add(subject.replace("_", " "), measure, value)
    return results


def test_every_criterion_measures_something_that_exists() -> None:
    for one in CRITERIA:
        for key in (one.measure, one.over):
            assert key is None or key[1] in MEASURES


def test_the_median_of_the_rounds_counts() -> None:
    results = Results()
    for value in (5.0, 100.0, 7.0):
        results.add("C floor", "flooded_tick", value)
    assert results.median("C floor", "flooded_tick") == 7
    (row,) = results.rows()
    assert (row["median"], row["rounds"], row["unit"]) == (7, [5, 100, 7], "µs/fix")


def test_a_verdict_compares_with_both_marks() -> None:
    criterion = CRITERIA[0]
    for ours, verdict in ((18.0, "aim reached"), (27.0, "reached"), (27.1, "missed")):
        results = some(Partyline__flooded_tick=ours, C_floor__flooded_tick=10.0)
        assert criterion.verdict(results) == verdict
    assert criterion.verdict(some(Partyline__flooded_tick=1.0)) == "not measured"
    writer = next(one for one in CRITERIA if not one.low_is_good)
    for rate, verdict in ((0.95, "aim reached"), (0.7, "reached"), (0.5, "missed")):
        results = some(Partyline__writer_rate=rate, Partyline__copy_rate=1.0)
        assert writer.verdict(results) == verdict


def test_a_measure_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        Results().add("Partyline", "speed", 1.0)


def test_what_was_lost_and_skipped_is_said() -> None:
    results = some(mosquitto__paced_relay=100.0)
    results.losses.append(Loss("mosquitto", "paced_relay", "3 of 9 deliveries did not come"))
    results.skipped["Node ws"] = "node is not installed; install it with: …"
    assert show.remarks(results) == [
        "LOST: mosquitto, 1 fix/s each, relay: 3 of 9 deliveries did not come.",
        "Skipped: Node ws: node is not installed; install it with: …",
    ]
    document = as_document(results, {})
    assert document["skipped"] == results.skipped
    (row,) = document["rows"]  # type: ignore[misc]
    assert row["lost"] == ["3 of 9 deliveries did not come"]


def test_the_tables_hold_every_subject_and_stay_empty_where_nothing_was_measured() -> None:
    results = some(C_floor__flooded_tick=10.0, Partyline__flooded_tick=15.0, Partyline__drop=0.001)
    console = Console(record=True, width=200)
    for table in (show.comparison(results, "now"), show.alone(results), show.criteria(results)):
        console.print(table)
    text = console.export_text()
    for wanted in ("15 (1.5×)", "C floor", "0.001", "not measured", "aim reached"):
        assert wanted in text


@given(st.lists(st.integers(), min_size=1, max_size=300))
def test_a_percentile_is_one_of_the_values_and_exceeded_by_few(values: list[int]) -> None:
    found = percentile(values, 0.99)
    assert found in values
    assert sum(value > found for value in values) <= len(values) * 0.01


def test_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)
