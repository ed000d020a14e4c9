"""Which fixes are refused, and with what code; what phones send for "unknown" is not."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.limits import FUTURE_MS
from protocol.messages import Fix, Reject
from server.admission import MAX_ACC_M, check

NOW = 1_750_000_000_000
STARTED = NOW - 3_600_000


def fix(**values: float | None) -> Fix:
    return msgspec.structs.replace(Fix(seq=1, at=NOW, lat=48.0, lon=11.0), **values)


def test_a_good_fix_is_taken() -> None:
    assert check(fix(), NOW, STARTED) is None
    assert check(Fix(seq=1, at=NOW, lat=-90.0, lon=180.0, acc=0.0), NOW, STARTED) is None


@pytest.mark.parametrize(
    "values",
    [
        {"lat": 90.000001},
        {"lat": -91.0},
        {"lon": 180.1},
        {"lon": -1e308},
        {"lat": math.nan},
        {"lon": math.nan},
        {"lat": math.inf},
        {"lon": -math.inf},
        {"acc": math.nan},
        {"acc": math.inf},
        {"acc": -math.inf},
        {"acc": 1e308},
    ],
)
def test_what_is_no_place_is_out_of_range(values: dict[str, float]) -> None:
    assert check(fix(**values), NOW, STARTED) is Reject.RANGE


@pytest.mark.parametrize(
    "values",
    [{"acc": -1.0}, {"spd": -1.0}, {"hdg": -1.0}, {"hdg": math.nan}, {"spd": math.nan}, {"acc": MAX_ACC_M}],
)
def test_what_phones_send_for_unknown_is_taken(values: dict[str, float]) -> None:
    assert check(fix(**values), NOW, STARTED) is None


def test_times_have_two_ends() -> None:
    assert check(fix(at=NOW + FUTURE_MS), NOW, STARTED) is None
    assert check(fix(at=NOW + FUTURE_MS + 1), NOW, STARTED) is Reject.FUTURE
    assert check(fix(at=STARTED), NOW, STARTED) is None
    assert check(fix(at=STARTED - 1), NOW, STARTED) is Reject.TOO_OLD


any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(any_float, any_float, st.none() | any_float, st.integers(-(2**53), 2**53))
def test_it_never_raises_and_what_it_takes_is_a_place(
    lat: float, lon: float, acc: float | None, at: int
) -> None:
    if check(fix(lat=lat, lon=lon, acc=acc, at=at, spd=acc, hdg=acc), NOW, STARTED) is None:
        assert abs(lat) <= 90
        assert abs(lon) <= 180
        assert acc is None or math.isfinite(acc)
        assert STARTED <= at <= NOW + FUTURE_MS
