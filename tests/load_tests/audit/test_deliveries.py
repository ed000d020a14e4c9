"""When a delivered position is too fine, too old, too late, or from nowhere; and when it only looks so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.audit.deliveries import LATE_MS, MARGIN_MS
from load_tests.audit.party import PartyAudit
from protocol.messages import PositionRow, Positions, Role, Welcome
from protocol.precision import Precision
from server.grid import Grid

EXACT, ROUGH, PRIVATE = Precision
AT = 1_700_000_040_000
"""A beat."""
AHEAD = 7_000
"""The server's clock is ahead of the load's by so much, and a frame is here 10 ms after it was made."""
SIDE = 500
GRID = Grid(123.0, 456.0)
LAT, LON = 37.51, 127.03
ACC = 354.0


class Story:
    """A party of host (1), Ana (2) and Bo (3), told in seconds after `AT`."""

    def __init__(self, *own: Precision, **options: Any) -> None:
        self.audit = PartyAudit(7, precision=EXACT, rough_cell_m=SIDE, **options)
        self.seq, self.ahead = 0, AHEAD
        for m, choice in enumerate([EXACT, *(own or (EXACT, EXACT))], 1):
            self.welcome(m, -10.0, choice)

    def welcome(
        self, m: int, s: float, own: Precision = EXACT, rows: list[PositionRow] | None = None
    ) -> None:
        at_ms = self.ms(s)
        role = Role.HOST if m == 1 else Role.MEMBER
        fixed = (own, EXACT, 1, 1000, 5000, at_ms + AHEAD - 10, [], rows or [])
        self.audit.welcomed(m, Welcome(7, m, role, "", *fixed), at_ms, own)

    @staticmethod
    def ms(s: float) -> int:
        return AT + round(s * 1000)

    def fix(self, m: int, s: float, lat: float = LAT, lon: float = LON, *, live: bool = True) -> PositionRow:
        """Offers a fix; returns it as the wire shows it."""
        self.seq += 1
        self.audit.offered(m, self.seq, self.ms(s), lat, lon, self.ms(s), live=live)
        return (m, self.ms(s), lat, lon, 5.0, 1.0, 90.0)

    def see(self, m: int, s: float, *rows: PositionRow, made_s: float | None = None) -> list[int]:
        made_ms = self.ms(s) - 10 if made_s is None else self.ms(made_s)
        return self.audit.positions(m, Positions(made_ms + self.ahead, list(rows)), self.ms(s))

    def session(self, to: Precision, asked_s: float, returned_s: float | None) -> None:
        self.audit.session_asked(to, self.ms(asked_s))
        if returned_s is not None:
            self.audit.session_returned(to, self.ms(returned_s))

    def share(self, m: int, to: Precision, asked_s: float, returned_s: float | None) -> None:
        self.audit.share_asked(m, to, self.ms(asked_s))
        if returned_s is not None:
            self.audit.share_returned(m, to, self.ms(returned_s))

    def told(self, m: int, to: Precision, s: float) -> None:
        self.audit.precision_seen(m, to, 2, self.ms(s))

    @property
    def broken(self) -> dict[str, int]:
        return {rule: n for rule, n in self.audit.finish({}, None).broken.items() if rule != "account"}


def cell(lat: float = LAT, lon: float = LON, s: float = 0.0, m: int = 2) -> PositionRow:
    """A rough row as an honest server makes it."""
    centre = GRID.centre(GRID.cell(lat, lon, SIDE))
    at = Story.ms(s)
    return (m, at - at % 60_000, *centre, ACC, None, None)


# --- a tightening holds when it returns ----------------------------------------------------------------


def tightened(to: Precision = ROUGH) -> tuple[Story, PositionRow]:
    """Asked at 10 s, returned at 11 s; nobody was told. Ana's fix is of 9 s."""
    story = Story()
    row = story.fix(2, 9)
    story.see(1, 9.03, row)
    story.session(to, 10, 11)
    return story, row


