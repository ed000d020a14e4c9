"""The audit of one party: what its phones offered, asked and saw, and what the server promises. Pure.

No clock, no socket, nothing of the server's code. It convicts only what no honest server can have done, at
whatever moment it did what was asked. Every `at_ms` is epoch milliseconds by the load's own clock, when it
happened here; `m` is a member's number. The rules: `G1` to `G4` of the design, `order`, `delay`, `account`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from load_tests.audit.allowed import JOINING_MS, Allowed
from load_tests.audit.deliveries import Connection, Deliveries
from load_tests.audit.findings import Findings
from load_tests.audit.offers import ACKED, HANDLED, KEPT, QUICK, REJECTED
from load_tests.audit.sender import Sender
from load_tests.audit.stored import Stored, acked_windows
from load_tests.audit.stored_row import StoredRow
from load_tests.run.notes import Audited
from protocol.client_events import Account
from protocol.limits import WINDOW_MS
from protocol.messages import Positions, Reject, Role, Welcome
from protocol.precision import Precision

__all__ = ["PartyAudit", "StoredRow"]

QUICK_MS = 2 * WINDOW_MS
"""An ack that comes so soon after its window's start is of a fix that was taken at once."""
HANDED_ON_MS = 15_000
"""A gateway that stops closes its windows early; fixes of the time before may be superseded."""


