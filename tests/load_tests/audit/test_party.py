"""No honest server is convicted, whatever happens; whoever breaks a rule is, by that rule."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from load_tests.audit.party import StoredRow
from protocol.messages import Positions
from protocol.precision import Precision
from tests.load_tests.audit.simulated import Log, Simulation

SEEDS = st.integers(0, 2**32)
quick = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def spoiled(log: Log, **named: Any) -> dict[str, int]:
    """What is broken when the log is changed like this."""
    changed = Log(list(log.calls), dict(log.accounts), list(log.rows), log.live_only)
    for name, value in named.items():
        setattr(changed, name, value)
    return changed.judged().broken


def frames(log: Log) -> list[tuple[int, int, Positions]]:
    """Place in the log, receiver and frame of each `positions` that holds an exact row."""
    return [
        (place, arguments[0], arguments[1])
        for place, (name, arguments, _) in enumerate(log.calls)
        if name == "positions" and any(row[5] is not None for row in arguments[1].p)
    ]


def with_frame(log: Log, place: int, rows: list[Any]) -> list[Any]:
    """The log with other rows in the frame at `place`."""
    name, (m, frame, at_ms), named = log.calls[place]
    calls = list(log.calls)
    calls[place] = (name, (m, Positions(frame.at, rows), at_ms), named)
    return calls


# --- the innocent ------------------------------------------------------------------------------------


@given(SEEDS)
@settings(parent=quick, max_examples=100)
def test_an_honest_party_is_acquitted(seed: int) -> None:
    audited = Simulation(seed, members=2 + seed % 3).run().judged()
    assert (audited.broken, audited.violations) == ({}, [])


@given(SEEDS)
@settings(parent=quick, max_examples=10)
def test_an_honest_party_that_stores_nothing_is_acquitted(seed: int) -> None:
    log = Simulation(seed, live_only=True).run()
    audited = log.judged()
    assert (audited.broken, audited.looked_up, audited.rows) == ({}, 0, 0)


def test_most_windows_have_to_have_their_row() -> None:
    found = [Simulation(seed).run().judged() for seed in range(40)]
    acked = sum(one.acked_windows for one in found)
    assert sum(one.looked_up for one in found) > acked / 2, "private a third of the time, and yet"
    assert sum(one.deliveries for one in found) > 2_000
    assert sum(one.rows for one in found) > 500


# --- the guilty --------------------------------------------------------------------------------------


@given(SEEDS)
@quick
def test_lost_rows(seed: int) -> None:
    log = Simulation(seed).run()
    honest = log.judged()
    assume(honest.looked_up)
    assert spoiled(log, rows=[]).get("G1", 0) == honest.looked_up


@given(SEEDS, st.data())
@quick
def test_a_lost_row_of_a_member_who_was_always_exact(seed: int, data: st.DataObject) -> None:
    simulation = Simulation(seed, seconds=40)
    simulation.next_change, simulation.share_chance = 2**62, 0.0
    log = simulation.run()
    joined = {phone.number for phone in simulation.phones if phone.own is Precision.EXACT}
    acked = {
        (arguments[0], at // 5_000 * 5_000)
        for name, arguments, _ in log.calls
        if name == "acked"
        for at in arguments[1]
    }
    needed = [row for row in log.rows if row.m in joined and (row.m, row.window_ms) in acked]
    assume(needed)
    lost = data.draw(st.sampled_from(needed))
    assert spoiled(log, rows=[row for row in log.rows if row is not lost]) == {"G1": 1}


@given(SEEDS, st.data())
@quick
def test_rows_that_nobody_asked_for(seed: int, data: st.DataObject) -> None:
    log = Simulation(seed).run()
    assume(any(row.precision is Precision.EXACT for row in log.rows))
    row = data.draw(st.sampled_from([row for row in log.rows if row.precision is Precision.EXACT]))
    others = [one for one in log.rows if one is not row]
    change = msgspec.structs.replace
    assert spoiled(log, rows=[*log.rows, row])["G2"] == 1
    assert spoiled(log, rows=[*others, change(row, lat=row.lat + 1e-6)])["G2"] == 1
    assert spoiled(log, rows=[*others, change(row, offset_ms=(row.offset_ms + 150) % 5_000)])["G2"] == 1
    assert spoiled(log, rows=[*log.rows, change(row, m=0)])["G2"] == 1
    assert spoiled(log, rows=[*log.rows, change(row, window_ms=row.window_ms + 3_600_000)])["G2"] == 1


@given(SEEDS, st.data())
@quick
def test_a_position_that_nobody_offered(seed: int, data: st.DataObject) -> None:
    log = Simulation(seed).run()
    assume(frames(log))
    place, _, frame = data.draw(st.sampled_from(frames(log)))
    for row in frame.p:
        if row[5] is None:
            continue
        m, at, lat, lon, *more = row
        assert spoiled(log, calls=with_frame(log, place, [(m, at, lat + 1e-6, lon, *more)])).get("G2")
        assert spoiled(log, calls=with_frame(log, place, [(m, at + 1, lat, lon, *more)])).get("G2")
        assert spoiled(log, calls=with_frame(log, place, [(99, at, lat, lon, *more)])).get("G2")


@given(SEEDS, st.data())
@quick
def test_an_old_position(seed: int, data: st.DataObject) -> None:
    """A row is shown once more, on the same connection, after a newer one of the same member."""
    log = Simulation(seed).run()
    here: dict[int, dict[int, Any]] = {}
    again = []
    for place, (name, arguments, _) in enumerate(log.calls):
        if name == "welcomed":
            here[arguments[0]] = {}
        elif name == "positions":
            for row in arguments[1].p:
                first = here[arguments[0]].setdefault(row[0], row)
                if row[1] > first[1] and first[5] is not None:
                    again.append((place, [*arguments[1].p, first]))
    assume(again)
    place, rows = data.draw(st.sampled_from(again))
    assert spoiled(log, calls=with_frame(log, place, rows))["order"] == 1


@given(SEEDS, st.data())
@quick
def test_a_fix_that_is_settled_wrongly(seed: int, data: st.DataObject) -> None:
    log = Simulation(seed).run()
    places = [place for place, call in enumerate(log.calls) if call[0] == "acked"]
    assume(places)
    place = data.draw(st.sampled_from(places))
    name, (m, times, at_ms), named = log.calls[place]
    before, after = log.calls[:place], log.calls[place + 1 :]
    twice = (name, (m, (*times, times[-1]), at_ms), named)
    never = (name, (m, (*times, 1), at_ms), named)
    assert spoiled(log, calls=[*before, twice, *after])["account"] == 2, "said, and not the phone's count"
    assert spoiled(log, calls=[*before, never, *after])["account"] == 2
    assert spoiled(log, calls=[*before, *after])["account"] == 1


@given(SEEDS, st.sampled_from(["offered", "acked", "held", "lost"]))
@quick
def test_an_account_that_does_not_add_up(seed: int, what: str) -> None:
    log = Simulation(seed, seconds=20).run()
    account = log.accounts[Random(seed).choice(sorted(log.accounts))]
    setattr(account, what, getattr(account, what) + 1)
    assert log.judged().broken["account"] >= 1


def test_a_phone_without_account_and_an_account_without_phone() -> None:
    log = Simulation(3, seconds=20).run()
    assert spoiled(log, accounts={m: one for m, one in log.accounts.items() if m != 1}) == {"account": 1}
    assert spoiled(log, accounts=log.accounts | {9: log.accounts[1]}) == {"account": 1}


# --- what is said ------------------------------------------------------------------------------------


def test_no_place_is_in_the_evidence() -> None:
    log = Simulation(5).run()
    for place, _, frame in frames(log)[:20]:
        log.calls = with_frame(log, place, [(m, at, lat + 1, *more) for m, at, lat, *more in frame.p])
    log.rows = [msgspec.structs.replace(row, lat=row.lat + 1) for row in log.rows]
    audited = log.judged()
    text = repr(audited) + repr(log.rows)
    assert audited.violations
    assert "37." not in text
    assert "127." not in text
    assert "38." not in text


def test_all_are_counted_and_the_first_are_listed() -> None:
    log = Simulation(5).run()
    count = len(log.rows)
    log.rows = [row for row in log.rows for _ in range(2)]
    audited = log.judged()
    assert audited.broken["G2"] == count > len(audited.violations) > 0


def test_without_a_database_it_says_so() -> None:
    log = Simulation(5).run()
    log.rows = None  # type: ignore[assignment]
    audited = log.judged()
    assert (audited.broken, audited.looked_up, audited.rows) == ({}, 0, 0)
    assert audited.acked_windows


def test_a_row_prints_no_place() -> None:
    row = StoredRow(3, 5_000, 17, 37.123, 127.456, 5.0, Precision.EXACT)
    assert repr(row) == "StoredRow(m=3, window_ms=5000, exact)"
