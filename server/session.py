"""One party's state on this gateway: who is there, what is shown of them, what changed since the tick.

Pure; the clock is passed in. It holds positions, which are masked, and never a fix. What it answers is
bytes to send or values to act on; it sends nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.codec import Codec
from protocol.limits import STALE_MS
from protocol.messages import Member as MemberMessage
from protocol.messages import MemberState, PositionRow, Positions, Role
from protocol.options import Options
from protocol.precision import Precision, coarsest
from server.frames import data_frame
from server.masking import Position, UserMasks
from server.peers import Elsewhere
from server.windows import Window

if TYPE_CHECKING:
    from server.connection import Connection


class Member:
    """One person in one session."""

    __slots__ = (
        "allowed",
        "changed_tick",
        "connection",
        "heard_ms",
        "masks",
        "name",
        "number",
        "own",
        "pledged",
        "privacy",
        "role",
        "session",
        "settled",
        "shown",
        "since_ms",
        "state",
        "user_id",
        "windows",
    )

    def __init__(
        self,
        session: Session,
        *,
        number: int,
        user_id: int,
        name: str,
        role: Role,
        own: Precision,
        privacy: Precision,
        masks: UserMasks,
    ) -> None:
        self.session = session
        self.number = number
        self.user_id = user_id
        self.name = name
        self.role = role
        self.own = own
        """The member's own choice."""
        self.pledged: Precision | None = None
        """A coarser choice that holds here and is not known to be committed."""
        self.privacy = privacy
        """The user's privacy level, in every session."""
        self.masks = masks
        self.allowed = coarsest(session.precision, own, privacy)
        """What may be shown (G4)."""
        self.shown: Position | None = None
        self.changed_tick = 0
        self.heard_ms = 0
        """When the last fix came, by the server's clock."""
        self.since_ms = 0
        """When the connection entered."""
        self.state = MemberState.OFFLINE
        self.connection: Connection | None = None
        self.windows: dict[int, Window] = {}
        """Windows not settled, by their start."""
        self.settled: Window | None = None
        """The newest settled one, so that a fix that comes after it makes no second batch row."""

    def message(self) -> MemberMessage:
        """What the party sees of this member."""
        return MemberMessage(m=self.number, name=self.name, role=self.role, state=self.state)

    def row(self, position: Position) -> PositionRow:
        """The position as the wire has it."""
        return (
            self.number,
            position.at,
            position.lat,
            position.lon,
            position.acc,
            position.spd,
            position.hdg,
        )

    def state_at(self, now_ms: int) -> MemberState:
        """What the state should be now."""
        if self.connection is None:
            there = self.session.elsewhere.get(self.number)
            if there is None:
                return MemberState.OFFLINE
            return MemberState.PRIVATE if self.allowed is Precision.PRIVATE else there.state
        if self.allowed is Precision.PRIVATE:
            return MemberState.PRIVATE
        return MemberState.LIVE if now_ms - self.heard_ms < STALE_MS else MemberState.STALE

    def __repr__(self) -> str:
        return f"Member({self.number}, {self.state})"


class Session:
    """A party on this gateway."""

    def __init__(
        self, *, session_id: int, started_at_ms: int, precision: Precision, options: Options, revision: int
    ) -> None:
        self.id = session_id
        self.started_at_ms = started_at_ms
        self.precision = precision
        self.options = options
        self.revision = revision
        self.pledged: Precision | None = None
        """A coarser precision that holds here and is not known to be committed."""
        self.withheld = False
        """Nothing of it is sent, relayed or cached until it was read again (G3)."""
        self.doubts = 0
        """How often it was withheld."""
        self.ended = False
        self.members: dict[int, Member] = {}
        self.tick = 1
        """Number of the tick that is being collected."""
        self.changed: dict[int, Member] = {}
        """Members whose shown position changed since the last tick, by number."""
        self.last_tick_ms = 0
        self.waiting = False
        """Whether a tick is already due for it (the hub's mark)."""
        self.idle_since_ms = 0
        self.peers: dict[str, int] = {}
        """Other gateways that hold the session, and when each was last known to live."""
        self.elsewhere: dict[int, Elsewhere] = {}
        """Members who are connected to them, by number."""
        self.here: dict[int, Member] = {}
        """Members whose position came to this gateway and was not published yet, while there are others."""
        self.publish_ms = 0
        """When it is; 0: no time is set."""
        self.frame_ms = 0
        """When the frame is sent that waits for the others'."""
        self.again_ms = 0
        """When a tick that was held back comes again."""

    # --- members ------------------------------------------------------------------------------

    def add(self, member: Member) -> None:
        """A new or returning member."""
        self.members[member.number] = member

    def remove(self, number: int) -> Member | None:
        """A member who left, was removed or erased: nothing of them is shown any more."""
        member = self.members.pop(number, None)
        self.changed.pop(number, None)
        self.here.pop(number, None)
        self.elsewhere.pop(number, None)
        if member is not None:
            member.shown = None
            member.state = MemberState.LEFT
        return member

    def connected(self) -> list[Member]:
        """Members with a connection on this gateway."""
        return [member for member in self.members.values() if member.connection is not None]

    @property
    def has_windows(self) -> bool:
        """Whether somebody's rows are not settled yet."""
        return any(member.windows for member in self.members.values())

    def sweep(self, now_ms: int) -> list[Member]:
        """Members whose state changed with time or connection."""
        moved = []
        for member in self.members.values():
            state = member.state_at(now_ms)
            if state is not member.state:
                member.state = state
                moved.append(member)
        return moved

    # --- positions ----------------------------------------------------------------------------

    def show(self, member: Member, position: Position) -> bool:
        """Takes the position if it is newer than the shown one. True: a tick is needed."""
        shown = member.shown
        if shown is not None and position.at <= shown.at:
            return False
        member.shown = position
        member.changed_tick = self.tick
        self.changed[member.number] = member
        if self.peers:
            self.here[member.number] = member
        return True

    def show_from_elsewhere(self, member: Member, position: Position) -> bool:
        """The same for one that another gateway has published."""
        new = self.show(member, position)
        self.here.pop(member.number, None)
        return new

    def restrict(self) -> list[Member]:
        """Recomputes what each member may show; whoever became coarser shows nothing until the next fix.

        Returns the members who became coarser (G3): their unsent positions and open windows must go.
        """
        tightened = []
        for member in self.members.values():
            allowed = coarsest(self.precision, member.own, member.privacy)
            if allowed.coarseness > member.allowed.coarseness:
                tightened.append(member)
                member.shown = None
                self.changed.pop(member.number, None)
                self.here.pop(member.number, None)
            member.allowed = allowed
        return tightened

    def take_tick(self, now_ms: int) -> list[PositionRow]:
        """The rows of this tick; the next one is collected from here on."""
        rows = [member.row(member.shown) for member in self.changed.values() if member.shown is not None]
        self.changed.clear()
        self.tick += 1
        self.last_tick_ms = now_ms
        self.waiting = False
        return rows

    def rows_since(self, tick: int) -> list[PositionRow]:
        """What changed in tick `tick` or later: for a connection that was slow (G6)."""
        return [
            member.row(member.shown)
            for member in self.members.values()
            if member.shown is not None and member.changed_tick >= tick
        ]


def positions_frame(codec: Codec, at: int, rows: list[PositionRow]) -> bytes:
    """A whole `positions` frame, encoded once for everybody of that encoding."""
    return data_frame(codec.encode(Positions(at=at, p=rows)), text=codec.text)
