"""Parties: who comes in and who does not, what a tightening and a loosening do, what bad input gets."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest

from db import positions, sessions
from db.pool import connect
from protocol.messages import Role
from protocol.options import Options
from protocol.precision import Precision
from tests.db.conftest import HOUR_MS, TTL_HOURS, digest, make_party, now_ms, window


async def enter(gateway, party, *, user_id=None, token=None, name="More", precision=Precision.EXACT, **more):
    return await sessions.join(
        gateway,
        digest=token or party.token,
        user_id=user_id,
        display_name=name,
        member_digest=digest(more.get("secret", f"{name}-{user_id}-{now_ms()}")),
        precision=precision,
        now_ms=more.get("at", now_ms()),
    )


async def refused(gateway, party, reason, **how):
    with pytest.raises(sessions.JoinRefused) as caught:
        await enter(gateway, party, **how)
    assert caught.value.reason == reason


async def test_a_party_reads_back_as_it_was_made(gateway, superuser):
    host = await sessions.create_guest(gateway)
    trip = await superuser.fetchval("INSERT INTO trips (duration_min, mode) VALUES (60, 'walk') RETURNING id")
    options = Options(ttl_hours=12, rough_cell_m=2000, token_max_uses=3, live_only=True)
    session, member = await sessions.create_session(
        gateway,
        host_user_id=host,
        display_name="주최",
        sharable_digest=digest("s"),
        member_digest=digest("h"),
        precision=Precision.ROUGH,
        options=options,
        started_at_ms=1_790_000_000_123,
        trip_id=trip,
    )
    assert session == sessions.SessionRow(
        session.id, host, "live", 1_790_000_000_123, None, Precision.ROUGH, options, session.revision, 0
    )
    assert (member.member_no, member.role, member.display_name) == (1, Role.HOST, "주최")
    assert (member.precision, member.privacy_level) == (Precision.EXACT, Precision.EXACT)
    assert await sessions.find_session(gateway, session.id) == session
    assert await sessions.find_session_by_token(gateway, digest("s")) == session
    assert await sessions.session_of_member_token(gateway, digest("h")) == (session, member)
    assert await sessions.members(gateway, session.id) == [member]


async def test_what_is_not_there_is_none(gateway):
    assert await sessions.find_session(gateway, 404) is None
    assert await sessions.find_session_by_token(gateway, digest("?")) is None
    assert await sessions.session_of_member_token(gateway, digest("?")) is None
    assert await sessions.members(gateway, 404) == []
    assert not await sessions.find_user(gateway, 404)
    assert await sessions.kick(gateway, 404, 1) is None
    assert await sessions.leave(gateway, 404, 1) is None


async def test_changing_what_is_not_there_is_an_error(gateway, party):
    with pytest.raises(sessions.NoSuchSession):
        await sessions.set_session_precision(gateway, 404, Precision.ROUGH)
    with pytest.raises(sessions.NoSuchSession):
        await sessions.set_options(gateway, 404, Options(ttl_hours=1))
    with pytest.raises(sessions.NoSuchSession):
        await sessions.rotate_token(gateway, 404, digest("x"))
    with pytest.raises(sessions.NoSuchSession):
        await sessions.end_session(gateway, 404)
    with pytest.raises(sessions.NoSuchMember):
        await sessions.set_member_precision(gateway, party.id, 404, Precision.ROUGH)
    with pytest.raises(sessions.NoSuchUser):
        await enter(gateway, party, user_id=404)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"options": Options()}, "ttl_hours"),
        ({"display_name": ""}, "display name"),
        ({"display_name": "x" * 41}, "display name"),
        ({"display_name": "a\0b"}, "display name"),
        ({"sharable_digest": b"plain token"}, "SHA-256"),
        ({"member_digest": b""}, "SHA-256"),
        ({"started_at_ms": 10**17}, "epoch milliseconds"),
    ],
)
async def test_a_party_that_cannot_be_stored_is_refused(gateway, superuser, wrong, said):
    right = {
        "host_user_id": await sessions.create_guest(gateway),
        "display_name": "Host",
        "sharable_digest": digest("s"),
        "member_digest": digest("h"),
        "precision": Precision.EXACT,
        "options": Options(ttl_hours=1),
        "started_at_ms": now_ms(),
    }
    with pytest.raises(ValueError, match=said):
        await sessions.create_session(gateway, **(right | wrong))
    assert await superuser.fetchval("SELECT count(*) FROM party_sessions") == 0


async def test_a_party_needs_a_host_who_is_there(gateway, party):
    await sessions.erase_user(gateway, party.guest)
    for host in (404, party.guest):
        with pytest.raises(sessions.NoSuchUser):
            await sessions.create_session(
                gateway,
                host_user_id=host,
                display_name="Host",
                sharable_digest=digest("t"),
                member_digest=digest("h"),
                precision=Precision.EXACT,
                options=Options(ttl_hours=1),
                started_at_ms=now_ms(),
            )


async def test_joining_counts_a_use_and_a_revision(gateway, party):
    before = await sessions.find_session(gateway, party.id)
    session, member = await enter(gateway, party, precision=Precision.ROUGH)
    assert (session.token_uses, session.revision) == (before.token_uses + 1, before.revision + 1)
    assert (member.member_no, member.role, member.precision) == (3, Role.MEMBER, Precision.ROUGH)
    assert await sessions.find_session(gateway, party.id) == session


async def test_a_known_member_gets_the_same_number_and_a_new_token(gateway, party):
    before = await sessions.find_session(gateway, party.id)
    await sessions.leave(gateway, party.id, party.guest)
    assert await sessions.session_of_member_token(gateway, party.guest_token) is None
    session, member = await enter(gateway, party, user_id=party.guest, secret="new", name="Again")
    assert (member.member_no, member.left_at_ms, member.display_name) == (2, None, "Again")
    assert session.token_uses == before.token_uses
    assert await sessions.session_of_member_token(gateway, digest("new")) == (session, member)


async def test_a_host_who_joins_again_stays_the_host(gateway, party):
    _, member = await enter(gateway, party, user_id=party.host)
    assert (member.member_no, member.role) == (1, Role.HOST)
    assert await sessions.session_of_member_token(gateway, party.host_token) is None


async def test_a_wrong_or_rotated_token_is_refused(gateway, party):
    await refused(gateway, party, "bad_token", token=digest("?"))
    session = await sessions.rotate_token(gateway, party.id, digest("rotated"))
    assert session.token_uses == 0
    await refused(gateway, party, "bad_token")
    assert (await enter(gateway, party, token=digest("rotated")))[1].member_no == 3


async def test_a_token_expires(gateway):
    party = await make_party(gateway, options=Options(ttl_hours=1, token_expires_at=now_ms() + HOUR_MS))
    await refused(gateway, party, "bad_token", at=now_ms() + HOUR_MS + 1)
    await enter(gateway, party)


async def test_a_token_is_used_up_but_not_for_who_came_by_it(gateway):
    party = await make_party(gateway, options=Options(ttl_hours=1, token_max_uses=1))
    await refused(gateway, party, "bad_token")
    assert (await enter(gateway, party, user_id=party.guest))[1].member_no == 2


async def test_an_ended_party_lets_nobody_in(gateway, party):
    ended = await sessions.end_session(gateway, party.id)
    assert ended.status == "ended"
    assert ended.ended_at_ms is not None
    await refused(gateway, party, "ended")
    assert await sessions.end_session(gateway, party.id) == ended


async def test_a_full_party_lets_nobody_in_until_somebody_leaves(gateway):
    party = await make_party(gateway, options=Options(ttl_hours=1, max_members=2))
    await refused(gateway, party, "full")
    await enter(gateway, party, user_id=party.guest)
    await sessions.leave(gateway, party.id, party.guest)
    await enter(gateway, party)
    await refused(gateway, party, "full", user_id=party.guest)


async def test_the_kicked_stay_out(gateway, party):
    member = await sessions.kick(gateway, party.id, 2)
    assert member.kicked
    assert member.left_at_ms is not None
    assert await sessions.session_of_member_token(gateway, party.guest_token) is None
    await refused(gateway, party, "kicked", user_id=party.guest)
    assert await sessions.kick(gateway, party.id, 1) is None  # the host
    assert await sessions.kick(gateway, party.id, 9) is None


async def test_many_at_once_get_numbers_of_their_own(role_url, gateway):
    party = await make_party(gateway, options=Options(ttl_hours=1, max_members=12, token_max_uses=100))
    pool = await connect(role_url("gateway"), min_size=4, max_size=8, application_name="test")
    try:
        came = await asyncio.gather(
            *(enter(pool, party, name=f"n{n}") for n in range(30)), return_exceptions=True
        )
    finally:
        await pool.close()
    numbers = [one[1].member_no for one in came if isinstance(one, tuple)]
    assert sorted(numbers) == list(range(3, 13))
    assert all(str(one) == "full" for one in came if not isinstance(one, tuple))
    assert (await sessions.find_session(gateway, party.id)).token_uses == 11


async def test_a_guest_who_is_refused_leaves_no_user(gateway, superuser, party):
    await sessions.end_session(gateway, party.id)
    before = await superuser.fetchval("SELECT count(*) FROM users")
    await refused(gateway, party, "ended")
    assert await superuser.fetchval("SELECT count(*) FROM users") == before


async def test_not_opting_in_is_private(gateway, superuser, party):
    await superuser.execute("UPDATE users SET location_opt_in = false WHERE id = $1", party.guest)
    assert [m.privacy_level for m in await sessions.members(gateway, party.id)] == [
        Precision.EXACT,
        Precision.PRIVATE,
    ]


async def test_every_change_counts_the_revision_up(gateway, party):
    seen = [(await sessions.find_session(gateway, party.id)).revision]
    for change in (
        sessions.set_session_precision(gateway, party.id, Precision.ROUGH),
        sessions.set_member_precision(gateway, party.id, party.guest, Precision.ROUGH),
        sessions.set_options(gateway, party.id, Options(ttl_hours=3)),
        sessions.rotate_token(gateway, party.id, digest("r")),
        sessions.leave(gateway, party.id, party.guest),
        sessions.kick(gateway, party.id, 2),
        sessions.end_session(gateway, party.id),
    ):
        await change
        seen.append((await sessions.find_session(gateway, party.id)).revision)
    assert seen == sorted(set(seen))


async def test_loosening_waits_for_each_members_own_yes(gateway, party):
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    await sessions.set_session_precision(gateway, party.id, Precision.EXACT)
    host, guest = await sessions.members(gateway, party.id)
    assert (host.precision, guest.precision) == (Precision.EXACT, Precision.ROUGH)
    guest = await sessions.set_member_precision(gateway, party.id, party.guest, Precision.EXACT)
    assert guest.precision is Precision.EXACT


async def test_a_tightening_leaves_own_choices_alone(gateway, party):
    await sessions.set_session_precision(gateway, party.id, Precision.PRIVATE)
    assert {m.precision for m in await sessions.members(gateway, party.id)} == {Precision.EXACT}
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    host, guest = await sessions.members(gateway, party.id)
    assert (host.precision, guest.precision) == (Precision.EXACT, Precision.PRIVATE)


async def test_who_joins_while_the_host_loosens_is_pinned_too(role_url, gateway):
    party = await make_party(gateway, precision=Precision.ROUGH)
    joiner = await asyncpg.connect(role_url("gateway"))
    try:
        transaction = joiner.transaction()
        await transaction.start()
        _, late = await enter(joiner, party)
        loosening = asyncio.create_task(sessions.set_session_precision(gateway, party.id, Precision.EXACT))
        done, _ = await asyncio.wait([loosening], timeout=0.3)
        assert not done
        await transaction.commit()
        await loosening
    finally:
        await joiner.close()
    chosen = {m.user_id: m.precision for m in await sessions.members(gateway, party.id)}
    assert chosen[late.user_id] is Precision.ROUGH


async def test_options_are_stored_whole_or_not(gateway, party):
    options = Options(ttl_hours=2, live_only=True, tick_ms=250)
    assert (await sessions.set_options(gateway, party.id, options)).options == options
    with pytest.raises(ValueError, match="ttl_hours"):
        await sessions.set_options(gateway, party.id, Options())
    assert (await sessions.find_session(gateway, party.id)).options == options


async def test_a_track_is_what_was_stored_between(gateway, writer, party):
    at = window(60_000)
    rows = [
        positions.pack_row(party.id, who, at + 5000 * n, 100 * n, 37.0 + n, 127.0, None, "exact")
        for n in range(4)
        for who in (party.host, party.guest)
    ]
    await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)
    everything = {"user_ids": None, "from_ms": 0, "to_ms": now_ms() + HOUR_MS, "limit": 100}
    found = await sessions.track(gateway, party.id, **everything)
    assert [(row.at_ms, row.lat, row.lon, row.accuracy_m) for row in found if row.user_id == party.host] == [
        (at + 5100 * n, 37.0 + n, 127.0, None) for n in range(4)
    ]
    assert [row.at_ms for row in found] == sorted(row.at_ms for row in found)
    one = await sessions.track(gateway, party.id, **(everything | {"user_ids": [party.guest]}))
    assert {row.user_id for row in one} == {party.guest}
    assert await sessions.track(gateway, party.id, **(everything | {"user_ids": []})) == []
    assert len(await sessions.track(gateway, party.id, **(everything | {"limit": 3}))) == 3
    between = everything | {"from_ms": at + 5100, "to_ms": at + 10_199}
    assert {row.at_ms for row in await sessions.track(gateway, party.id, **between)} == {at + 5100}
    assert await sessions.track(gateway, 404, **everything) == []
    for wrong in ({"limit": 0}, {"limit": 10**9}, {"to_ms": 10**18}):
        with pytest.raises(ValueError, match=r"limit|epoch"):
            await sessions.track(gateway, party.id, **(everything | wrong))


async def test_a_track_has_nothing_of_who_is_private_now(gateway, writer, party):
    row = positions.pack_row(party.id, party.guest, window(), 0, 37.0, 127.0, 5.0, "exact")
    await positions.commit_rows(writer, [row], shard=party.shard, ttl_hours=TTL_HOURS)
    span = {"user_ids": None, "from_ms": 0, "to_ms": now_ms() + HOUR_MS, "limit": 10}
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    [kept] = await sessions.track(gateway, party.id, **span)
    assert kept.precision is Precision.EXACT  # as stored: the gateway makes it rough
    await sessions.set_member_precision(gateway, party.id, party.guest, Precision.PRIVATE)
    assert await sessions.track(gateway, party.id, **span) == []


async def test_no_name_and_no_place_in_a_repr(gateway, party):
    [host, _] = await sessions.members(gateway, party.id)
    assert "Host" not in repr(host)
    row = sessions.TrackRow(1, 2, 37.123, 127.456, 5.0, Precision.EXACT)
    assert "37.123" not in repr(row)
    with pytest.raises(AttributeError):
        host.display_name = "other"
    assert msgspec.structs.asdict(host)["display_name"] == "Host"
