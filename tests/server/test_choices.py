"""Options: complete when a session is made, and never loosened for somebody else (G4)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.options import Options
from server.bodies import OptionsChange
from server.choices import changed, chosen
from server.problems import Kind, Problem

NOW_MS = 1_790_000_001_234
DAY_MS = 86_400_000


def change(**keys: object) -> msgspec.Struct:
    return msgspec.convert(keys, OptionsChange)


def test_a_session_starts_a_minute_back_on_a_window() -> None:
    options = chosen(Options(), ttl_hours=168, now_ms=NOW_MS)
    assert options.started_at is not None
    assert options.started_at % 5000 == 0
    assert 60_000 <= NOW_MS - options.started_at < 65_000


@given(asked=st.none() | st.integers(1, 8760), kept=st.integers(1, 8760))
def test_rows_are_never_kept_longer_than_the_server_keeps_them(asked: int | None, kept: int) -> None:
    hours = chosen(Options(ttl_hours=asked), ttl_hours=kept, now_ms=NOW_MS).ttl_hours
    assert hours == (kept if asked is None else min(asked, kept))


@pytest.mark.parametrize("at", [NOW_MS - 7 * DAY_MS - 1, NOW_MS + 60_001, 0, -(2**60)])
def test_a_start_out_of_range_is_refused(at: int) -> None:
    with pytest.raises(Problem) as caught:
        chosen(Options(started_at=at), ttl_hours=1, now_ms=NOW_MS)
    assert caught.value.kind is Kind.INVALID
    assert "7 days" in caught.value.detail


@pytest.mark.parametrize("at", [NOW_MS - 7 * DAY_MS, NOW_MS + 60_000, NOW_MS - 12_345])
def test_a_start_in_range_stays(at: int) -> None:
    assert chosen(Options(started_at=at), ttl_hours=1, now_ms=NOW_MS).started_at == at


def test_an_expiry_beyond_what_the_wire_carries_is_refused() -> None:
    with pytest.raises(Problem):
        chosen(Options(token_expires_at=2**53), ttl_hours=1, now_ms=NOW_MS)


BEFORE = Options(rough_cell_m=1000, ttl_hours=24, started_at=5000, live_only=True, token_max_uses=3)


@pytest.mark.parametrize(
    "keys",
    [
        {"rough_cell_m": 500},
        {"rough_cell_m": 4000},
        {"ttl_hours": 25},
        {"live_only": False},
        {"started_at": 10_000},
    ],
)
def test_a_loosening_is_a_conflict(keys: dict[str, object]) -> None:
    with pytest.raises(Problem) as caught:
        changed(BEFORE, change(**keys))
    assert caught.value.kind is Kind.CONFLICT
    assert next(iter(keys)) in caught.value.detail


@pytest.mark.parametrize(
    "keys",
    [
        {"ttl_hours": 1},
        {"live_only": True},
        {"started_at": 5000},
        {"tick_ms": 250, "max_members": 500},
        {"token_max_uses": None, "token_expires_at": NOW_MS},
    ],
)
def test_what_is_not_named_stays(keys: dict[str, object]) -> None:
    assert changed(BEFORE, change(**keys)) == msgspec.structs.replace(BEFORE, **keys)


def test_a_null_time_to_live_changes_nothing() -> None:
    assert changed(BEFORE, change(ttl_hours=None)) == BEFORE
