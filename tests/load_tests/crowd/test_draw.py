"""A stream is its name: the same numbers everywhere, other numbers for another name, of the law it says."""

from __future__ import annotations

import math
from statistics import mean, median, pvariance

import pytest

from load_tests.crowd.draw import Draw


def test_the_generator_is_splitmix64() -> None:
    draw = Draw("any")
    draw._state = 1_234_567
    # the published first outputs for this seed, their upper 53 bits as a fraction
    known = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)
    assert [draw.between(0, 1) for _ in known] == [(one >> 11) / 2**53 for one in known]


def test_the_same_name_gives_the_same_and_another_name_other_numbers() -> None:
    def some(*name: int | str) -> list[float]:
        draw = Draw(*name)
        return [draw.normal() for _ in range(5)]

    assert some(7, "leg", 3) == some(7, "leg", 3)
    assert (
        len(
            {tuple(some(*name)) for name in ((7, "leg", 3), (7, "leg", 4), (8, "leg", 3), (7, 1, 1), (71, 1))}
        )
        == 5
    )


def test_each_kind_of_number_has_its_law() -> None:
    draw, count = Draw(1, "laws"), 20_000
    normal = [draw.normal() for _ in range(count)]
    assert abs(mean(normal)) < 0.03 and abs(pvariance(normal) - 1) < 0.05
    assert abs(mean(abs(one) < 1 for one in normal) - math.erf(math.sqrt(0.5))) < 0.02
    waits = [draw.after(50.0) for _ in range(count)]
    assert (
        min(waits) >= 0 and abs(mean(waits) / 50 - 1) < 0.05 and abs(median(waits) / 50 - math.log(2)) < 0.03
    )
    evenly = [draw.between(-2, 4) for _ in range(count)]
    assert min(evenly) >= -2 and max(evenly) < 4 and abs(mean(evenly) - 1) < 0.05
    assert abs(mean(draw.chance(0.3) for _ in range(count)) - 0.3) < 0.02


@pytest.mark.parametrize("weights", [(0, 0, 1), (1, 0, 0), (1, 0, 3)])
def test_what_weighs_nothing_is_never_picked(weights: tuple[float, ...]) -> None:
    draw = Draw(2, "pick")
    picked = [draw.pick("abc", weights) for _ in range(4_000)]
    for item, weight in zip("abc", weights, strict=True):
        assert abs(picked.count(item) / 4_000 - weight / sum(weights)) < 0.04
