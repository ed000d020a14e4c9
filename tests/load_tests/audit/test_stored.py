"""Which rows must be there, which may, and which may not; told as small stories."""

from __future__ import annotations

from load_tests.audit.party import StoredRow
from protocol.precision import Precision
from tests.load_tests.audit.test_deliveries import ACC, LAT, LON, Story, cell

EXACT, ROUGH, PRIVATE = Precision
WINDOW = 5_000


def row(s: float, precision: Precision = EXACT, lat: float = LAT, lon: float = LON) -> StoredRow:
    at = Story.ms(s)
    return StoredRow(2, at - at % WINDOW, at % WINDOW, lat, lon, 5.0, precision)


def rough_row(s: float, lat: float = LAT, lon: float = LON) -> StoredRow:
    _, at, *centre, _, _, _ = cell(lat, lon, s)
    return StoredRow(2, at, 0, centre[0], centre[1], ACC, ROUGH)


def broken(story: Story, *rows: StoredRow) -> dict[str, int]:
    found = story.audit.finish({}, rows).broken
    return {rule: count for rule, count in found.items() if rule != "account"}


def acked(story: Story, offered_s: float, acked_s: float) -> None:
    story.fix(2, offered_s)
    story.audit.acked(2, [story.ms(offered_s)], story.ms(acked_s))


def test_an_exact_fix_has_the_row_of_its_window() -> None:
    story = Story()
    acked(story, 31, 36)
    assert broken(story, row(31)) == {}
    assert broken(story) == {"G1": 1}


def test_the_row_may_hold_another_fix_of_the_window() -> None:
    story = Story()
    acked(story, 31, 36)
    acked(story, 33, 36)
    assert broken(story, row(33)) == {}


def test_a_rough_fix_has_the_row_of_its_beat() -> None:
    story = Story(ROUGH, EXACT)
    acked(story, 31, 36)
    assert broken(story, rough_row(31)) == {}
    assert broken(story) == {"G1": 1}


def test_what_is_not_certain_is_looked_up_in_both_windows() -> None:
    story = Story()
    story.session(ROUGH, 32, 33)
    acked(story, 31, 36)
    assert broken(story, row(31)) == {}
    story = Story()
    story.fix(2, 31)
    story.session(ROUGH, 32, 33)
    story.audit.acked(2, [story.ms(31)], story.ms(36))
    assert broken(story, row(31)) == {}
    assert broken(story, rough_row(31)) == {}
    assert broken(story)["G1"] == 1


def test_a_private_fix_has_no_row() -> None:
    story = Story(PRIVATE, EXACT)
    acked(story, 31, 32)
    audited = story.audit.finish({}, [])
    assert (audited.acked_windows, audited.looked_up) == (1, 0)
    assert "G1" not in audited.broken
    assert broken(story, rough_row(31)) == {"G3": 1}
    assert broken(story, row(31))["G3"] == 2


def test_what_was_held_is_judged_by_the_connection_that_acked_it() -> None:
    """Offered while private, and sent after a loosening and a new welcome."""
    story = Story()
    story.session(PRIVATE, 10, 11)
    story.fix(2, 31)
    story.session(EXACT, 40, 41)
    story.share(2, EXACT, 42, 43)
    story.welcome(2, 50)
    story.audit.acked(2, [story.ms(31)], story.ms(57))
    assert broken(story, row(31)) == {}
    assert broken(story) == {"G1": 1}


def test_a_row_that_is_finer_than_allowed() -> None:
    story = Story(ROUGH, EXACT)
    acked(story, 31, 36)
    assert broken(story, row(31), rough_row(31)) == {"G3": 1}


def test_a_row_that_is_called_rough() -> None:
    story = Story(ROUGH, EXACT)
    acked(story, 31, 36)
    good = rough_row(31)
    for lat, accuracy, offset in ((LAT, ACC, 0), (good.lat, 5.0, 0), (good.lat, ACC, 3)):
        lon = LON if lat == LAT else good.lon
        bad = StoredRow(2, good.window_ms, offset, lat, lon, accuracy, ROUGH)
        assert broken(story, bad)["G3"] >= 1


def test_rows_of_nobody_of_no_minute_and_of_a_session_that_stores_nothing() -> None:
    story = Story(ROUGH, EXACT)
    acked(story, 31, 36)
    good = rough_row(31)
    assert broken(story, good, StoredRow(0, 0, 0, LAT, LON, None, EXACT)) == {"G2": 1}
    assert broken(Story(ROUGH, EXACT), good) == {"G2": 1}
    off_beat = StoredRow(2, good.window_ms + WINDOW, 0, good.lat, good.lon, ACC, ROUGH)
    assert broken(story, off_beat)["G2"] == 2
    live_only = Story(live_only=True)
    acked(live_only, 31, 36)
    assert broken(live_only) == {}
    assert broken(live_only, row(31)) == {"G2": 1}


def delivered_in_time() -> Story:
    """Two fixes of a window, both delivered while it was open, both acked in time."""
    story = Story()
    story.ahead = 0
    for s in (31, 33):
        story.see(3, s + 0.5, story.fix(2, s))
    story.audit.acked(2, [story.ms(31), story.ms(33)], story.ms(37))
    return story


def test_a_row_is_no_older_than_what_was_delivered_while_its_window_was_open() -> None:
    assert broken(delivered_in_time(), row(33)) == {}
    assert broken(delivered_in_time(), row(31)) == {"G1": 1}


def test_a_row_may_be_older_when_the_connection_ended_soon_after() -> None:
    story = delivered_in_time()
    story.audit.disconnected(2, story.ms(38))
    assert broken(story, row(31)) == {}


def test_a_row_may_be_older_when_the_fix_came_after_its_window() -> None:
    story = Story()
    acked(story, 31, 37)
    story.see(3, 47, story.fix(2, 34))
    story.audit.acked(2, [story.ms(34)], story.ms(48))
    assert broken(story, row(31)) == {}
