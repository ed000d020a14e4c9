"""The account tells whether every fix has an end, and whether the rows are those of the acked fixes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from load_tests.account import MemberAccount, ReplayAccount
from protocol.precision import Precision


def member(**changes: Any) -> MemberAccount:
    fields: dict[str, Any] = {
        "member": "a",
        "m": 2,
        "delta_ms": 5000,
        "read": 10,
        "unusable": {"no_time": 1},
        "offered": 10,
        "acked": 8,
        "rejected": {"range": 2},
        "held": 0,
        "lost": 0,
        "sent_again": 0,
        "connections": 1,
        "windows": 3,
        "held_windows": 0,
    }
    return MemberAccount(**(fields | changes))


def account(*members: MemberAccount, **changes: Any) -> ReplayAccount:
    fields: dict[str, Any] = {
        "session": 1,
        "started_at": 0,
        "outcome": "done",
        "precision_seen": Precision.EXACT,
        "live_only": False,
        "members": list(members or (member(),)),
        "rows_found": 3,
        "rows_wanted": True,
    }
    return ReplayAccount(**(fields | changes))


def test_all_settled_and_a_row_for_each_window_adds_up() -> None:
    assert account().adds_up
    assert account().complete


@pytest.mark.parametrize("wrong", [{"acked": 7}, {"acked": 9}, {"offered": 11}, {"lost": 1}])
def test_a_fix_too_few_or_too_many_does_not_add_up(wrong: dict[str, int]) -> None:
    assert not account(member(**wrong)).adds_up


@pytest.mark.parametrize("rows", [2, 4])
def test_of_an_exact_session_each_window_is_one_row(rows: int) -> None:
    assert not account(rows_found=rows).adds_up


def test_what_is_held_may_have_its_row_or_not() -> None:
    held = member(acked=6, held=2, held_windows=1)
    assert [account(held, rows_found=rows).adds_up for rows in (2, 3, 4, 5)] == [False, True, True, False]
    assert not account(held).complete


def test_a_rough_session_makes_at_most_a_row_a_window() -> None:
    rough = {"precision_seen": Precision.ROUGH}
    assert [account(rows_found=rows, **rough).adds_up for rows in (0, 3, 4)] == [True, True, False]


def test_a_live_only_session_stores_nothing() -> None:
    assert [account(rows_found=rows, live_only=True).adds_up for rows in (0, 1)] == [True, False]


def test_rows_that_were_wanted_and_not_counted_do_not_add_up() -> None:
    assert not account(rows_found=None).adds_up
    assert account(rows_found=None, rows_wanted=False).adds_up


@pytest.mark.parametrize("open_end", [{"read": 11}, {"acked": 7, "held": 1}, {"acked": 7, "lost": 1}])
def test_what_is_not_sent_held_or_lost_is_not_complete(open_end: dict[str, int]) -> None:
    one = account(member(**open_end))
    assert one.adds_up
    assert not one.complete


def test_the_json_says_what_an_own_calculation_needs() -> None:
    said = json.loads(account(member(), member(member="b", windows=1), rows_found=4).as_json())
    assert said["members"][1]["delta_ms"] == 5000
    assert said["started_at"] == 0
    assert said["totals"]["rejected"] == {"range": 4}
    assert said["totals"]["unusable"] == {"no_time": 2}
    assert said["rows_expected"] == {"least": 4, "most": 4}
    assert said["adds_up"] is True
    assert not {"lat", "lon", "token", "member_token"} & set(msgspec.json.decode(json.dumps(said)))
