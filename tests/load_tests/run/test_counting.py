"""Seconds add up: over the phones of a worker, over the workers of a run, with nothing counted twice."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from load_tests.run import notes
from load_tests.run.counting import (
    Counter,
    account_of,
    add_accounts,
    close_name,
    summed,
    together,
)
from load_tests.run.histogram import bucket
from load_tests.run.notes import Tally
from protocol.client_events import Account
from protocol.messages import Reject


def test_a_second_holds_what_came_since_the_one_before() -> None:
    counter = Counter()
    counter.took("delay_ms", 500)
    counter.close(1006)
    counter.trouble("http 503")
    first = counter.end(10, notes.Account(5, 3, {"late": 1}, 1, 0, 2), connected=4, wanted=5)
    assert (first.at_s, first.offered, first.acked, first.held, first.sent_again) == (10, 5, 3, 1, 2)
    assert (first.rejected, first.closes) == ({"late": 1}, {"1006 cut": 1, "http 503": 1})
    assert first.delay_ms == {bucket(500): 1}
    second = counter.end(11, notes.Account(7, 3, {"late": 1, "range": 1}, 2, 0, 2), connected=5, wanted=5)
    assert (second.offered, second.acked, second.held) == (2, 0, 2)
    assert (second.rejected, second.closes, second.delay_ms) == ({"range": 1}, {}, {})


def test_accounts_of_phones_and_of_workers_add_up() -> None:
    phones = [Account(5, 2, {Reject.LATE: 1}, 2), Account(3, 1, {Reject.LATE: 1, Reject.RANGE: 1}, 0)]
    one = account_of(phones)
    assert one == notes.Account(8, 3, {"late": 2, "range": 1}, 2, 0, 0)
    add_accounts(one, notes.Account(1, 0, {"gone": 1}))
    assert one == notes.Account(9, 3, {"late": 2, "range": 1, "gone": 1}, 2, 0, 0)


tallies = st.lists(
    st.builds(
        Tally,
        at_s=st.integers(100, 110),
        connected=st.integers(0, 9),
        offered=st.integers(0, 9),
        delay_ms=st.dictionaries(st.integers(0, 20), st.integers(1, 5), max_size=3),
        closes=st.dictionaries(st.sampled_from(["1006 cut", "4001 slow"]), st.integers(1, 5)),
    ),
    max_size=6,
).map(lambda found: sorted(found, key=lambda one: one.at_s))


@given(st.lists(tallies, max_size=3))
def test_workers_together_count_what_each_counts(workers: list[list[Tally]]) -> None:
    before = msgspec.json.encode(workers)
    merged = together(workers)
    assert msgspec.json.encode(workers) == before
    assert (
        [one.at_s for one in merged] == list(range(merged[0].at_s, merged[-1].at_s + 1)) if merged else True
    )
    total, each = summed(merged), summed(one for told in workers for one in told)
    assert (total.offered, total.delay_ms, total.closes) == (each.offered, each.delay_ms, each.closes)


def test_a_worker_that_missed_a_second_keeps_its_levels() -> None:
    told = [Tally(1, connected=3), Tally(3, connected=5)]
    other = [Tally(1, connected=10), Tally(2, connected=10), Tally(3, connected=10)]
    assert [one.connected for one in together([told, other])] == [13, 13, 15]
    assert together([[], []]) == []


def test_close_codes_have_names() -> None:
    assert [close_name(code) for code in (1006, 4001, 4503, 1012)] == [
        "1006 cut",
        "4001 slow",
        "4503 ended",
        "1012 closed",
    ]
