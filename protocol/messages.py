"""Every message of the wire, one Struct each, tagged by `t`. Values only: no behaviour.

Times are epoch milliseconds, places are degrees (WGS 84), lengths metres, speeds metres per second.
Unknown keys are ignored; an unknown tag does not decode.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from protocol.limits import MAX_FIXES, MAX_NAME
from protocol.precision import Precision

Token = Annotated[str, msgspec.Meta(max_length=4096)]
_UNSEEN = "\\u0080-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff"
"""Controls, what turns text, what nobody sees; not U+200C and U+200D, which Persian and emoji need."""
Name = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_NAME,
        pattern=f"^ *[^\\x00-\\x20\\x7f{_UNSEEN}][^\\x00-\\x1f\\x7f{_UNSEEN}]*$",
    ),
]
"""A display name: something to see, and nothing that controls or turns the text around it."""
Seq = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
MemberNo = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
Millis = Annotated[int, msgspec.Meta(ge=-(2**53), lt=2**53)]


class Role(StrEnum):
    """What a person may do in a session."""

    HOST = "host"
    MEMBER = "member"
    VIEWER = "viewer"


class MemberState(StrEnum):
    """What the party sees of a member beside the position."""

    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"
    PRIVATE = "private"
    LEFT = "left"


class Reject(StrEnum):
    """Why a single fix was refused. The connection stays; the client drops that fix."""

    RANGE = "range"
    """Not a place on Earth, or not a finite number."""
    FUTURE = "future"
    """More than a minute ahead of the server's clock."""
    TOO_OLD = "too_old"
    """Before the session's `started_at`, or past its time-to-live."""
    LATE = "late"
    """Of a rough member, from before anything that the mask remembers: it could not be hidden."""
    PRECISION = "precision"
    """The session was tightened before the row was committed."""
    GONE = "gone"
    """The member was erased, or the session is no longer there."""


# --- from the client -------------------------------------------------------------------------


class Join(msgspec.Struct, tag_field="t", tag="join", frozen=True):
    """First message: enter a party with its sharable token."""

    name: Name
    token: Token = ""
    """The sharable token; may stand in `Authorization: Bearer` instead."""
    precision: Precision = Precision.EXACT
    """The member's own choice."""
    user: Token = ""
    """A user's JWT; or a member token that this phone holds of any party, so that a guest stays the same
    person, with the same mask. Empty, or a member token that leads to nobody: a new guest."""

    def __repr__(self) -> str:  # tokens stay out of every repr
        return "Join(…)"


class Resume(msgspec.Struct, tag_field="t", tag="resume", frozen=True):
    """First message: come back with the member token of an earlier `welcome`."""

    token: Token = ""

    def __repr__(self) -> str:
        return "Resume(…)"


class Fix(msgspec.Struct, tag_field="t", tag="fix", gc=False, omit_defaults=True):
    """One raw GPS reading. `seq` rises by at least one with each fix of a connection."""

    seq: Seq
    at: Millis
    lat: float
    lon: float
    acc: float | None = None
    spd: float | None = None
    hdg: float | None = None
    alt: float | None = None
    bat: float | None = None

    def __repr__(self) -> str:  # G5: a raw fix is never printed
        return f"Fix(seq={self.seq}, …)"


class Fixes(msgspec.Struct, tag_field="t", tag="fixes", gc=False):
    """A batch of fixes, at most 500; inside it they need no `t`."""

    items: Annotated[list[Fix], msgspec.Meta(max_length=MAX_FIXES)]


class Share(msgspec.Struct, tag_field="t", tag="share", frozen=True):
    """The member's own choice of precision."""

    precision: Precision


class SetPrecision(msgspec.Struct, tag_field="t", tag="set_precision", frozen=True):
    """The host sets the session's precision."""

    precision: Precision


class Kick(msgspec.Struct, tag_field="t", tag="kick", frozen=True):
    """The host removes member number `m`."""

    m: MemberNo


class End(msgspec.Struct, tag_field="t", tag="end", frozen=True):
    """The host ends the session."""


class Leave(msgspec.Struct, tag_field="t", tag="leave", frozen=True):
    """The member leaves for good; the member token dies."""


ClientMessage = Join | Resume | Fix | Fixes | Share | SetPrecision | Kick | End | Leave


# --- from the server -------------------------------------------------------------------------

PositionRow = tuple[int, int, float, float, float | None, float | None, float | None]
"""`[m, at, lat, lon, acc, spd, hdg]`: an array, because layout costs more than the codec."""


class Member(msgspec.Struct, tag_field="t", tag="member", frozen=True):
    """A member of the party: sent when anything of it changes, and inside `welcome`."""

    m: int
    name: str
    role: Role
    state: MemberState


class Welcome(msgspec.Struct, tag_field="t", tag="welcome", frozen=True):
    """The answer to `join` and `resume`: everything a phone needs to draw the party."""

    session: int
    you: int
    role: Role
    member_token: str
    precision: Precision
    """What is shared of *you*: the coarsest of session, own choice and the user's privacy level."""
    session_precision: Precision
    revision: int
    tick_ms: int
    window_ms: int
    now: int
    members: list[Member]
    positions: list[PositionRow]

    def __repr__(self) -> str:
        return f"Welcome(session={self.session}, you={self.you}, …)"


class Positions(msgspec.Struct, tag_field="t", tag="positions"):
    """What changed since the tick before."""

    at: int
    p: list[PositionRow]

    def __repr__(self) -> str:
        return f"Positions({len(self.p)} rows)"


class PrecisionChanged(msgspec.Struct, tag_field="t", tag="precision", frozen=True):
    """The session's precision, and the revision that made it so."""

    precision: Precision
    revision: int


class Ack(msgspec.Struct, tag_field="t", tag="ack", frozen=True):
    """Every fix of this connection with this `seq` or a lower one is settled: committed or rejected."""

    seq: int


class Rejected(msgspec.Struct, tag_field="t", tag="reject", frozen=True):
    """One fix was refused."""

    seq: int
    code: Reject


class Policy(msgspec.Struct, tag_field="t", tag="policy", frozen=True):
    """How often to report, and whether fixes are held.

    While `hold` is true fixes are shared live but not stored: the client keeps them. When it turns
    false the client sends again all that is not acked, oldest first.
    """

    interval_ms: int
    hold: bool


class Ended(msgspec.Struct, tag_field="t", tag="ended", frozen=True):
    """The session is over."""

    reason: str


class Error(msgspec.Struct, tag_field="t", tag="error", frozen=True):
    """Said before a close; `code` is the name of the close code."""

    code: str


ServerMessage = Welcome | Positions | Member | PrecisionChanged | Ack | Rejected | Policy | Ended | Error
