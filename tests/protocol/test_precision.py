"""Precision: the coarsest of several wins (G4), and only what hides more is a tightening."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.precision import Precision, coarsest, tightens

any_precision = st.sampled_from(Precision)


def test_the_order_is_exact_rough_private() -> None:
    assert sorted(Precision, key=lambda p: p.coarseness) == [
        Precision.EXACT,
        Precision.ROUGH,
        Precision.PRIVATE,
    ]


@given(st.lists(any_precision, min_size=1))
def test_nobody_is_shown_finer_than_any_choice(choices: list[Precision]) -> None:
    shared = coarsest(*choices)
    assert shared in choices
    assert all(shared.coarseness >= choice.coarseness for choice in choices)


@given(st.lists(any_precision, min_size=1), any_precision)
def test_one_more_choice_never_loosens(choices: list[Precision], another: Precision) -> None:
    assert not tightens(coarsest(*choices, another), coarsest(*choices))


@given(any_precision, any_precision)
def test_of_two_different_ones_exactly_one_way_tightens(a: Precision, b: Precision) -> None:
    assert tightens(a, b) + tightens(b, a) == (a is not b)


def test_no_choice_at_all_is_an_error_not_exact() -> None:
    with pytest.raises(ValueError, match="empty"):
        coarsest()
