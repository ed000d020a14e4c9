"""Options: what a host may choose. Anything else is refused whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.options import Options

good_options = st.fixed_dictionaries(
    {},
    optional={
        "tick_ms": st.integers(250, 5000),
        "rough_cell_m": st.sampled_from([250, 500, 1000, 2000, 4000]),
        "max_members": st.integers(1, 500),
        "ttl_hours": st.integers(1, 8760) | st.none(),
        "token_expires_at": st.integers(0, 2**53) | st.none(),
        "token_max_uses": st.integers(1, 10_000) | st.none(),
        "live_only": st.booleans(),
        "started_at": st.integers(0, 2**53) | st.none(),
    },
)


@given(good_options)
def test_what_is_in_range_is_taken_and_stored_whole(chosen: dict[str, Any]) -> None:
    options = msgspec.convert(chosen, Options)
    stored = msgspec.json.decode(msgspec.json.encode(options))
    assert stored.items() >= chosen.items()
    assert set(stored) == set(Options.__struct_fields__)
    assert msgspec.convert(stored, Options) == options


@pytest.mark.parametrize(
    "chosen",
    [
        {"tick_ms": 249},
        {"tick_ms": 5001},
        {"tick_ms": "1000"},
        {"tick_ms": None},
        {"rough_cell_m": 0},
        {"rough_cell_m": 1},
        {"rough_cell_m": 501},
        {"rough_cell_m": 8000},
        {"max_members": 0},
        {"max_members": 501},
        {"ttl_hours": 0},
        {"ttl_hours": 8761},
        {"token_max_uses": 0},
        {"live_only": 1},
        {"started_at": 1.5},
        {"tick": 1000},
    ],
)
def test_what_is_out_of_range_or_unknown_is_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(chosen, Options)


def test_the_defaults_are_the_designs() -> None:
    assert Options() == Options(
        tick_ms=1000,
        rough_cell_m=500,
        max_members=50,
        ttl_hours=None,
        token_expires_at=None,
        token_max_uses=None,
        live_only=False,
        started_at=None,
    )
