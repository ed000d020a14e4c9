"""The fit finds what was put in, whatever the course and the clocks; a folder without recordings is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from load_tests.crowd.draw import Draw
from load_tests.crowd.fit_error import (
    DEVICES,
    LAGS_S,
    RIDE,
    Agreement,
    agreement,
    fit,
    fit_decay,
    single_sigmas,
)
from load_tests.readings import Reading, Track

SIGMAS = dict(zip(DEVICES, (6.0, 4.0, 2.0, 3.0), strict=True))
LASTS_S = 40.0
CLOCKS_S = dict(zip(DEVICES, (0.0, 1.0, -1.5, 0.5), strict=True))


def ride(device: str, seconds: int) -> Track:
    """A winding ride at 7 m/s, with a first-order error of 40 s, seen by a device whose clock is off."""
    draw, track = Draw(device, "ride"), Track(device)
    kept = math.exp(-1 / LASTS_S)
    error = [draw.normal(), draw.normal()]
    for second in range(seconds):
        error = [kept * one + math.sqrt(1 - kept * kept) * draw.normal() for one in error]
        north, east = _where(second)
        lat = 51.5 + (north + SIGMAS[device] * error[0]) / 111_195
        lon = -3.2 + (east + SIGMAS[device] * error[1]) / 111_195 / math.cos(math.radians(51.5))
        track.readings.append(Reading(int(1000 * (second + CLOCKS_S[device])), lat, lon))
    return track


def _where(second: float) -> tuple[float, float]:
    """Metres north and east on a circle of a kilometre that wobbles."""
    turn = second * 7 / 1_000
    radius = 1_000 + 60 * math.sin(9 * turn)
    return radius * math.cos(turn), radius * math.sin(turn)


@pytest.fixture(scope="module")
def found() -> Agreement:
    return agreement([ride(device, 12_000) for device in DEVICES])


def test_each_devices_own_sigma_is_found(found: Agreement) -> None:
    for device, sigma in single_sigmas(found.variances).items():
        assert sigma == pytest.approx(SIGMAS[device], abs=0.7)


def test_the_correlation_and_its_time_are_found(found: Agreement) -> None:
    for lag, seen in zip(LAGS_S, found.correlation, strict=True):
        assert abs(seen - math.exp(-lag / LASTS_S)) < 0.12
    assert fit_decay(found.correlation, two=False).quick_s == pytest.approx(LASTS_S, rel=0.3)


def test_normal_errors_have_the_kurtosis_of_the_normal_law(found: Agreement) -> None:
    assert found.kurtosis == pytest.approx(3.0, abs=0.4)


def test_two_exponentials_are_told_apart() -> None:
    mixed = [0.4 * math.exp(-lag / 8) + 0.5 * math.exp(-lag / 300) for lag in LAGS_S]
    decay = fit_decay(mixed, two=True)
    assert (decay.quick, decay.slow) == pytest.approx((0.4, 0.5), abs=0.03)
    assert (decay.quick_s, decay.slow_s) == pytest.approx((8, 300), rel=0.12)


def test_a_folder_without_the_recordings_is_named_and_ends_with_2(tmp_path: Path) -> None:
    app = Typer()
    app.command()(fit)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 2
    assert f"{RIDE}: No such file" in result.output and "Give the folder" in result.output


def test_a_missing_device_is_named() -> None:
    with pytest.raises(ValueError, match="no track of garmin-edge-605, lezyne, xiaomi"):
        agreement([ride("motog3", 10)])
