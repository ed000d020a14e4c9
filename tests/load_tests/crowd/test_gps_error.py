"""The error drifts as it says, and as receivers do: its constants are those of a fit on the recordings."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, pvariance

import pytest

from load_tests.crowd import gps_error
from load_tests.crowd.draw import Draw
from load_tests.crowd.fit_error import (
    JUMPY,
    LAGS_S,
    PHONES,
    RIDE,
    agreement,
    fit_decay,
    fit_unrest,
    single_sigmas,
)
from load_tests.crowd.fit_jumps import find_jumps
from load_tests.crowd.gps_error import MAX_ERROR_M, MAX_JUMP_M, MIN_JUMP_M, Receiver, Wrong, correlation
from load_tests.crowd.trip import Mode
from load_tests.tracks import read_tracks

GPS = Path(__file__).parents[4] / "shared" / "gps"
needs_recordings = pytest.mark.skipif(not GPS.is_dir(), reason="the recordings are not beside the repository")


def errors(name: int, seconds: int, *, jumps_per_hour: float = 0.0, mode: Mode = Mode.WALK) -> list[Wrong]:
    receiver = Receiver(Draw(name, "test"), jumps_per_hour)
    return [receiver.at(1000 * second, mode) for second in range(seconds)]


def autocorrelation(series: list[float], lag: int) -> float:
    variance = mean(one * one for one in series)
    return mean(a * b for a, b in zip(series, series[lag:], strict=False)) / variance


def test_the_error_keeps_the_correlation_that_the_model_says() -> None:
    axes = []
    for name in range(5):
        found = errors(name, 15_000)
        axes += [[one.east_m for one in found], [one.north_m for one in found]]
    for lag in (1, 5, 10, 30, 60, 120, 300):
        assert abs(mean(autocorrelation(axis, lag) for axis in axes) - correlation(lag)) < 0.1


@needs_recordings
def test_the_models_correlation_is_near_that_of_real_receivers() -> None:
    found = agreement(read_tracks(GPS / RIDE))
    for lag, seen in zip(LAGS_S, found.correlation, strict=True):
        assert abs(correlation(lag) - seen) < 0.08


@needs_recordings
def test_the_constants_are_what_the_fit_says() -> None:
    found = agreement(read_tracks(GPS / RIDE))
    unrest = fit_unrest(found.kurtosis, found.restless, found.correlation)
    steady = [rho / unrest.kept(lag) for lag, rho in zip(LAGS_S, found.correlation, strict=True)]
    decay = fit_decay(steady, two=True)
    sigmas = single_sigmas(found.variances)
    fitted = (decay.quick, decay.quick_s, decay.slow, decay.slow_s, unrest.spread, unrest.time_s)
    stated = (
        *(gps_error.QUICK, gps_error.QUICK_S, gps_error.SLOW, gps_error.SLOW_S),
        *(gps_error.UNREST, gps_error.UNREST_S),
    )
    assert fitted == pytest.approx(stated, rel=0.02)
    assert mean(sigmas[name] for name in PHONES) == pytest.approx(gps_error.SIGMA_M, rel=0.02)
    assert decay.rms < 0.05 < fit_decay(steady, two=False).rms  # one exponential would not do


@needs_recordings
def test_the_jumps_are_what_the_recordings_show() -> None:
    jumps = find_jumps(read_tracks(GPS / JUMPY[0]))
    assert (jumps.median_m, jumps.spread, jumps.lasts_s, jumps.bold) == pytest.approx(
        (gps_error.JUMP_M, gps_error.JUMP_SPREAD, gps_error.JUMP_S, gps_error.BOLD_SHARE), rel=0.02
    )
    assert jumps.most_m == pytest.approx(MAX_JUMP_M, rel=0.02)


def test_the_size_of_the_error_is_that_of_phones_and_bounded() -> None:
    found = [one for name in range(300) for one in errors(name, 30)[::10]]
    sigma = math.sqrt(
        (pvariance([one.east_m for one in found]) + pvariance([one.north_m for one in found])) / 2
    )
    assert 3.5 < sigma < 7.5  # a spread between devices adds to 4.5
    assert all(math.hypot(one.east_m, one.north_m) <= MAX_ERROR_M + 1e-9 for one in found)
    inside = mean(math.hypot(one.east_m, one.north_m) <= one.acc_m for one in found)
    assert abs(inside - 0.68) < 0.1


@pytest.mark.parametrize(("mode", "more"), [(Mode.WALK, 1.0), (Mode.METRO, gps_error.METRO_JUMPS)])
def test_jumps_come_at_their_rate_last_a_while_and_are_bounded(mode: Mode, more: float) -> None:
    found = errors(4, 200_000, jumps_per_hour=6.0, mode=mode)
    starts = [b for a, b in pairwise(found) if b.jump and b is not a]
    calm_h = sum(not one.jump for one in found) / 3_600
    assert abs(len(starts) / calm_h / (6.0 * more) - 1) < 0.2
    lengths = [math.hypot(one.east_m, one.north_m) for one in starts]
    assert all(MIN_JUMP_M - 1e-6 <= length <= MAX_JUMP_M + 1e-6 for length in lengths)
    assert 500 < median(lengths) < 1_400
    assert abs(sum(one.jump for one in found) / len(starts) - gps_error.JUMP_S) < 8


def test_a_long_silence_forgets_and_no_silence_changes_nothing() -> None:
    receiver = Receiver(Draw(1, "test"), 0.0)
    first, again, later = (receiver.at(at_ms, Mode.WALK) for at_ms in (0, 0, 36_000_000))
    assert (first.east_m, first.north_m) == (again.east_m, again.north_m) != (later.east_m, later.north_m)
