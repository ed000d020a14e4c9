"""Erasure (G7): no trace of a user stays, and what was on its way does not bring them back."""

from __future__ import annotations

import asyncio

import pytest

from db import positions, sessions
from protocol.messages import Reject
from protocol.precision import Precision
from tests.db.conftest import HOUR_MS, TTL_HOURS, digest, make_party, now_ms, window


def row(party, who, *, ago_ms=0):
    return positions.pack_row(party.id, who, window(ago_ms), 0, 37.5, 127.0, 8.0, "exact")


async def commit(writer, party, *rows):
    return await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)


async def test_every_row_of_every_chunk_goes_and_nobody_elses(gateway, writer, superuser):
    parties = [await make_party(gateway, name=f"p{n}") for n in range(3)]
    user = parties[0].guest
    for party in parties[1:]:
        await sessions.join(
            gateway,
            digest=party.token,
            user_id=user,
            display_name="Same person",
            member_digest=digest(f"again {party.id}"),
            precision=Precision.EXACT,
            now_ms=now_ms(),
        )
    for party in parties:
        for days in range(4):
            rows = [row(party, who, ago_ms=days * 24 * HOUR_MS) for who in (party.host, user)]
            assert (await commit(writer, party, *rows)).inserted == 2
    erased = await sessions.erase_user(gateway, user)
    assert erased.session_ids == sorted(party.id for party in parties)
    assert erased.ended_session_ids == []
    assert await superuser.fetchval("SELECT count(*) FROM party_positions WHERE user_id = $1", user) == 0
    assert await superuser.fetchval("SELECT count(*) FROM party_positions") == 12


async def test_what_names_the_person_is_gone(gateway, superuser, party):
    await superuser.execute(
        "UPDATE users SET email = 'someone@somewhere.example', password_hash = 'argon', locale = 'ko-KR', "
        "onboarded_at = now(), time_budget_min = 90, budget_band = 'low', mobility_mode = 'walk', "
        'preferences = \'{"mood": "quiet"}\', push_opt_in = true WHERE id = $1',
        party.guest,
    )
    await sessions.erase_user(gateway, party.guest)
    user = dict(await superuser.fetchrow("SELECT * FROM users WHERE id = $1", party.guest))
    assert user.pop("erased_at") is not None
    assert user.pop("created_at") is not None
    assert {key: value for key, value in user.items() if value} == {
        "id": party.guest,
        "preferences": "{}",
        "privacy_level": "private",
    }
    for table in ("users", "party_members", "party_sessions", "party_positions"):
        text = await superuser.fetchval(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
        assert "someone" not in text
        assert "Guest" not in text
    _, member = await sessions.members(gateway, party.id)
    assert (member.display_name, member.privacy_level) == ("", Precision.PRIVATE)
    assert member.left_at_ms is not None
    assert await sessions.session_of_member_token(gateway, party.guest_token) is None
    assert not await sessions.find_user(gateway, party.guest)


async def test_the_sessions_of_an_erased_host_end(gateway, party):
    other = await make_party(gateway, name="other")
    before = await sessions.find_session(gateway, party.id)
    erased = await sessions.erase_user(gateway, party.host)
    assert (erased.session_ids, erased.ended_session_ids) == ([party.id], [party.id])
    ended = await sessions.find_session(gateway, party.id)
    assert (ended.status, ended.revision > before.revision) == ("ended", True)
    assert (await sessions.find_session(gateway, other.id)).status == "live"


async def test_what_is_on_its_way_is_refused(gateway, writer, superuser, party):
    await sessions.erase_user(gateway, party.guest)
    result = await commit(writer, party, row(party, party.guest), row(party, party.host))
    assert result.inserted == 1
    assert [(who, why) for _, who, _, why in result.refused] == [(party.guest, Reject.GONE)]
    assert (
        await superuser.fetchval("SELECT count(*) FROM party_positions WHERE user_id = $1", party.guest) == 0
    )


async def test_rows_that_stream_in_meanwhile_do_not_stay(login, gateway, superuser, party):
    stop = asyncio.Event()

    async def write(connection, step):
        n = step
        while not stop.is_set():
            await commit(
                connection, party, *(row(party, party.guest, ago_ms=5000 * (n * 10 + k)) for k in range(10))
            )
            n += 3

    tasks = [asyncio.create_task(write(await login("writer"), step)) for step in range(3)]
    await asyncio.sleep(0.2)
    await sessions.erase_user(gateway, party.guest)
    left = await superuser.fetchval("SELECT count(*) FROM party_positions")
    await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*tasks)
    assert left == await superuser.fetchval("SELECT count(*) FROM party_positions") == 0


async def test_an_erased_user_does_not_come_back(gateway, party):
    await sessions.erase_user(gateway, party.guest)
    with pytest.raises(sessions.NoSuchUser):
        await sessions.join(
            gateway,
            digest=party.token,
            user_id=party.guest,
            display_name="Back",
            member_digest=digest("back"),
            precision=Precision.EXACT,
            now_ms=now_ms(),
        )


async def test_who_joins_at_the_same_moment_is_erased_too_or_refused(login, gateway, superuser, party):
    second = await login("gateway")
    for n in range(15):
        user = await sessions.create_guest(gateway)
        joining = sessions.join(
            second,
            digest=party.token,
            user_id=user,
            display_name="Racer",
            member_digest=digest(f"race {n}"),
            precision=Precision.EXACT,
            now_ms=now_ms(),
        )
        await asyncio.gather(joining, sessions.erase_user(gateway, user), return_exceptions=True)
    assert await superuser.fetchval("SELECT count(*) FROM party_members WHERE display_name = 'Racer'") == 0


async def test_twice_does_no_harm(gateway, party):
    first = await sessions.erase_user(gateway, party.host)
    again = await sessions.erase_user(gateway, party.host)
    assert again.session_ids == first.session_ids
    assert again.ended_session_ids == []


async def test_nobody_cannot_be_erased(gateway):
    with pytest.raises(sessions.NoSuchUser):
        await sessions.erase_user(gateway, 404)


async def test_the_way_they_were_cannot_be_given_back(gateway, superuser, party):
    await sessions.erase_user(gateway, party.guest)
    with pytest.raises(Exception, match="users_erased_is_anonymous"):
        await superuser.execute("UPDATE users SET email = 'a@b.example' WHERE id = $1", party.guest)
