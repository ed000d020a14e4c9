"""Lines over time: nothing is lost by adding seconds up, and nothing bad is averaged away."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.report.series import (
    MOST_POINTS,
    course,
    cumulative,
    level,
    mean_rate,
    over_time,
    per_second,
    rate,
    times,
    total,
)
from load_tests.run.histogram import Histogram, bucket, quantile
from tests.load_tests.report.runs import START_S, nothing, run, sample, tally

histograms = st.dictionaries(st.integers(0, 150), st.integers(1, 1000), max_size=20)


@given(st.lists(st.integers(0, 2000), unique=True, max_size=400), st.integers(1, 1000))
def test_spans_hold_every_second_once_and_are_few(seconds: list[int], offered: int) -> None:
    made = run(0, tallies=[tally(second, offered=offered) for second in seconds])
    found = course(made).spans
    assert sum(span.seconds for span in found) == len(seconds)
    assert sum(span.sum.offered for span in found) == offered * len(seconds)
    assert len(found) <= MOST_POINTS + 1
    assert [span.at_s for span in found] == sorted(span.at_s for span in found)


def test_a_short_run_has_a_point_a_second() -> None:
    line = over_time(course(run(30)), "offered", per_second(lambda one: one.offered))
    assert line.y == (20.0,) * 30
    assert line.x[:3] == (0.5, 1.5, 2.5)


def test_a_rate_is_of_the_seconds_that_were_counted() -> None:
    made = run(0, tallies=[tally(second) for second in range(0, 2000, 2)])  # every other second is missing
    assert set(over_time(course(made), "offered", per_second(lambda one: one.offered)).y) == {20.0}


def test_a_level_is_that_of_the_worst_second() -> None:
    tallies = [tally(second) for second in range(1000)]
    tallies[500] = tally(500, connected=3, held=999)
    found = course(run(0, tallies=tallies)).spans
    assert max(span.sum.held for span in found) == 999
    assert min(span.sum.connected for span in found) == 3


@given(st.lists(histograms, min_size=1, max_size=8), st.floats(0.01, 1))
def test_times_are_merged_not_averaged(counts: list[Histogram], share: float) -> None:
    tallies = [tally(second, delay_ms=dict(one)) for second, one in enumerate(counts)]
    merged: Histogram = {}
    for one in counts:
        for index, count in one.items():
            merged[index] = merged.get(index, 0) + count
    assert quantile(total(tallies).delay_ms, share) == quantile(merged, share)
    assert [one.delay_ms for one in tallies] == counts  # what was added up is left as it was


@given(histograms)
def test_a_distribution_rises_to_all_of_it(counts: Histogram) -> None:
    line = cumulative(counts, "delivered")
    assert list(line.y) == sorted(line.y)
    assert list(line.x) == sorted(line.x)
    assert not counts or line.y[-1] == pytest.approx(100)
    assert line.measured == bool(counts)


def test_a_distribution_says_what_share_took_no_longer() -> None:
    line = cumulative({bucket(500): 3, bucket(5000): 1}, "delivered")
    assert [share for took, share in zip(line.x, line.y, strict=True) if 500 < took < 5000] == [75.0]


def test_a_second_without_times_is_a_gap() -> None:
    tallies = [tally(0), tally(1, delay_ms={}), tally(2)]
    line = over_time(course(run(0, tallies=tallies)), "p50", times(lambda one: one.delay_ms, 0.5))
    assert [math.isnan(value) for value in line.y] == [False, True, False]


def test_processor_time_is_the_difference_of_counters() -> None:
    line = rate(course(run(30)), "gateway", "gateway_cpu_s")
    assert set(line.y) == {0.25}
    assert len(line.y) == 29
    assert mean_rate((run(30)), "gateway_cpu_s") == pytest.approx(0.25)


def test_a_gateway_that_began_anew_is_a_gap_and_no_rate() -> None:
    samples = [sample(0), sample(1), sample(2, gateway_started_s=2.0, gateway_cpu_s=500.0)]
    samples.append(sample(3, gateway_started_s=2.0, gateway_cpu_s=500.25))
    made = run(0, samples=samples)
    assert [None if math.isnan(value) else value for value in rate(course(made), "", "gateway_cpu_s").y] == [
        0.25,
        None,
        0.25,
    ]
    assert mean_rate((made), "gateway_cpu_s") == pytest.approx(0.25)


def test_a_counter_that_fell_is_a_gap() -> None:
    made = run(0, samples=[sample(0), sample(1, redis_commands=0.0), sample(2, redis_commands=-1.0)])
    assert not rate(course(run(0, samples=made.samples[1:])), "", "redis_commands").measured


def test_what_was_not_read_is_left_out() -> None:
    samples = [sample(second) for second in range(4)]
    del samples[2].figures["redis_commands"]
    line = rate(course(run(0, samples=samples)), "", "redis_commands")
    assert [math.isnan(value) for value in line.y] == [False, True, True]
    assert not level(course(run(30)), "", "nobody_reads_this").measured


def test_many_samples_are_few_points_with_their_highest_levels() -> None:
    samples = [sample(second) for second in range(5000)]
    samples[1234].figures["stream_entries"] = 77.0
    made = run(0, samples=samples)
    line = level(course(made), "", "stream_entries")
    assert len(line.y) <= MOST_POINTS
    assert max(line.y) == 77.0
    assert {round(value, 9) for value in rate(course(made), "", "gateway_cpu_s").y} == {0.25}


def test_a_run_of_nothing_has_no_points() -> None:
    made = nothing()
    assert course(made).spans == []
    assert not over_time(course(made), "", per_second(lambda one: one.offered)).measured
    assert mean_rate((made), "gateway_cpu_s") is None
    assert total([]).at_s == 0


def test_x_is_seconds_since_the_start() -> None:
    made = run(0, started_at_s=START_S + 0.9, samples=[sample(3)])
    assert level(course(made), "", "stream_entries").x == (pytest.approx(2.6),)
