"""Judges each delivered position: was it offered, may it be so fine, is it older than one before. Pure.

Finer than rough is whatever has a speed or a heading, a time between two beats, an accuracy below a cell's
half diagonal, the place of a raw fix, or a place off the sender's grid. Finer than private is anything.

Too fine is judged by two clocks. By time: the frame was made after the tightening had returned; the server's
clock is turned into the load's by the earliest that it can mean, less `MARGIN_MS`. By order: on a
connection, after `precision` said so, whatever the clocks say.

An order is broken by a position older than one before on the same connection. A rough one counts by its
beat: it may follow an exact one of the same minute.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from load_tests.audit.allowed import Allowed, finest
from load_tests.audit.findings import Findings
from load_tests.audit.offers import LIVE, SHOWN
from load_tests.audit.sender import Sender
from load_tests.audit.server_clock import ServerClock
from protocol.limits import BEAT_MS, WINDOW_MS
from protocol.messages import PositionRow

MARGIN_MS = 250
"""Clocks drift by less between two looks, and are not set during a run."""
LATE_MS = 60_000
"""A live position that the server held for longer than this and a tick breaks the rule `delay`."""
IN_TIME_MS = WINDOW_MS + 1_000
"""A window takes fixes for so long after its start."""
KINDS = ("exact", "rough")
AS_FINE = (1, 3)
"""The sets of precisions that allow an exact and a rough position: each bit that may be in force."""
_FIRST_MEMBERS = 64


class Connection:
    """What one phone has seen since its welcome."""

    __slots__ = ("change", "floor", "last", "started_ms")

    def __init__(self, started_ms: int, change: int, floor: int) -> None:
        self.started_ms = started_ms
        self.change = change
        """The host's change, by number, that it was told of last."""
        self.floor = floor
        """How coarse everything is from here on, until the host asks for less."""
        self.last = array("q", [-(2**62)]) * _FIRST_MEMBERS
        """The newest time of each member that was shown here."""

    def newest(self, m: int) -> int:
        if m >= len(self.last):
            self.last.extend(array("q", [-(2**62)]) * (m + 1 - len(self.last)))
        return self.last[m]


