"""What became of every fix of a replay, member by member, and whether it all adds up. Pure.

    read    = offered + not sent
    offered = acked + rejected + held + lost
    rows    = windows of the acked fixes of each member (G2), where the session is exact and stores

A rough session makes at most that many rows, one that stores nothing none. A fix that is still held may
or may not have its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from protocol.precision import Precision


class MemberAccount(msgspec.Struct):
    """The fixes of one member. Holds no coordinate and no token."""

    member: str
    m: int | None
    delta_ms: int
    """Added to the recorded times."""
    read: int
    unusable: dict[str, int]
    offered: int
    acked: int
    rejected: dict[str, int]
    held: int
    lost: int
    sent_again: int
    connections: int
    windows: int
    """Distinct windows of this member's acked fixes, those of earlier runs included."""
    held_windows: int
    """Distinct windows of fixes still held or lost, that no acked fix is in."""
    gave_up: int | None = None
    """The close code after which this member was not to come again."""

    @property
    def not_sent(self) -> int:
        return self.read - self.offered

    @property
    def adds_up(self) -> bool:
        settled = self.acked + sum(self.rejected.values())
        return self.not_sent >= 0 and self.offered == settled + self.held + self.lost


class ReplayAccount(msgspec.Struct):
    """The whole replay. Times are epoch milliseconds."""

    session: int
    started_at: int
    outcome: str
    """`done`, `stopped` by the person, or `stalled`: no settlement for the timeout."""
    precision_seen: Precision
    """The coarsest that was in force at any time of the replay."""
    live_only: bool
    members: list[MemberAccount]
    rows_found: int | None = None
    rows_note: str = ""
    """Why rows were not counted."""
    rows_wanted: bool = False
    """Whether a database was named, so that not counting is a failure."""

    def total(self, field: str) -> int:
        """The sum of a member's field, such as `acked`."""
        return sum(int(getattr(member, field)) for member in self.members)

    def by_reason(self, field: str) -> Counter[str]:
        """The sum of `rejected` or `unusable` by reason."""
        reasons: Iterable[dict[str, int]] = (getattr(member, field) for member in self.members)
        return sum((Counter(each) for each in reasons), Counter[str]())

    @property
    def rows_expected(self) -> tuple[int, int]:
        """The least and the most rows that there should be."""
        if self.live_only:
            return 0, 0
        windows = self.total("windows")
        least = windows if self.precision_seen is Precision.EXACT else 0
        return least, windows + self.total("held_windows")

    @property
    def rows_add_up(self) -> bool:
        if self.rows_found is None:
            return not self.rows_wanted
        least, most = self.rows_expected
        return least <= self.rows_found <= most

    @property
    def adds_up(self) -> bool:
        return self.rows_add_up and all(member.adds_up for member in self.members)

    @property
    def complete(self) -> bool:
        """Whether every fix that was read is settled."""
        return all(not (one.held or one.lost or one.not_sent) for one in self.members)

    def as_json(self) -> bytes:
        """For programs: everything above, the derived values too."""
        least, most = self.rows_expected
        derived: dict[str, Any] = {
            "totals": {
                **{
                    field: self.total(field)
                    for field in (
                        "read",
                        "offered",
                        "not_sent",
                        "acked",
                        "held",
                        "lost",
                        "sent_again",
                        "windows",
                    )
                },
                "rejected": dict(self.by_reason("rejected")),
                "unusable": dict(self.by_reason("unusable")),
            },
            "rows_expected": {"least": least, "most": most},
            "adds_up": self.adds_up,
            "complete": self.complete,
        }
        return msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(self) | derived), indent=2)
