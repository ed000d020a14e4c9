"""Parties as they are now: each session and who is in it of one moment, many at once, nobody finer than they chose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import asyncpg
import pytest

from db import sessions
from db.current import Party, read_parties, read_revisions
from db.pool import Pool, connect
from protocol.messages import Role
from protocol.options import Options
from protocol.precision import Precision
from tests.db.conftest import TTL_HOURS, digest, make_party, now_ms
from tests.db.conftest import Party as PartyMade
from tests.server.lives import party_database

__all__ = ["party_database"]
_names = count()


@pytest.fixture
def migrated_database(party_database: str) -> str:
    """One database for the module: each test has parties of its own."""
    return party_database


async def a_party(pool: Pool, **more: Any) -> PartyMade:
    return await make_party(pool, name=f"current-{next(_names)}", **more)


@pytest.fixture
async def pool(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    pool = await connect(role_url("gateway"), min_size=1, max_size=4, application_name="gateway")
    yield pool
    pool.terminate()


async def read(pool: Pool, session_id: int) -> Party:
    (party,) = (await read_parties(pool, [session_id])).values()
    return party


async def test_a_party_is_its_session_and_who_is_in_it(pool: Pool) -> None:
    made = await a_party(pool, options=Options(ttl_hours=TTL_HOURS, rough_cell_m=2000))
    party = await read(pool, made.id)
    assert party.session == await sessions.find_session(pool, made.id)
    assert party.session.options.rough_cell_m == 2000
    assert party.members == await sessions.members(pool, made.id)
    assert [(member.member_no, member.user_id, member.role) for member in party.members] == [
        (1, made.host, Role.HOST),
        (2, made.guest, Role.MEMBER),
    ]


async def test_many_parties_each_with_its_own(pool: Pool) -> None:
    made = [await a_party(pool) for _ in range(5)]
    await sessions.set_session_precision(pool, made[1].id, Precision.ROUGH)
    await sessions.end_session(pool, made[2].id)
    parties = await read_parties(pool, [*(party.id for party in reversed(made)), 2**62])
    assert set(parties) == {party.id for party in made}, "who is no session is left out"
    for party in made:
        assert [member.user_id for member in parties[party.id].members] == [party.host, party.guest]
    assert parties[made[1].id].session.precision is Precision.ROUGH
    assert [parties[party.id].session.status for party in made] == ["live", "live", "ended", "live", "live"]


async def test_nothing_is_asked_of_nobody(pool: Pool) -> None:
    assert await read_parties(pool, []) == {}
    assert await read_revisions(pool, []) == {}


async def test_who_left_or_was_kicked_is_not_in_it(pool: Pool) -> None:
    made = await a_party(pool)
    _, third = await sessions.join(
        pool,
        digest=made.token,
        user_id=None,
        display_name="Third",
        member_digest=digest("third"),
        precision=Precision.EXACT,
        now_ms=now_ms(),
    )
    await sessions.leave(pool, made.id, made.guest)
    assert [member.user_id for member in (await read(pool, made.id)).members] == [made.host, third.user_id]
    await sessions.kick(pool, made.id, third.member_no)
    assert [member.user_id for member in (await read(pool, made.id)).members] == [made.host]


async def test_a_member_has_the_newest_choice_and_the_newest_privacy(
    pool: Pool, superuser: asyncpg.Connection
) -> None:
    made = await a_party(pool)
    await sessions.set_member_precision(pool, made.id, made.guest, Precision.ROUGH)
    await superuser.execute("UPDATE users SET privacy_level = 'rough' WHERE id = $1", made.host)
    host, guest = (await read(pool, made.id)).members
    assert (host.precision, host.privacy_level) == (Precision.EXACT, Precision.ROUGH)
    assert (guest.precision, guest.privacy_level) == (Precision.ROUGH, Precision.EXACT)


async def test_who_takes_the_location_consent_back_is_private(
    pool: Pool, superuser: asyncpg.Connection
) -> None:
    made = await a_party(pool)
    await superuser.execute("UPDATE users SET location_opt_in = false WHERE id = $1", made.guest)
    host, guest = (await read(pool, made.id)).members
    assert (host.privacy_level, guest.privacy_level) == (Precision.EXACT, Precision.PRIVATE)


async def test_whom_an_erasure_means_is_private_or_gone(pool: Pool) -> None:
    made = await a_party(pool)
    await sessions.erase_user(pool, made.guest)
    for member in (await read(pool, made.id)).members:
        assert member.user_id == made.host or member.privacy_level is Precision.PRIVATE


async def test_every_change_counts_the_revision_up(pool: Pool) -> None:
    made, still = await a_party(pool), await a_party(pool)
    ids = [made.id, still.id, 2**62]
    before = await read_revisions(pool, ids)
    assert set(before) == {made.id, still.id}
    for change in (
        lambda: sessions.set_session_precision(pool, made.id, Precision.ROUGH),
        lambda: sessions.set_member_precision(pool, made.id, made.guest, Precision.PRIVATE),
        lambda: sessions.set_options(pool, made.id, Options(ttl_hours=TTL_HOURS, live_only=True)),
        lambda: sessions.rotate_token(pool, made.id, digest("new")),
        lambda: sessions.kick(pool, made.id, 2),
        lambda: sessions.end_session(pool, made.id),
    ):
        await change()
        after = await read_revisions(pool, ids)
        assert after[made.id] > before[made.id]
        assert after[made.id] == (await read(pool, made.id)).session.revision
        assert after[still.id] == before[still.id]
        before = after


async def test_the_session_and_its_members_are_of_one_moment(
    pool: Pool, superuser: asyncpg.Connection
) -> None:
    """Two changes that are one: whoever saw half of it would let a member be finer than any revision allows."""
    made = await a_party(pool)
    stop = asyncio.Event()

    async def change() -> int:
        turns = 0
        while not stop.is_set():
            turns += 1
            async with superuser.transaction():
                revision = await superuser.fetchval(
                    "UPDATE party_sessions SET revision = revision + 1 WHERE id = $1 RETURNING revision",
                    made.id,
                )
                await superuser.execute(
                    "UPDATE party_members SET display_name = $2 WHERE session_id = $1", made.id, f"{revision}"
                )
        return turns

    changing = asyncio.ensure_future(change())
    seen = set()
    try:
        for _ in range(300):
            party = await read(pool, made.id)
            names = {member.display_name for member in party.members}
            assert names in ({"Host", "Guest"}, {str(party.session.revision)})
            seen.add(party.session.revision)
    finally:
        stop.set()
        assert await changing > 10
    assert len(seen) > 10