def test_exact_until_the_tightening_returned() -> None:
    story, row = tightened()
    story.see(3, 11.5, row, made_s=10.99)
    assert story.broken == {}


@pytest.mark.parametrize("to", [ROUGH, PRIVATE])
def test_exact_after_it_returned(to: Precision) -> None:
    story, row = tightened(to)
    story.see(3, 12, row, made_s=11.1 + MARGIN_MS / 1000)
    assert story.broken == {"G3": 1}


def test_rough_after_it_became_private() -> None:
    story, row = tightened(PRIVATE)
    story.see(3, 12, cell(), made_s=11.5)
    assert story.broken == {"G3": 1}


def test_a_frame_that_was_long_on_its_way() -> None:
    story, row = tightened()
    story.see(3, 60, row, made_s=10.9)
    assert story.broken == {}


def test_a_tightening_that_never_returned_proves_nothing() -> None:
    story = Story()
    row = story.fix(2, 9)
    story.session(ROUGH, 10, None)
    story.see(3, 30, row)
    assert story.broken == {}


def test_a_tightening_that_failed_holds_when_the_next_try_returned() -> None:
    story = Story()
    row = story.fix(2, 9)
    story.see(1, 9.03, row)
    story.session(ROUGH, 10, None)
    story.audit.session_failed(ROUGH, story.ms(12))  # a 503, or no answer
    story.see(3, 12.5, row)
    assert story.broken == {}
    story.audit.session_returned(ROUGH, story.ms(13))
    story.see(3, 14, row)
    assert story.broken == {"G3": 1}
    assert story.audit.finish({}, None).finer == 1


def test_a_loosening_that_failed_may_be_done_after_a_tightening_returned() -> None:
    """As by a gateway that was stopped, and reads what was asked of it a minute ago at most."""
    story, row = tightened()
    story.session(EXACT, 12, None)
    story.audit.session_failed(EXACT, story.ms(18))
    story.audit.session_returned(EXACT, story.ms(19))
    story.session(PRIVATE, 20, 21)
    story.told(3, PRIVATE, 21)
    host = story.fix(1, 30)
    story.see(3, 30.5, host)
    assert story.broken == {}
    story.session(ROUGH, 90, 91)  # it is too late for it by now
    story.told(3, ROUGH, 91)
    host = story.fix(1, 93)
    story.see(3, 94, host)
    assert set(story.broken) == {"G3"}


def test_exact_after_the_connection_was_told() -> None:
    """By order alone: the request itself has not returned."""
    story = Story()
    row = story.fix(2, 9)
    story.session(ROUGH, 10, None)
    story.told(3, ROUGH, 10.1)
    story.see(1, 10.2, row)
    assert story.broken == {}, "another connection, which was not told"
    story.see(3, 10.2, row)
    assert story.broken == {"G3": 1}


def test_told_and_loosened_again() -> None:
    story = Story()
    row = story.fix(1, 9)
    story.session(ROUGH, 10, 11)
    story.told(3, ROUGH, 11)
    story.session(EXACT, 12, 13)
    story.see(3, 12.5, row)
    assert story.broken == {}, "the host's own, from when it was asked"


def test_told_late_of_a_tightening_that_is_over() -> None:
    """A slow connection: what it is told of is the first of three changes."""
    story = Story()
    row = story.fix(1, 9)
    story.session(ROUGH, 10, 11)
    story.session(EXACT, 12, 13)
    story.session(ROUGH, 20, None)
    story.told(3, ROUGH, 20.5)
    story.see(3, 20.6, row)
    story.told(3, EXACT, 20.7)
    story.see(3, 20.8, row)
    assert story.broken == {}
    story.told(3, ROUGH, 20.9)
    story.see(3, 21, row)
    assert story.broken == {"G3": 1}


