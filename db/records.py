"""What the database says of sessions and members, as frozen values. Reads rows, never runs SQL."""

from __future__ import annotations

import asyncpg
import msgspec

from db.times import to_ms, to_ms_or_none
from protocol.messages import Role
from protocol.options import Options
from protocol.precision import Precision

_decode_options = msgspec.json.Decoder(Options).decode


class SessionRow(msgspec.Struct, frozen=True):
    """A party's sharing; times are epoch milliseconds. Its token is not in it."""

    id: int
    host_user_id: int
    status: str
    """`live` or `ended`."""
    started_at_ms: int
    ended_at_ms: int | None
    precision: Precision
    options: Options
    revision: int
    token_uses: int


class MemberRow(msgspec.Struct, frozen=True):
    """A person in a party; times are epoch milliseconds. Their token is not in it."""

    session_id: int
    user_id: int
    member_no: int
    role: Role
    display_name: str
    precision: Precision
    """The member's own choice."""
    privacy_level: Precision
    """The user's floor; `private` for who did not opt in to share places, and for the erased."""
    joined_at_ms: int
    left_at_ms: int | None
    kicked: bool

    def __repr__(self) -> str:  # names stay out of logs
        return f"MemberRow(session_id={self.session_id}, member_no={self.member_no}, …)"


def session_of(record: asyncpg.Record) -> SessionRow:
    """A row of `sessions.sql`; columns that belong to a joined member are ignored."""
    return SessionRow(
        id=record["id"],
        host_user_id=record["host_user_id"],
        status=record["status"],
        started_at_ms=to_ms(record["started_at"]),
        ended_at_ms=to_ms_or_none(record["ended_at"]),
        precision=Precision(record["precision"]),
        options=msgspec.structs.replace(_decode_options(record["options"]), ttl_hours=record["ttl_hours"]),
        revision=record["revision"],
        token_uses=record["token_uses"],
    )


def member_of(record: asyncpg.Record) -> MemberRow:
    """A row of `members.sql`."""
    return MemberRow(
        session_id=record["session_id"],
        user_id=record["user_id"],
        member_no=record["member_no"],
        role=Role(record["role"]),
        display_name=record["display_name"],
        precision=Precision(record["precision"]),
        privacy_level=Precision(record["privacy_level"]),
        joined_at_ms=to_ms(record["joined_at"]),
        left_at_ms=to_ms_or_none(record["left_at"]),
        kicked=record["kicked_at"] is not None,
    )
