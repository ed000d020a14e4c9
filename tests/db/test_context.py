"""The same context, the same hash; nearly the same as well; another one, another."""

from __future__ import annotations

import re

import pytest

from db.context import context_hash


def test_it_is_what_the_table_takes_and_never_changes() -> None:
    made = context_hash(minutes=180, budget_max=30_000, weather="clear", district="마포구")
    assert re.fullmatch("[0-9a-f]{64}", made)
    # Of {"budget":30000,"district":"마포구","minutes":180,"weather":"clear"}: another text empties every cache.
    assert made == "73889e084eb425c7a9d410ab75b47a3c666bb57f33da9a038ca978f14ebf8c01"


def test_what_is_nearly_the_same_shares_a_recommendation() -> None:
    made = context_hash(minutes=180, budget_max=30_000, weather="clear")
    assert made == context_hash(minutes=209, budget_max=34_999, weather=" Clear ")
    others = [
        context_hash(minutes=210, budget_max=30_000, weather="clear"),
        context_hash(minutes=180, budget_max=35_000, weather="clear"),
        context_hash(minutes=180, budget_max=None, weather="clear"),
        context_hash(minutes=180, budget_max=30_000, weather="rain"),
        context_hash(minutes=180, budget_max=30_000, weather="clear", district="중구"),
    ]
    assert len({made, *others}) == 6


@pytest.mark.parametrize(
    "wrong", [{"minutes": -1}, {"budget_max": -1}, {"weather": " "}], ids=["minutes", "budget", "weather"]
)
def test_what_is_no_context_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|has a weather"):
        context_hash(**({"minutes": 60, "budget_max": 0, "weather": "clear"} | wrong))  # type: ignore[arg-type]