def test_a_welcome_tells_too() -> None:
    story, row = tightened()
    story.welcome(3, 12, rows=[row])
    assert story.broken == {"G3": 1}


# --- nobody loosens for somebody else ------------------------------------------------------------------


def loosened() -> tuple[Story, PositionRow, PositionRow]:
    """Rough from 10 s on; the host asked for exact at 30 s, which returned at 31 s. A fix of each at 32 s."""
    story, _ = tightened()
    story.session(EXACT, 30, 31)
    return story, story.fix(1, 32), story.fix(2, 32)


def test_the_host_loosens_themselves_alone() -> None:
    story, of_host, of_ana = loosened()
    story.see(3, 33, of_host)
    assert story.broken == {}
    story.see(3, 33, of_ana)
    assert story.broken == {"G4": 1}


def test_a_member_loosens_themselves() -> None:
    story, _, of_ana = loosened()
    story.share(2, EXACT, 34, None)
    story.see(3, 34.1, of_ana)
    assert story.broken == {}


def test_a_choice_of_before_the_loosening_counts_no_more() -> None:
    story, _ = tightened()
    story.share(2, EXACT, 12, 13)
    story.session(EXACT, 30, 31)
    story.see(3, 33, story.fix(2, 32))
    assert story.broken == {"G4": 1}


def test_a_choice_that_may_come_after_the_loosening_counts() -> None:
    story, _ = tightened()
    story.share(2, EXACT, 29, None)
    story.session(EXACT, 30, 31)
    story.see(3, 33, story.fix(2, 32))
    assert story.broken == {}


def test_an_own_choice_that_is_coarser() -> None:
    story = Story(ROUGH, EXACT)
    story.see(3, 1, story.fix(2, 0))
    assert story.broken == {"G4": 1}


def test_a_choice_is_confirmed_by_an_ack_of_what_was_offered_after_it() -> None:
    story = Story()
    before = story.fix(2, 9)
    story.see(1, 9.03, before)
    story.share(2, ROUGH, 10, None)
    story.audit.acked(2, [before[1]], story.ms(11))
    story.see(3, 12, before, made_s=11.5)
    assert story.broken == {}, "the ack of a fix from before says nothing"
    after = story.fix(2, 12.1)
    story.audit.acked(2, [after[1]], story.ms(13))
    story.see(1, 14, after)
    assert story.broken == {"G4": 1}


def test_a_choice_is_not_confirmed_across_connections() -> None:
    story = Story()
    story.share(2, ROUGH, 10, None)
    story.welcome(2, 11)
    after = story.fix(2, 12)
    story.audit.acked(2, [after[1]], story.ms(13))
    story.see(3, 14, after)
    assert story.broken == {}


# --- what is finer than rough --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda row, raw: (*row[:5], 1.0, None), id="a speed"),
        pytest.param(lambda row, raw: (*row[:6], 90.0), id="a heading"),
        pytest.param(lambda row, raw: (row[0], row[1] + 1000, *row[2:]), id="a time off the beat"),
        pytest.param(lambda row, raw: (*row[:4], 353.0, None, None), id="an accuracy"),
        pytest.param(lambda row, raw: (*row[:4], None, None, None), id="no accuracy"),
        pytest.param(lambda row, raw: (*row[:2], *raw[2:4], *row[4:]), id="the raw place"),
        pytest.param(lambda row, raw: (*row[:2], row[2] + 1e-5, *row[3:]), id="a place 1 m off the grid"),
        pytest.param(lambda row, raw: (*row[:3], row[3] + 1e-5, *row[4:]), id="as much to the east"),
    ],
)
def test_a_rough_row_with_something_finer(spoil: Any) -> None:
    story = Story(ROUGH, EXACT)
    raw = story.fix(2, 5)
    story.see(3, 6, cell())
    assert story.broken == {}
    row = spoil(cell(s=65, lat=LAT + 0.01), story.fix(2, 65, lat=LAT + 0.01))
    story.see(3, 66, row)
    assert story.broken["G4"] == 1, raw