class Deliveries:
    """One party's deliveries."""

    __slots__ = (
        "_allowed",
        "_clock",
        "_findings",
        "_half_diagonal_m",
        "_late_ms",
        "_senders",
        "count",
        "finer",
    )

    def __init__(
        self,
        senders: dict[int, Sender],
        allowed: Allowed,
        findings: Findings,
        *,
        rough_cell_m: int,
        tick_ms: int,
    ) -> None:
        self._senders = senders
        self._allowed = allowed
        self._findings = findings
        self._clock = ServerClock()
        self._half_diagonal_m = rough_cell_m * 0.5**0.5
        self._late_ms = LATE_MS + tick_ms
        self.count = 0
        """Positions of others."""
        self.finer = 0
        """Positions that were finer than allowed."""

    def frame(
        self,
        to: int,
        connection: Connection,
        rows: Sequence[PositionRow],
        made_ms: int,
        at_ms: int,
        *,
        welcome: bool = False,
    ) -> list[int]:
        """Rows that the server dated `made_ms`, seen by member `to` at `at_ms`. Returns live delays, ms."""
        delays: list[int] = []
        self._clock.made_before(made_ms, at_ms)
        for row in rows:
            m, at = row[0], row[1]
            sender = self._senders.get(m)
            if sender is None:
                self._findings.broke("G2", m, at_ms, "a position of a member who never came")
                continue
            if row != sender.row:
                self._judge(sender, row, made_ms, at_ms, welcome)
            kind = sender.kind
            if not sender.timeline.now & AS_FINE[kind]:
                self._check_time(sender, row, made_ms, at_ms)
            if kind < connection.floor:
                self.finer += 1
                self._broke_order_of_precision(sender, row, at_ms)
            last = connection.newest(m)
            if at > last:
                connection.last[m] = at
            elif at < last and (kind == 0 or at < last - last % BEAT_MS):
                self._older(sender, row, last, at_ms)
            if m != to:
                self.count += 1
                if kind == 0 and sender.live and at > last and not welcome:
                    sent_ms = sender.sent_ms
                    if connection.started_ms <= sent_ms >= sender.started_ms:
                        delays.append(at_ms - sent_ms)
                        if at_ms - sent_ms > self._late_ms:
                            self._check_delay(row, made_ms, sent_ms, at_ms)
        return delays

    # --- what a row is -------------------------------------------------------------------------------

    def _judge(self, sender: Sender, row: PositionRow, made_ms: int, at_ms: int, welcome: bool) -> None:
        """Looks a row up; what it is stays with the sender for the others who receive it."""
        sender.row = row
        m, at, lat, lon, _, _, _ = row
        sender.why = self._finer_than_rough(row)
        sender.kind = 0 if sender.why else 1
        sender.live = False
        if sender.why:
            index = sender.offers.at_place(at, lat, lon)
            if index < 0:
                what = "a time" if index == -1 else "a place"
                self._findings.broke("G2", m, at_ms, f"an exact position with {what} that was never offered")
                return
            sender.live = bool(sender.offers.marks[index] & LIVE)
            if not welcome:
                self._note_shown(sender, index, made_ms)
        else:
            index = sender.offers.first(at, at + BEAT_MS)
            if index < 0:
                self._findings.broke(
                    "G2", m, at_ms, "a rough position of a minute in which nothing was offered"
                )
                return
            self._judge_cell(sender, at, lat, lon)
        sender.sent_ms = sender.offers.sent[index]
        self._clock.made_after(made_ms, sender.sent_ms)

    def _finer_than_rough(self, row: PositionRow) -> str:
        """Why, or nothing."""
        _, at, _, _, acc, spd, hdg = row
        if spd is not None or hdg is not None:
            return "it says how fast or where to"
        if at % BEAT_MS:
            return "its time lies between two beats"
        if acc is None or acc < self._half_diagonal_m:
            return "its accuracy is finer than a cell"
        return ""

    @staticmethod
    def _judge_cell(sender: Sender, at: int, lat: float, lon: float) -> None:
        """A position that looks rough; where exact ones may be it may be anything."""
        if sender.timeline.now & 1:
            return
        if sender.offers.near(at, at + BEAT_MS, lat, lon):
            sender.kind, sender.why = 0, "it looks rough, and its place is a raw fix's"
        elif not sender.lattice.fits(lat, lon):
            sender.kind, sender.why = 0, "it looks rough, and its place is no centre of the sender's cells"

    @staticmethod
    def _note_shown(sender: Sender, index: int, made_ms: int) -> None:
        """A fix that was taken while its window was open, on one connection: its row is no older."""
        offers = sender.offers
        start = offers.at[index] - offers.at[index] % WINDOW_MS
        if made_ms < start + IN_TIME_MS:
            first = offers.first(start, start + WINDOW_MS)
            if offers.sent[first] >= sender.started_ms:
                offers.marks[index] |= SHOWN

    # --- what is wrong with it -----------------------------------------------------------------------

    def _check_time(self, sender: Sender, row: PositionRow, made_ms: int, at_ms: int) -> None:
        """It is finer than what may be in force now; was that so when the frame was made?"""
        ahead = self._clock.most
        earliest_ms = -(2**61) if ahead is None else made_ms - ahead - MARGIN_MS
        mask = AS_FINE[sender.kind]
        bits = sender.timeline.between(earliest_ms, at_ms)
        if bits & mask:
            return
        self.finer += 1
        rule = "G4" if self._allowed.session.between(earliest_ms, at_ms) & mask else "G3"
        since_ms = sender.timeline.since(mask)
        when = "from the beginning"
        if since_ms is not None and ahead is not None:
            when = f"and no finer for {(earliest_ms - since_ms) / 1000:.1f} s at least when it was sent"
        what = KINDS[sender.kind] + (f" ({sender.why})" if sender.why else "")
        self._findings.broke(
            rule,
            row[0],
            at_ms,
            f"a position that is {what} of a member who was {finest(bits).value} at the finest, {when}",
        )

    def _broke_order_of_precision(self, sender: Sender, row: PositionRow, at_ms: int) -> None:
        what = KINDS[sender.kind] + (f" ({sender.why})" if sender.why else "")
        self._findings.broke(
            "G3",
            row[0],
            at_ms,
            f"a position that is {what} after this connection was told of a coarser precision"
            " and before anybody asked for a finer one",
        )

    def _older(self, sender: Sender, row: PositionRow, last: int, at_ms: int) -> None:
        self._findings.broke(
            "order",
            row[0],
            at_ms,
            f"a position ({KINDS[sender.kind]}) {(last - row[1]) / 1000:.3f} s older than one that was shown"
            " before on the same connection",
        )

    def _check_delay(self, row: PositionRow, made_ms: int, sent_ms: int, at_ms: int) -> None:
        ahead = self._clock.least
        held_ms = 0 if ahead is None else made_ms - ahead - sent_ms
        if held_ms > self._late_ms:
            self._findings.broke(
                "delay",
                row[0],
                at_ms,
                f"the server held a live position for {held_ms / 1000:.1f} s while both were connected",
            )
