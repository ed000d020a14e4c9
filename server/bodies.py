"""The bodies of HTTP calls and answers, one Struct each. Values only.

Calls refuse keys they do not know: an option that is mistyped must not quietly become the default, which
may share more than was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from db.sessions import Receipt
from protocol.messages import MemberState, Name, Role
from protocol.options import Options
from protocol.precision import Precision


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Makes a session; whoever asks becomes its host."""

    display_name: Name
    precision: Precision = Precision.EXACT
    options: Options = Options()
    trip_id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None = None
    """The trip that the party is on: a recommended one, or the asker's own."""


class Host(msgspec.Struct, frozen=True):
    """The host's member number, and the token to come back with."""

    m: int
    member_token: str

    def __repr__(self) -> str:
        return f"Host(m={self.m}, …)"


class Created(msgspec.Struct, frozen=True):
    """A session that was just made. Tokens are shown this once: the server keeps their digests alone."""

    session: int
    sharable_token: str
    join_url: str
    """The invitation: the token stands in the fragment, which no server sees."""
    host: Host
    precision: Precision
    revision: int

    def __repr__(self) -> str:
        return f"Created(session={self.session}, …)"


class Invitation(msgspec.Struct, frozen=True):
    """A new sharable token; the one before it lets nobody in any more."""

    sharable_token: str
    join_url: str

    def __repr__(self) -> str:
        return "Invitation(…)"


class PartyMember(msgspec.Struct, frozen=True):
    """A member as the party sees them."""

    m: int
    name: str
    """Empty once the person is erased."""
    role: Role
    state: MemberState


class PartyMembers(msgspec.Struct, frozen=True):
    """Everybody who is, or was, in the party."""

    members: list[PartyMember]


class SessionView(msgspec.Struct, frozen=True):
    """A session as its members see it. Times are epoch milliseconds."""

    session: int
    status: str
    """`live` or `ended`."""
    precision: Precision
    options: Options
    revision: int
    started_at: int
    ended_at: int | None
    you: int
    """The asker's own member number."""
    role: Role
    members: list[PartyMember]


if TYPE_CHECKING:
    OptionsChange = msgspec.Struct
else:
    # Every option as in `Options`, but none has a default: what is not named stays as it is.
    _KINDS = get_type_hints(Options, include_extras=True)
    OptionsChange = msgspec.defstruct(
        "OptionsChange",
        [(name, _KINDS[name] | UnsetType, UNSET) for name in Options.__struct_fields__],
        namespace={
            "__doc__": "The options to change. `started_at` and `rough_cell_m` never change; "
            "`ttl_hours` only shrinks, `live_only` is only turned on."
        },
        module=__name__,
        frozen=True,
        forbid_unknown_fields=True,
    )


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the host changes: the precision, some options, or both."""

    precision: Precision | UnsetType = UNSET
    options: OptionsChange | UnsetType = UNSET


class Deleted(msgspec.Struct, frozen=True):
    """How much of a person is gone."""

    positions: int
    on_their_way: int
    """Positions that waited in Redis to be stored."""
    posts: int
    """Doodles, and reviews that not everybody could read."""
    missions: int
    features: int
    """Sets of features that were computed of them."""


class Kept(msgspec.Struct, frozen=True):
    """How much stays that nobody can be found by."""

    sessions: int
    """Sessions they were in, as a number without a name."""
    posts: int
    """Public reviews, without author and images."""
    feedback: int
    """Ratings, without words."""
    trips: int


class ErasureReceipt(msgspec.Struct, frozen=True):
    """That somebody was erased. Whoever keeps it can show it; nothing at the server leads back to them."""

    receipt: str
    erased_at: int
    """Epoch milliseconds: from then on nothing of theirs could come any more."""
    finished_at: int | None
    """When the last of it was gone; null while a part that was not to be reached is still to be cleared."""
    sessions_ended: int
    """Live sessions that they hosted."""
    deleted: Deleted
    kept: Kept


def erasure_of(receipt: Receipt) -> ErasureReceipt:
    """The body for a receipt."""
    return ErasureReceipt(
        receipt=str(receipt.id),
        erased_at=receipt.erased_at_ms,
        finished_at=receipt.finished_at_ms,
        sessions_ended=receipt.sessions_ended,
        deleted=Deleted(
            receipt.positions_deleted,
            receipt.redis_rows_deleted,
            receipt.posts_deleted,
            receipt.missions_deleted,
            receipt.features_deleted,
        ),
        kept=Kept(receipt.sessions, receipt.posts_kept, receipt.feedback_kept, receipt.trips_kept),
    )


class Readiness(msgspec.Struct, frozen=True):
    """Whether this gateway should get connections: the first two true, the third false."""

    postgresql: bool
    lease: bool
    draining: bool

    @property
    def ready(self) -> bool:
        """All of it."""
        return self.postgresql and self.lease and not self.draining


# --- what `GET …/track` answers: GeoJSON (RFC 7946) ---------------------------------------------

LonLat = Annotated[tuple[float, float], msgspec.Meta(description="Longitude, latitude: degrees, WGS 84.")]


class LineString(msgspec.Struct, frozen=True, tag_field="type", tag="LineString"):
    """Two places or more."""

    coordinates: list[LonLat]


class Point(msgspec.Struct, frozen=True, tag_field="type", tag="Point"):
    """One place: a line needs two."""

    coordinates: LonLat


class TrackProperties(msgspec.Struct, frozen=True):
    """Whose track, and the time (epoch milliseconds) and accuracy (metres) of each place in it."""

    m: int
    name: str
    precision: Precision
    times: list[int]
    accuracy_m: list[float | None]


class TrackFeature(msgspec.Struct, frozen=True, tag_field="type", tag="Feature"):
    """One member's track."""

    geometry: LineString | Point
    properties: TrackProperties


