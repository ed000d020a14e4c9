"""What the audit knows of one member: their fixes, what they may have shown. Values only."""

from __future__ import annotations

from load_tests.audit.allowed import Timeline
from load_tests.audit.lattice import Lattice
from load_tests.audit.offers import Offers
from protocol.messages import PositionRow
from protocol.precision import Precision


class Sender:
    """One member of the party, as the source of positions."""

    __slots__ = (
        "acked",
        "kind",
        "lattice",
        "live",
        "newest_seq",
        "offered",
        "offers",
        "rejected",
        "row",
        "sent_ms",
        "started_ms",
        "timeline",
        "unconfirmed",
        "why",
    )

    def __init__(self, timeline: Timeline, rough_cell_m: int) -> None:
        self.timeline = timeline
        self.offers = Offers()
        self.lattice = Lattice(rough_cell_m)
        self.started_ms = 0
        """When their connection began."""
        self.unconfirmed: list[tuple[int, Precision]] = []
        """Choices made on this connection, each with the newest `seq` offered before."""
        self.newest_seq = -1
        self.offered = 0
        self.acked = 0
        self.rejected: dict[str, int] = {}

        self.row: PositionRow | None = None
        """The delivered row judged last: all who receive it receive the same."""
        self.kind = 0
        """How coarse it is: 0 exact, 1 rough."""
        self.why = ""
        """What makes it so."""
        self.sent_ms = 0
        """When a fix that may have made it was offered first."""
        self.live = False
        """Whether it is the fix of a phone that sent it at once."""