class PartyAudit:
    """Fed by one process with all that a party's phones do and see, in the order in which it happens."""

    def __init__(
        self,
        session: int,
        *,
        precision: Precision,
        rough_cell_m: int = 500,
        live_only: bool = False,
        tick_ms: int = 1000,
    ) -> None:
        """`precision`, `rough_cell_m`, `live_only`, `tick_ms`: as the session was made."""
        self._rough_cell_m = rough_cell_m
        self._live_only = live_only
        self._senders: dict[int, Sender] = {}
        self._connections: dict[int, Connection] = {}
        self._findings = Findings(session)
        self._allowed = Allowed(precision)
        self._deliveries = Deliveries(
            self._senders, self._allowed, self._findings, rough_cell_m=rough_cell_m, tick_ms=tick_ms
        )
        self._changes: list[tuple[int, int | None]] = []
        """The host's changes: how coarse, and when they returned."""
        self._now_ms = 0

    # --- connections ---------------------------------------------------------------------------------

    def welcomed(self, m: int, welcome: Welcome, at_ms: int, own: Precision) -> None:
        """Every welcome begins a connection; its positions are checked too. `own`: the choice that `m` joined
        with (`exact` for who made the session); it counts the first time, after that `share_asked` does."""
        self._now_ms = max(self._now_ms, at_ms)
        sender = self._senders.get(m)
        if sender is None:
            timeline = self._allowed.came(m, own, host=welcome.role is Role.HOST, at_ms=at_ms)
            sender = self._senders[m] = Sender(timeline, self._rough_cell_m)
        sender.started_ms = at_ms
        sender.unconfirmed.clear()
        told = self._told_before(at_ms - JOINING_MS)
        floor = self._floor(told, welcome.session_precision.coarseness)
        connection = self._connections[m] = Connection(at_ms, told, floor)
        self._deliveries.frame(m, connection, welcome.positions, welcome.now, at_ms, welcome=True)

    def disconnected(self, m: int, at_ms: int) -> None:
        """The connection is over, for whatever reason."""
        self._now_ms = max(self._now_ms, at_ms)
        self._connections.pop(m, None)
        sender = self._senders.get(m)
        if sender is None:
            return
        sender.unconfirmed.clear()
        offers = sender.offers
        index = len(offers) - 1
        while index >= 0 and offers.sent[index] > at_ms - HANDED_ON_MS:
            offers.marks[index] &= ~QUICK
            index -= 1

    def left(self, m: int, at_ms: int) -> None:
        """Member `m` has said that they leave for good."""
        self.disconnected(m, at_ms)

    # --- fixes ---------------------------------------------------------------------------------------

    def offered(  # noqa: PLR0917 - as a fix is said
        self, m: int, seq: int, at: int, lat: float, lon: float, at_ms: int, *, live: bool
    ) -> None:
        """A fix was handed to the phone's session; only who was welcomed once has any. `live`: it goes out
        at once, not after a tunnel, a sleep or a kill, and not on a dead connection."""
        self._now_ms = max(self._now_ms, at_ms)
        sender = self._senders[m]
        sender.offered += 1
        sender.newest_seq = max(sender.newest_seq, seq)
        sender.offers.add(seq, at, lat, lon, at_ms, live=live)

    def acked(self, m: int, times: Sequence[int], at_ms: int) -> None:
        """An `ack` settled the fixes of these times."""
        self._now_ms = max(self._now_ms, at_ms)
        sender = self._senders[m]
        offers, timeline = sender.offers, sender.timeline
        newest = -1
        for at in times:
            index = offers.unsettled(at)
            sender.acked += 1
            if index < 0:
                why = "acked that was never offered" if index == -2 else "acked a second time"
                self._findings.broke("account", m, at_ms, f"a fix {why}")
                continue
            marks, sent_ms = offers.marks[index], offers.sent[index]
            if marks & REJECTED:
                self._findings.broke("account", m, at_ms, "a fix acked that was rejected before")
            kept = handled = timeline.between(sent_ms, at_ms)
            if (
                sender.started_ms > sent_ms
            ):  # it was handled after the welcome of the connection that acked it
                handled = timeline.between(sender.started_ms, at_ms)
            elif at_ms < at - at % WINDOW_MS + QUICK_MS:
                marks |= QUICK
            offers.marks[index] = marks | ACKED | handled << HANDLED | kept << KEPT
            newest = max(newest, offers.seq[index])
        self._confirm(m, sender, newest, at_ms)

    def rejected(self, m: int, seq: int, code: Reject, at_ms: int) -> None:
        """A `reject` settled the fix `seq`."""
        self._now_ms = max(self._now_ms, at_ms)
        sender = self._senders[m]
        sender.rejected[code] = sender.rejected.get(code, 0) + 1
        index = sender.offers.of_seq(seq)
        if index < 0:
            self._findings.broke("account", m, at_ms, "a fix rejected that was never offered")
            return
        if sender.offers.marks[index] & ACKED:
            self._findings.broke("account", m, at_ms, f"a fix rejected ({code}) that was acked before")
        sender.offers.marks[index] |= REJECTED
        self._confirm(m, sender, seq, at_ms)

    # --- what is seen --------------------------------------------------------------------------------

    def positions(self, m: int, frame: Positions, at_ms: int) -> list[int]:
        """A `positions` frame that `m` has seen. Returns the delays of the live exact positions of others in
        it, from their sending to here, milliseconds; without those that waited for a connection."""
        connection = self._connections.get(m)
        if connection is None:  # read after the phone was taken off the network
            return []
        self._now_ms = max(self._now_ms, at_ms)
        return self._deliveries.frame(m, connection, frame.p, frame.at, at_ms)

    def precision_seen(self, m: int, precision: Precision, revision: int, at_ms: int) -> None:
        """A `precision` frame on `m`'s connection: nothing finer follows on it until the host asks for it."""
        self._now_ms = max(self._now_ms, at_ms)
        connection = self._connections.get(m)
        if connection is None:
            return
        for number in range(connection.change + 1, len(self._changes)):
            if self._changes[number][0] == precision.coarseness:
                connection.change = number
                connection.floor = self._floor(number, precision.coarseness)
                return

    # --- what is steered -----------------------------------------------------------------------------

    def session_asked(self, precision: Precision, at_ms: int) -> None:
        """The host's request leaves."""
        self._now_ms = max(self._now_ms, at_ms)
        self._changes.append((precision.coarseness, None))
        for connection in self._connections.values():
            connection.floor = min(connection.floor, precision.coarseness)
        self._allowed.asked(None, precision, at_ms)

    def session_returned(self, precision: Precision, at_ms: int) -> None:
        """The answer is here: HTTP 200, or the host's `precision`. What was asked again returns once."""
        self._now_ms = max(self._now_ms, at_ms)
        for number in range(len(self._changes) - 1, -1, -1):
            if self._changes[number] == (precision.coarseness, None):
                self._changes[number] = (precision.coarseness, at_ms)
                break
        self._allowed.returned(None, precision, at_ms)

    def session_failed(self, precision: Precision, at_ms: int) -> None:
        """The host's request was not answered, or with an error; it is asked again, or given up. What was
        asked may have been done, may be done later, and also after the next try has returned."""
        self._now_ms = max(self._now_ms, at_ms)
        self._allowed.failed(precision, at_ms)

    def share_asked(self, m: int, precision: Precision, at_ms: int) -> None:
        """`m`'s own choice goes out. Call it when the frame is written, with no `await` in between: nothing
        answers a `share`, but a gateway reads on only when it is done. So it counts as returned when a fix
        offered after it is acked or rejected on the same connection, and the runner need not say more."""
        self._now_ms = max(self._now_ms, at_ms)
        self._allowed.asked(m, precision, at_ms)
        sender = self._senders[m]
        if m in self._connections:
            sender.unconfirmed.append((sender.newest_seq, precision))

    def share_returned(self, m: int, precision: Precision, at_ms: int) -> None:
        """For who knows sooner that `m`'s choice holds: by a pong, for a ping sent after the `share`."""
        self._now_ms = max(self._now_ms, at_ms)
        waiting = self._senders[m].unconfirmed
        while waiting and waiting.pop(0)[1] is not precision:
            continue
        self._allowed.returned(m, precision, at_ms)

    # --- the end -------------------------------------------------------------------------------------

    def finish(
        self, accounts: Mapping[int, Account], rows: Iterable[StoredRow] | None, *, note: str = ""
    ) -> Audited:
        """Once, after the last ack that anybody has seen. `accounts`: of each phone that was welcomed.
        `rows`: read after that; `None`: no database to look in, and `note` says why."""
        for m in self._senders.keys() | accounts.keys():
            self._check_account(m, self._senders.get(m), accounts.get(m))
        looked_up = found = 0
        if rows is not None:
            stored = Stored(
                self._senders,
                self._findings,
                rough_cell_m=self._rough_cell_m,
                live_only=self._live_only,
                end_ms=self._now_ms,
            )
            looked_up, found = stored.look(rows)
        return Audited(
            deliveries=self._deliveries.count,
            finer=self._deliveries.finer,
            acked_windows=acked_windows(self._senders.values()),
            looked_up=looked_up,
            rows=found,
            violations=list(self._findings.listed),
            broken=dict(self._findings.broken),
            note=note,
        )

    def _check_account(self, m: int, sender: Sender | None, account: Account | None) -> None:
        if account is None:
            self._findings.broke("account", m, 0, "a phone that gave no account")
            return
        rejected = sum(account.rejected.values())
        if account.offered != account.acked + rejected + account.held + account.lost:
            self._findings.broke(
                "account",
                m,
                0,
                f"offered {account.offered} is not acked {account.acked} + rejected {rejected}"
                f" + held {account.held} + lost {account.lost}",
            )
        seen = (sender.offered, sender.acked, sender.rejected) if sender else (0, 0, {})
        if seen != (account.offered, account.acked, account.rejected):
            self._findings.broke(
                "account",
                m,
                0,
                f"the phone counts {account.offered} offered, {account.acked} acked and {rejected} rejected;"
                f" the audit saw {seen[0]}, {seen[1]} and {sum(seen[2].values())}, or other reasons",
            )

    # --- the rest ------------------------------------------------------------------------------------

    def _confirm(self, m: int, sender: Sender, seq: int, at_ms: int) -> None:
        """Fix `seq` is settled on this connection: choices made before it was offered are done."""
        while sender.unconfirmed and sender.unconfirmed[0][0] < seq:
            self._allowed.returned(m, sender.unconfirmed.pop(0)[1], at_ms)

    def _told_before(self, at_ms: int) -> int:
        """The newest of the host's changes that all returned before `at_ms`; -1: none."""
        for number, (_, returned_ms) in enumerate(self._changes):
            if returned_ms is None or returned_ms >= at_ms:
                return number - 1
        return len(self._changes) - 1

    def _floor(self, change: int, coarseness: int) -> int:
        """How coarse everything stays after `change`, whatever of the later ones is done, or done late."""
        later = (level for level, _ in self._changes[change + 1 :])
        return min([coarseness, *later, *self._allowed.late(self._now_ms)])
