"""Traits come from a scenario's file or from code; one that is out of range is named."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from load_tests.crowd.traits import Traits


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"leaver_share": 1.5}, "leaver_share is a share: give 0 to 1"),
        ({"leaver_share": math.nan}, "leaver_share"),
        ({"kills_per_hour": -1}, "kills_per_hour is a rate"),
        ({"tunnel_s": (30, 20)}, "tunnel_s is a pair"),
        ({"sleep_s": (0, 20)}, "sleep_s is a pair"),
        ({"stay_s": (1, 7_200)}, "stay_s is a pair"),
        ({"walk": 0, "bus": 0, "metro": 0}, "weights"),
        ({"bus": -1}, "weights"),
        ({"clock_off_hours": (0, 1)}, "clock_off_hours is a pair"),
    ],
)
def test_a_trait_out_of_range_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Traits(**wrong)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: value if value == value else "x" for name, value in wrong.items()}, Traits)


def test_a_scenario_sets_some_and_a_misspelt_one_is_refused() -> None:
    traits = msgspec.convert({"kills_per_hour": 30, "killed_s": [5, 6]}, Traits)
    assert (traits.kills_per_hour, traits.killed_s, traits.walk) == (30, (5, 6), Traits().walk)
    with pytest.raises(msgspec.ValidationError, match="killz_per_hour"):
        msgspec.convert({"killz_per_hour": 30}, Traits)
