"""Holds what was acked against the rows of `party_positions`, and the rows against what was offered. Pure.

G1: an acked fix has its row, unless nothing had to be stored. What was in force while the server handled the
fix is known as a set: exact makes the row of its window, rough the row of its beat's window, private none. So
where private was impossible, a row in one of those windows is looked for. The row may hold an older fix
of the window when this one came after the window had closed; it may not when this one was delivered to
somebody before that.

G2: one row a window, holding a fix that was offered, at its place. G3: no row that is finer than what may
have been in force from its offering to its ack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from load_tests.audit.allowed import EXACT, PRIVATE, ROUGH
from load_tests.audit.findings import Findings
from load_tests.audit.offers import ACKED, HANDLED, KEPT, QUICK, SHOWN
from load_tests.audit.sender import Sender
from load_tests.audit.stored_row import StoredRow
from protocol.limits import BEAT_MS, WINDOW_MS
from protocol.precision import Precision

_Rows = Mapping[int, StoredRow]
"""A member's rows by window."""


class Stored:
    """One party's rows, looked at once, at the end."""

    def __init__(
        self,
        senders: Mapping[int, Sender],
        findings: Findings,
        *,
        rough_cell_m: int,
        live_only: bool,
        end_ms: int,
    ) -> None:
        self._senders = senders
        self._findings = findings
        self._half_diagonal_m = rough_cell_m * 0.5**0.5
        self._live_only = live_only
        self._end_ms = end_ms

    def look(self, rows: Iterable[StoredRow]) -> tuple[int, int]:
        """Judges everything. Returns how many windows had to have their row, and how many rows there are."""
        by_member: dict[int, dict[int, StoredRow]] = {}
        count = 0
        for row in rows:
            count += 1
            windows = by_member.setdefault(row.m, {})
            if row.window_ms in windows:
                self._findings.broke("G2", row.m, 0, f"two rows of the window {row.window_ms}")
            windows[row.window_ms] = row
            self._judge(row)
        looked_up = 0
        if not self._live_only:
            for m, sender in self._senders.items():
                looked_up += self._look_up(m, sender, by_member.get(m, {}))
        return looked_up, count

    # --- G1 ------------------------------------------------------------------------------------------

    def _look_up(self, m: int, sender: Sender, rows: _Rows) -> int:
        """Every window with an acked fix of one member that had to have a row."""
        needed: dict[int, int] = {}
        missing: dict[int, int] = {}
        for at, marks in zip(sender.offers.at, sender.offers.marks, strict=True):
            handled = marks >> HANDLED
            if not marks & ACKED or handled & PRIVATE:
                continue
            start = at - at % WINDOW_MS
            needed[start] = needed.get(start, 0)
            row = rows.get(start) if handled & EXACT else None
            if row is None and handled & ROUGH:
                row = rows.get(at - at % BEAT_MS)
            if row is None:
                missing[start] = missing.get(start, 0) + 1
            elif (
                marks & SHOWN
                and marks & QUICK
                and row.precision is Precision.EXACT
                and row.window_ms == start
            ):
                needed[start] = max(needed[start], at - start)
        for start, fixes in missing.items():
            which = "the acked fix" if fixes == 1 else f"{fixes} acked fixes"
            self._findings.broke("G1", m, 0, f"no row holds {which} of the window {start}")
        for start, offset in needed.items():
            row = rows.get(start)
            if row is not None and row.offset_ms < offset:
                self._findings.broke(
                    "G1",
                    m,
                    0,
                    f"the row of the window {start} holds a fix {offset - row.offset_ms} ms older than one"
                    " that was acked, and delivered while the window was open",
                )
        return len(needed)

    # --- G2 and G3 -----------------------------------------------------------------------------------

    def _judge(self, row: StoredRow) -> None:
        sender = self._senders.get(row.m)
        if sender is None:
            self._findings.broke(
                "G2", row.m, 0, f"a row of nobody in the party, of the window {row.window_ms}"
            )
        elif self._live_only:
            self._findings.broke(
                "G2", row.m, 0, f"a row of a session that stores nothing, of {row.window_ms}"
            )
        elif row.precision is Precision.ROUGH:
            self._judge_rough(row, sender)
        else:
            self._judge_exact(row, sender)

    def _judge_exact(self, row: StoredRow, sender: Sender) -> None:
        at = row.window_ms + row.offset_ms
        index = sender.offers.at_place(at, row.lat, row.lon)
        if index < 0:
            what = "time" if index == -1 else "place"
            self._findings.broke(
                "G2", row.m, 0, f"a row of the window {row.window_ms} holds a {what} that was never offered"
            )
        elif not self._kept(sender, index) & EXACT:
            self._findings.broke(
                "G3",
                row.m,
                0,
                f"an exact row of the window {row.window_ms}, of a member who was never exact then",
            )

    def _judge_rough(self, row: StoredRow, sender: Sender) -> None:
        offers, beat = sender.offers, row.window_ms
        index = -1 if beat % BEAT_MS else offers.first(beat, beat + BEAT_MS)
        if index < 0:
            self._findings.broke(
                "G2", row.m, 0, f"a rough row of a minute in which nothing was offered ({beat})"
            )
            return
        kept = 0
        while index < len(offers) and offers.at[index] < beat + BEAT_MS:
            kept |= self._kept(sender, index)
            index += 1
        if not kept & (EXACT | ROUGH):
            self._findings.broke("G3", row.m, 0, f"a rough row of a member who was private then ({beat})")
        elif not kept & EXACT and (why := self._finer_than_rough(row, sender)):
            self._findings.broke("G3", row.m, 0, f"a row that is called rough, and {why} ({beat})")

    def _finer_than_rough(self, row: StoredRow, sender: Sender) -> str:
        """Why, or nothing."""
        if row.offset_ms:
            return "its time lies between two beats"
        if row.accuracy_m is None or row.accuracy_m < self._half_diagonal_m:
            return "its accuracy is finer than a cell"
        if sender.offers.near(row.window_ms, row.window_ms + BEAT_MS, row.lat, row.lon):
            return "its place is a raw fix's"
        return "" if sender.lattice.fits(row.lat, row.lon) else "its place is no centre of the sender's cells"

    def _kept(self, sender: Sender, index: int) -> int:
        """What may have been in force while a fix's row was stored."""
        marks = sender.offers.marks[index]
        if marks & ACKED:
            return marks >> KEPT & 7
        return sender.timeline.between(sender.offers.sent[index], self._end_ms)


def acked_windows(senders: Iterable[Sender]) -> int:
    """Windows of members with an acked fix."""
    found = 0
    for sender in senders:
        last = -1
        for at, marks in zip(sender.offers.at, sender.offers.marks, strict=True):
            if marks & ACKED and at // WINDOW_MS != last:
                last = at // WINDOW_MS
                found += 1
    return found
