"""Which errors put an entry aside, which try it again alone, and which make all wait."""

from __future__ import annotations

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import ReadOnlyError

from db.positions import PartitionMissing
from server.verdict import AWAY, LOSSES, Suspects, Verdict, verdict


def of_state(sqlstate: str) -> BaseException:
    """The error that the driver makes of a server's."""
    error: BaseException = asyncpg.PostgresError.new({"C": sqlstate, "M": "x", "S": "ERROR"})
    return error


@pytest.mark.parametrize(
    "sqlstate",
    [
        "25006",
        "53100",
        "53200",
        "53300",
        "57P03",
        "57014",
        "40P01",
        "40001",
        "55P03",
        "58030",
        "42501",
        "42P01",
        "25P03",
        "XX001",
        "XX002",
    ],
)
def test_the_server_s_state_makes_entries_wait(sqlstate: str) -> None:
    assert verdict(of_state(sqlstate)) is Verdict.AWAY
    assert isinstance(of_state(sqlstate), AWAY)


@pytest.mark.parametrize("sqlstate", ["22P03", "22P04", "22003", "23502", "23514", "08P01", "54000", "XX000"])
def test_bytes_that_are_no_row_are_poison(sqlstate: str) -> None:
    assert verdict(of_state(sqlstate)) is Verdict.POISON


@pytest.mark.parametrize(
    "error",
    [
        of_state("57P01"),
        of_state("57P02"),
        of_state("08003"),
        of_state("08006"),
        ConnectionResetError(),
        BrokenPipeError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("unexpected"),
    ],
    ids=repr,
)
def test_an_end_of_the_connection_may_be_the_entry_s_doing(error: Exception) -> None:
    assert verdict(error) is Verdict.LOST


@pytest.mark.parametrize(
    "error", [RedisAway(), ReadOnlyError(), OSError(), TimeoutError(), PartitionMissing()]
)
def test_who_does_not_answer_is_away(error: Exception) -> None:
    assert verdict(error) is Verdict.AWAY


@pytest.mark.parametrize(
    "error", [ValueError(), TypeError(), OverflowError(), KeyError("d"), RecursionError()]
)
def test_what_nobody_foresaw_is_the_entry_s(error: Exception) -> None:
    """A writer that ended over it would leave it to the next one."""
    assert verdict(error) is Verdict.POISON


@given(st.lists(st.tuples(st.sampled_from("lc"), st.integers(0, 3)), max_size=60))
def test_an_entry_is_poison_after_so_many_losses_in_a_row(steps: list[tuple[str, int]]) -> None:
    suspects, losses = Suspects(), dict.fromkeys(range(4), 0)
    for step, n in steps:
        entry = (n % 2, b"%d-0" % n)
        if step == "l":
            losses[n] += 1
            assert suspects.lost(entry) is (losses[n] == LOSSES)
            losses[n] %= LOSSES
        else:
            losses[n] = 0
            suspects.clear(entry)
        assert len(suspects) == sum(1 for count in losses.values() if count)


def test_suspects_are_bounded() -> None:
    suspects = Suspects()
    for n in range(3_000):
        assert not suspects.lost((n % 8, b"%d-0" % n))
    assert len(suspects) == 1_024
    assert [suspects.lost((7, b"2999-0")) for _ in range(LOSSES - 1)] == [False, False, True]
