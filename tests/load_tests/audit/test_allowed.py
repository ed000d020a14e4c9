"""What may be in force: a loosening from when it was asked, a tightening from when it returned."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from load_tests.audit.allowed import EXACT, OPEN_MS, PRIVATE, ROUGH, Allowed, Timeline, finest
from protocol.precision import Precision

exact, rough, private = Precision
HOST, ANA = 1, 2


def party(precision: Precision = exact) -> Allowed:
    allowed = Allowed(precision)
    allowed.came(HOST, exact, host=True, at_ms=0)
    allowed.came(ANA, exact, host=False, at_ms=0)
    return allowed


def now(allowed: Allowed, m: int) -> int:
    timeline = allowed.of(m)
    assert timeline is not None
    return timeline.now


def test_a_tightening_and_a_loosening() -> None:
    allowed = party()
    assert now(allowed, ANA) == EXACT
    allowed.asked(None, rough, 100_000)
    assert now(allowed, ANA) == EXACT | ROUGH
    allowed.returned(None, rough, 101_000)
    assert now(allowed, ANA) == ROUGH
    allowed.asked(None, exact, 102_000)
    allowed.returned(None, exact, 103_000)
    assert (now(allowed, HOST), now(allowed, ANA)) == (EXACT, ROUGH)
    allowed.asked(ANA, exact, 104_000)
    assert now(allowed, ANA) == EXACT | ROUGH
    allowed.returned(ANA, exact, 105_000)
    assert now(allowed, ANA) == EXACT
    timeline = allowed.of(ANA)
    assert timeline is not None
    assert timeline.between(101_001, 103_999) == ROUGH
    assert timeline.between(100_500, 101_500) == EXACT | ROUGH
    assert timeline.between(0, 99_999) == EXACT
    assert allowed.session.between(104_500, 200_000) == EXACT


def test_who_comes_while_a_loosening_is_under_way() -> None:
    allowed = party(rough)
    allowed.asked(None, exact, 100_000)
    allowed.returned(None, exact, 100_500)
    assert allowed.came(3, exact, host=False, at_ms=100_600).now == EXACT | ROUGH
    assert allowed.came(4, exact, host=False, at_ms=200_000).now == EXACT


def test_a_change_without_answer_stays_possible_and_no_more_is_to_come() -> None:
    allowed = party()
    allowed.asked(None, rough, 0)
    allowed.asked(None, private, OPEN_MS + 1)
    allowed.returned(None, private, OPEN_MS + 2)
    assert now(allowed, HOST) == PRIVATE


def test_an_answer_that_nobody_asked_for() -> None:
    allowed = party()
    allowed.returned(None, rough, 5)
    allowed.returned(9, rough, 5)
    assert now(allowed, ANA) == EXACT
    assert allowed.of(9) is None


changes = st.lists(st.tuples(st.booleans(), st.sampled_from(Precision)), min_size=1, max_size=4)


@given(changes)
def test_every_order_of_what_overlaps_is_possible(asked: list[tuple[bool, Precision]]) -> None:
    allowed = party(rough)
    for at_ms, (by_host, precision) in enumerate(asked, 1):
        allowed.asked(None if by_host else ANA, precision, at_ms)
    for at_ms, (by_host, precision) in enumerate(asked, 10):
        allowed.returned(None if by_host else ANA, precision, at_ms)
    possible = 0
    for order in permutations(asked):
        session, own = rough.coarseness, exact.coarseness
        for by_host, precision in order:
            if not by_host:
                own = precision.coarseness
                continue
            if precision.coarseness < session:
                own = max(own, session)
            session = precision.coarseness
        possible |= 1 << max(session, own)
    assert now(allowed, ANA) == possible


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 7)), max_size=8),
    st.integers(-5, 60),
    st.integers(0, 60),
)
def test_between_is_all_that_was_at_some_time(turns: list[tuple[int, int]], start: int, span: int) -> None:
    timeline, at = Timeline(1), [1] * 120
    for at_ms, bits in sorted(turns, key=lambda turn: turn[0]):
        before = timeline.now
        timeline.turn(at_ms, bits)
        at[at_ms] |= before | bits
        at[at_ms + 1 :] = [bits] * (len(at) - at_ms - 1)
    expected = 0
    for ms in range(start, start + span + 1):
        expected |= at[max(ms, 0)] if ms >= 0 else 1
    found = timeline.between(start, start + span)
    assert found | expected == expected
    assert finest(found).coarseness >= finest(expected).coarseness


def test_a_clock_that_steps_back_is_taken_to_stand() -> None:
    timeline = Timeline(EXACT)
    timeline.turn(100, ROUGH)
    timeline.turn(50, PRIVATE)
    assert timeline.between(101, 200) == PRIVATE
    assert timeline.since(EXACT) == 100
    assert timeline.since(PRIVATE) is None


def test_a_loosening_that_failed_may_be_done_after_a_tightening_has_returned() -> None:
    allowed = party(rough)
    allowed.asked(None, exact, 100_000)
    allowed.failed(exact, 105_000)
    allowed.returned(None, exact, 106_000)
    allowed.asked(None, private, 110_000)
    allowed.returned(None, private, 111_000)
    assert now(allowed, HOST) == EXACT | PRIVATE
    assert list(allowed.late(111_000)) == [exact.coarseness]
    later = 105_001 + OPEN_MS
    allowed.asked(None, rough, later)
    allowed.returned(None, rough, later + 1)
    assert now(allowed, HOST) == ROUGH
    assert not allowed.late(later)


def test_a_tightening_that_failed_twice_and_returned_holds() -> None:
    allowed = party()
    allowed.asked(None, private, 100_000)
    allowed.failed(private, 101_000)
    allowed.failed(private, 103_000)
    assert now(allowed, ANA) == EXACT | PRIVATE
    allowed.returned(None, private, 104_000)
    assert now(allowed, ANA) == now(allowed, HOST) == PRIVATE


def test_many_failures_keep_few_states() -> None:
    allowed = party()
    for second in range(200):
        precision = (exact, rough, private)[second % 3]
        allowed.asked(None, precision, 1000 * second)
        allowed.failed(precision, 1000 * second + 500)
        allowed.returned(None, precision, 1000 * second + 600)
    assert now(allowed, HOST) == EXACT | ROUGH | PRIVATE