def test_a_rough_row_of_a_minute_without_fix() -> None:
    story = Story(ROUGH, EXACT)
    story.fix(2, 5)
    story.see(3, 66, cell(s=65))
    assert story.broken == {"G2": 1}


def test_an_honest_walk_from_cell_to_cell() -> None:
    story = Story(ROUGH, EXACT)
    for minute in range(20):
        lat, lon = LAT + minute / 100, LON - minute / 50
        story.fix(2, 60 * minute, lat, lon)
        story.see(3, 60 * minute + 1, cell(lat, lon, 60 * minute))
    assert story.broken == {}


# --- order ---------------------------------------------------------------------------------------------


def test_an_older_one_after_a_newer_one() -> None:
    story = Story()
    older, newer = story.fix(2, 5), story.fix(2, 6)
    story.see(3, 6.1, newer)
    story.see(3, 6.2, newer)
    assert story.broken == {}, "the same again is no older one"
    story.see(3, 7, older)
    assert story.broken == {"order": 1}


def test_each_connection_has_its_own_order() -> None:
    story = Story()
    older, newer = story.fix(2, 5), story.fix(2, 6)
    story.see(3, 6.1, newer)
    story.see(1, 6.1, older)
    story.welcome(3, 7, rows=[older])
    assert story.broken == {}
    story.welcome(3, 8, rows=[newer])
    story.see(3, 9, older)
    assert story.broken == {"order": 1}


def test_a_rough_one_follows_an_exact_one_of_its_minute() -> None:
    story = Story()
    story.see(3, 31, story.fix(2, 30))
    story.session(ROUGH, 32, 33)
    story.fix(2, 40)
    story.see(3, 41, cell(s=40))
    assert story.broken == {}
    story.see(3, 101, cell(s=100)) if story.fix(2, 100) else None
    story.see(3, 102, cell(s=40))
    assert story.broken == {"order": 1}


# --- delay ---------------------------------------------------------------------------------------------


def test_delays_are_of_live_positions_of_others() -> None:
    story = Story()
    row, late = story.fix(2, 5), story.fix(3, 5.5, live=False)
    assert story.see(1, 6, row, late) == [1000]
    assert story.see(1, 6, row) == [], "once"
    assert story.see(2, 6, row) == [], "their own"
    story.welcome(3, 7)
    assert story.see(3, 7.1, row) == [], "it was not connected when that was sent"
    story.welcome(2, 8)
    assert story.see(1, 9, story.fix(2, 7.5)) == [], "the sender was not"


def test_a_position_that_the_server_held() -> None:
    story = Story()
    row, other = story.fix(2, 5), story.fix(1, 5)
    story.see(3, 5 + 1.5 + LATE_MS / 1000, row)
    assert story.broken == {"delay": 1}
    story.see(3, 5 + 10 + LATE_MS / 1000, other, made_s=6)
    assert story.broken == {"delay": 1}, "a phone that reads late is no fault of the server's"


# --- whoever sees --------------------------------------------------------------------------------------


def test_a_stranger() -> None:
    story = Story()
    story.see(1, 1, (9, AT, LAT, LON, 5.0, None, None))
    assert story.broken == {"G2": 1}


def test_a_frame_of_a_phone_that_is_off_the_network() -> None:
    story = Story()
    row = story.fix(2, 5)
    story.audit.disconnected(3, story.ms(6))
    assert story.see(3, 7, row) == []
    story.audit.left(1, story.ms(6))
    assert story.see(1, 7, row) == []
    assert story.audit.finish({}, None).deliveries == 0


@given(st.integers(0, 700))
def test_members_of_any_number(m: int) -> None:
    story = Story()
    story.welcome(m + 10, 0)
    story.see(1, 2, story.fix(m + 10, 1))
    assert story.broken == {}