class FeatureCollection(msgspec.Struct, frozen=True, tag_field="type", tag="FeatureCollection"):
    """A track for each member who shows a position and has one."""

    features: list[TrackFeature]


# --- what `GET …/summary` answers ---------------------------------------------------------------


class Gap(msgspec.Struct, frozen=True):
    """A stream was not live. Epoch milliseconds."""

    from_: int = msgspec.field(name="from")
    """When it stopped counting as live: 30 s after a fix, 90 s after a rough position's beat."""
    to: int
    """The next fix."""


class Spot(msgspec.Struct, frozen=True):
    """A member at a stop of the trip: within 100 m, or within a rough position's own accuracy."""

    sequence: int
    place: str
    planned_stay_min: int | None
    nearest_m: float
    arrived_at: int | None
    """The first fix there; null for who never came."""
    left_at: int | None
    """The last fix there."""
    stay_s: float
    """For how long two fixes in a row were there without a gap between them."""


class MemberFigures(msgspec.Struct, frozen=True):
    """What one member did, as exactly as may be told now. Epoch milliseconds, metres, seconds."""

    m: int
    name: str
    precision: Precision
    fixes: int
    """5-second windows with a fix; for who is rough now, beats of 60 s."""
    first_at: int
    last_at: int
    live_s: float
    gap_count: int
    gaps: list[Gap]
    """The 100 longest, in order. Before the first fix and after the last one is no gap."""
    mean_accuracy_m: float | None
    """Each fix's accuracy weighs as long as it was the newest."""
    distance_m: float | None
    """Along the positions, not across gaps; null where no position may be told."""
    spots: list[Spot]


class DelayFigures(msgspec.Struct, frozen=True):
    """From fix to commit, milliseconds, within 0.5 %; of rows that are exact, and whose commit is known."""

    p50: int | None
    p95: int | None
    p99: int | None
    n: int


class Summary(msgspec.Struct, frozen=True):
    """What the members did whose positions are there and may be told of."""

    members: list[MemberFigures]
    delay_ms: DelayFigures


def changed_keys(change: msgspec.Struct) -> dict[str, Any]:
    """The options that a change names."""
    return {key: value for key, value in msgspec.structs.asdict(change).items() if value is not UNSET}
