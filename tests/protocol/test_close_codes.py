"""Close codes: the number alone says whether to come again."""

from __future__ import annotations

import pytest

from protocol.close_codes import NORMAL, CloseCode, may_come_again


@pytest.mark.parametrize("code", CloseCode)
def test_the_range_says_what_to_do(code: CloseCode) -> None:
    assert 4000 <= code < 5000
    assert may_come_again(code) == (code < 4500)


def test_the_codes_of_the_design_keep_their_numbers() -> None:
    assert {code.name: int(code) for code in CloseCode} == {
        "GOING_AWAY": 4000,
        "SLOW": 4001,
        "RATE": 4002,
        "LEASE": 4003,
        "UNAVAILABLE": 4004,
        "BAD_FRAME": 4500,
        "BAD_TOKEN": 4501,
        "KICKED": 4502,
        "ENDED": 4503,
        "FULL": 4504,
        "JOIN_TIMEOUT": 4505,
        "TOO_LARGE": 4506,
        "REPLACED": 4507,
        "FORBIDDEN": 4508,
    }


@pytest.mark.parametrize("code", CloseCode)
def test_the_reason_fits_a_close_frame(code: CloseCode) -> None:
    assert code.reason == code.name.lower()
    assert len(code.reason.encode()) <= 123


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013, 1015])
def test_a_cut_or_a_restart_means_come_again(code: int) -> None:
    assert may_come_again(code)


@pytest.mark.parametrize("code", [NORMAL, 1002, 1003, 1007, 1008, 1009, 1010])
def test_what_a_repetition_cannot_mend_does_not(code: int) -> None:
    assert not may_come_again(code)
