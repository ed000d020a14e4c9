"""What stands in the audit's place with `--no-audit`: it measures delays, and judges nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from load_tests.audit.stored_row import StoredRow
from load_tests.run.notes import Audited
from protocol.client_events import Account
from protocol.messages import Positions, Reject, Welcome
from protocol.precision import Precision

KEPT_MS = 60_000
"""What is delivered later than this is not looked for."""


class Unaudited:
    """One party whose fixes are timed. The same calls as a `PartyAudit`."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int], int] = {}
        self._swept_ms = 0

    def offered(  # noqa: PLR0917 - as the audit has it
        self, m: int, seq: int, at: int, lat: float, lon: float, at_ms: int, *, live: bool
    ) -> None:
        if live:
            self._sent[m, at] = at_ms
        if at_ms - self._swept_ms > KEPT_MS:
            self._swept_ms = at_ms
            self._sent = {fix: sent for fix, sent in self._sent.items() if at_ms - sent <= KEPT_MS}

    def positions(self, m: int, frame: Positions, at_ms: int) -> list[int]:
        sent = (self._sent.get((row[0], row[1])) for row in frame.p if row[0] != m)
        return [at_ms - one for one in sent if one is not None]

    def finish(
        self, accounts: Mapping[int, Account], rows: Iterable[StoredRow] | None, *, note: str = ""
    ) -> Audited:
        return Audited(note=note)

    # What it hears and keeps nothing of.
    def welcomed(self, m: int, welcome: Welcome, at_ms: int, own: Precision) -> None: ...
    def disconnected(self, m: int, at_ms: int) -> None: ...
    def acked(self, m: int, times: Sequence[int], at_ms: int) -> None: ...
    def rejected(self, m: int, seq: int, code: Reject, at_ms: int) -> None: ...
    def precision_seen(self, m: int, precision: Precision, revision: int, at_ms: int) -> None: ...
    def session_asked(self, precision: Precision, at_ms: int) -> None: ...
    def session_returned(self, precision: Precision, at_ms: int) -> None: ...
    def session_failed(self, precision: Precision, at_ms: int) -> None: ...
    def share_asked(self, m: int, precision: Precision, at_ms: int) -> None: ...
    def share_returned(self, m: int, precision: Precision, at_ms: int) -> None: ...
    def left(self, m: int, at_ms: int) -> None: ...
