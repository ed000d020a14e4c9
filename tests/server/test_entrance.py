"""Who comes in, by which token; everybody else gets a close code that says what to do next."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import jwt
import pytest

from db import sessions as store
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.precision import Precision
from server.tokens import digest
from tests.server.lives import SECRET, SEOUL, Closed, Life, Lives, member_of, now_ms, said, welcome


def user_token(user_id: int, **claims: Any) -> str:
    return jwt.encode({"sub": str(user_id), "exp": time.time() + 60, **claims}, SECRET, algorithm="HS256")


async def test_a_guest_joins_and_comes_back_by_the_member_token(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted, precision=Precision.ROUGH)
    first = welcome(ana)
    assert (first.session, first.you, first.role) == (hosted.id, 2, wire.Role.MEMBER)
    assert (first.precision, first.session_precision) == (Precision.ROUGH, Precision.EXACT)
    assert first.member_token not in (hosted.sharable, "")
    again = welcome(await life.resume(first.member_token))
    assert (again.you, again.member_token, again.precision) == (2, first.member_token, Precision.ROUGH)
    assert len(await store.members(life.pool, hosted.id)) == 2


async def test_what_a_connection_hears_when_it_enters(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    bo = await life.join(hosted, "Bo")
    assert [type(message) for message in bo.said()] == [wire.Welcome, wire.Policy]
    assert [m.name for m in said(ana, wire.Member)] == ["Bo"], "the others hear of it"


async def test_without_a_lease_a_welcome_has_no_positions(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    life.fix(ana, 1, now_ms())
    life.gateway.lease._until_ms = 0
    bo = await life.join(hosted, "Bo")
    assert welcome(bo).positions == []
    life.gateway.lease._until_ms = 2**62
    await asyncio.sleep(0.05)
    life.hub.run(now_ms() + 2_000)
    assert [tuple(row[2:4]) for frame in said(bo, wire.Positions) for row in frame.p] == [SEOUL]


@pytest.mark.parametrize("bearer", [False, True])
async def test_the_token_may_stand_in_the_handshake(life: Life, bearer: bool) -> None:
    hosted = await life.host()
    token = hosted.sharable
    ana = await life.say(wire.Join(name="Ana", token="" if bearer else token), token if bearer else "")
    member = welcome(ana).member_token
    again = await life.say(wire.Resume(token="" if bearer else member), member if bearer else "")
    assert welcome(again).you == 2
    assert again.connection.bearer == "", "kept longer than it is needed"


@pytest.mark.parametrize("where", ["bearer", "join.user"])
async def test_a_user_with_an_account_keeps_their_place(life: Life, where: str) -> None:
    hosted = await life.host()
    user_id = await store.create_guest(life.pool)
    token = user_token(user_id)
    for _ in range(2):
        if where == "bearer":
            socket = await life.say(wire.Join(name="Ana", token=hosted.sharable), token)
        else:
            socket = await life.say(wire.Join(name="Ana", token=hosted.sharable, user=token))
        assert welcome(socket).you == 2
        assert member_of(socket).user_id == user_id
    assert len(await store.members(life.pool, hosted.id)) == 2


@pytest.mark.parametrize("where", ["bearer", "join.user"])
async def test_a_guest_who_shows_a_member_token_is_the_same_person_with_the_same_mask(
    life: Life, where: str
) -> None:
    token, users, masks = "", set(), set()
    for _ in range(4):
        hosted = await life.host("rough")
        join = wire.Join(name="Ana", token=hosted.sharable, user=token if where == "join.user" else "")
        ana = await life.say(join, token if where == "bearer" else "")
        token = welcome(ana).member_token
        users.add(member_of(ana).user_id)
        masks.add(id(member_of(ana).masks))
        await life.steering.end(hosted.id, "over")
    assert (len(users), len(masks)) == (1, 1)


@pytest.mark.parametrize("why", ["unknown", "left", "kicked", "erased"])
async def test_a_member_token_that_leads_to_nobody_makes_a_new_guest(life: Life, why: str) -> None:
    first, second = await life.host(), await life.host()
    ana = await life.join(first)
    token, member = welcome(ana).member_token, member_of(ana)
    if why == "left":
        await store.leave(life.pool, first.id, member.user_id)
    elif why == "kicked":
        await store.kick(life.pool, first.id, member.number)
    elif why == "erased":
        await store.erase_user(life.pool, member.user_id)
    else:
        token = "nonsense"
    again = await life.join(second, user=token)
    assert welcome(again).you == 2
    assert member_of(again).user_id != member.user_id


async def test_the_host_s_account_is_the_host_by_the_invitation_too(life: Life) -> None:
    hosted = await life.host()
    socket = await life.say(
        wire.Join(name="Host", token=hosted.sharable, user=user_token(hosted.host_user_id))
    )
    assert (welcome(socket).you, member_of(socket).role) == (1, wire.Role.HOST)


async def refused(life: Life, message: Any, bearer: str = "") -> CloseCode:
    """The code that this first message is closed with."""
    socket = await life.say(message, bearer)
    assert socket.connection.member is None
    assert socket.closed_with is not None
    code = CloseCode(socket.closed_with)
    (error,) = socket.said()
    assert error == wire.Error(code=code.reason)
    assert socket.connection not in life.hub.connections
    return code


async def test_tokens_that_open_nothing(life: Life, superuser: asyncpg.Connection) -> None:
    hosted = await life.host()
    bad = CloseCode.BAD_TOKEN
    erased, gone = await store.create_guest(life.pool), await store.create_guest(life.pool)
    await store.erase_user(life.pool, erased)
    for token in ("", "nonsense", hosted.host_token, "x" * 4096, "a.b.c", "schön\x00"):
        assert await refused(life, wire.Join(name="Eve", token=token)) is bad
    for token in ("", "nonsense", hosted.sharable, "a.b.c", user_token(gone)):
        assert await refused(life, wire.Resume(token=token)) is bad
        assert await refused(life, wire.Resume(), token) is bad
    for user in (
        user_token(erased),
        user_token(2**62),
        user_token(gone, exp=1),
        user_token(gone)[:-2],
        user_token(gone, sub="0"),
        user_token(gone, sub="x"),
        "a.b.c",
    ):
        assert await refused(life, wire.Join(name="Eve", token=hosted.sharable, user=user)) is bad
    assert await refused(life, wire.Join(name="Eve", token=hosted.sharable), user_token(erased)) is bad
    assert len(await store.members(life.pool, hosted.id)) == 1


async def test_a_user_who_is_erased_while_they_join(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = await life.host()
    user_id = await store.create_guest(life.pool)
    find = store.find_user

    async def found_and_then_erased(*arguments: Any) -> bool:
        answer = await find(*arguments)
        await store.erase_user(life.pool, user_id)
        return answer

    monkeypatch.setattr("server.entrance.store.find_user", found_and_then_erased)
    join = wire.Join(name="Eve", token=hosted.sharable, user=user_token(user_id))
    assert await refused(life, join) is CloseCode.BAD_TOKEN


async def test_a_name_that_cannot_be_stored_is_a_bad_frame(life: Life) -> None:
    """Not `unavailable`, which would make the phone come again with the same name for ever."""
    hosted = await life.host()
    for name in ("a\x00b", "\x00"):
        assert await refused(life, wire.Join(name=name, token=hosted.sharable)) is CloseCode.BAD_FRAME


async def test_guests_come_in_only_where_they_are_allowed(live: Lives) -> None:
    life = await live(allow_guests=False)
    hosted = await life.host()
    join = wire.Join(name="Ana", token=hosted.sharable)
    assert await refused(life, join) is CloseCode.BAD_TOKEN
    assert await refused(life, join, hosted.host_token) is CloseCode.BAD_TOKEN, "a member token is no account"
    assert welcome(await life.say(join, user_token(await store.create_guest(life.pool)))).you == 2
    assert welcome(await life.resume(hosted.host_token)).you == 1


async def test_an_invitation_that_was_rotated_has_expired_or_is_used_up(life: Life) -> None:
    bad = CloseCode.BAD_TOKEN
    hosted = await life.host()
    member = welcome(await life.join(hosted)).member_token
    await life.steering.rotate(hosted.id, digest(f"new-{hosted.id}"))
    assert await refused(life, wire.Join(name="Eve", token=hosted.sharable)) is bad
    assert welcome(await life.say(wire.Join(name="Bo", token=f"new-{hosted.id}"))).you == 3
    assert welcome(await life.resume(member)).you == 2, "members stay"

    expired = await life.host(token_expires_at=now_ms() - 1)
    assert await refused(life, wire.Join(name="Eve", token=expired.sharable)) is bad
    assert welcome(await life.resume(expired.host_token)).you == 1

    once = await life.host(token_max_uses=1)
    user = user_token(await store.create_guest(life.pool))
    for _ in range(2):  # the second time they are known
        assert welcome(await life.say(wire.Join(name="Ana", token=once.sharable, user=user))).you == 2
    assert await refused(life, wire.Join(name="Eve", token=once.sharable)) is bad


async def test_one_place_and_many_who_want_it(life: Life) -> None:
    hosted = await life.host(max_members=3)
    sockets = await asyncio.gather(*(life.join(hosted, f"guest {n}") for n in range(8)))
    codes = [socket.closed_with for socket in sockets]
    assert codes.count(None) == 2
    assert codes.count(CloseCode.FULL) == 6
    assert len(await store.members(life.pool, hosted.id)) == 3


async def test_an_invitation_for_one_and_many_who_use_it_at_once(life: Life) -> None:
    hosted = await life.host(token_max_uses=1)
    sockets = await asyncio.gather(*(life.join(hosted, f"guest {n}") for n in range(8)))
    assert [socket.closed_with for socket in sockets].count(None) == 1


async def test_ended_kicked_left(life: Life) -> None:
    hosted = await life.host()
    user = user_token(await store.create_guest(life.pool))
    kicked = welcome(await life.say(wire.Join(name="Eve", token=hosted.sharable, user=user)))
    leaver = await life.join(hosted, "Bo")
    left = welcome(leaver)
    await life.steering.kick(hosted.id, kicked.you)
    await life.send(leaver, wire.Leave())
    assert await refused(life, wire.Resume(token=kicked.member_token)) is CloseCode.BAD_TOKEN
    assert await refused(life, wire.Resume(token=left.member_token)) is CloseCode.BAD_TOKEN
    assert await refused(life, wire.Join(name="Eve", token=hosted.sharable, user=user)) is CloseCode.KICKED
    assert welcome(await life.join(hosted, "Bo")).you == 4
    await life.steering.end(hosted.id, "over")
    assert await refused(life, wire.Join(name="Bo", token=hosted.sharable)) is CloseCode.ENDED
    assert await refused(life, wire.Resume(token=hosted.host_token)) is CloseCode.ENDED


async def test_a_connection_that_is_gone_before_the_lookup_ends_attaches_nothing(life: Life) -> None:
    hosted = await life.host()
    member = welcome(await life.join(hosted)).member_token
    for message in (wire.Join(name="Bo", token=hosted.sharable), wire.Resume(token=member)):
        socket = life.open()
        async with life.registry.lock(hosted.id):
            sent = asyncio.ensure_future(life.send(socket, message))
            await asyncio.sleep(0.05)
            socket.connection.lost()
        await sent
        assert socket.connection.member is None
        assert socket.said() == []
        assert socket.connection not in [m.connection for m in life.session(hosted).members.values()]
        assert socket.connection not in life.hub.connections
    assert "Bo" in [row.display_name for row in await store.members(life.pool, hosted.id)]


async def test_the_same_member_twice_replaces_the_older_connection(life: Life) -> None:
    hosted = await life.host()
    older = await life.join(hosted)
    token = welcome(older).member_token
    member = member_of(older)
    newer = await life.resume(token)
    assert older.closed_with == CloseCode.REPLACED
    assert newer.closed_with is None
    assert member.connection is newer.connection
    older.connection.lost()  # its end, heard of late, does not take the member offline
    assert (member.connection, member.state) == (newer.connection, wire.MemberState.LIVE)
    sockets = await asyncio.gather(*(life.resume(token) for _ in range(5)))
    assert [socket.closed_with for socket in sockets].count(None) == 1
    assert len(life.hub.connections) == 1


async def test_a_rotation_that_waits_for_a_join_and_the_other_way_round(life: Life) -> None:
    """Once `rotate` has returned, nobody comes in by the old token, not even who was waiting for the lock."""
    hosted = await life.host()
    async with life.registry.lock(hosted.id):
        joins = [asyncio.ensure_future(life.join(hosted, f"guest {n}")) for n in range(3)]
        await asyncio.sleep(0.05)
        await store.rotate_token(life.pool, hosted.id, digest(f"new-{hosted.id}"))
    assert {(await join).closed_with for join in joins} == {CloseCode.BAD_TOKEN}


async def test_coming_in_again_with_a_coarser_choice_leaves_nothing_finer(life: Life) -> None:
    hosted = await life.host()
    user = user_token(await store.create_guest(life.pool))
    ana = await life.say(wire.Join(name="Ana", token=hosted.sharable, user=user))
    life.fix(ana, 1, now_ms() - 6_000)
    await life.flush()
    again = await life.say(
        wire.Join(name="Ana", token=hosted.sharable, user=user, precision=Precision.PRIVATE)
    )
    assert welcome(again).positions == []
    assert not await life.redis.hlen(f"{{s:{hosted.id}}}:snap")
    assert welcome(await life.join(hosted, "Late")).positions == []


async def test_without_a_database_the_phone_is_told_to_come_again(live: Lives, party_database: str) -> None:
    life = await live()
    hosted = await life.host()
    async with Closed(party_database):
        assert await refused(life, wire.Join(name="Ana", token=hosted.sharable)) is CloseCode.UNAVAILABLE
        assert await refused(life, wire.Resume(token=hosted.host_token)) is CloseCode.UNAVAILABLE
    assert welcome(await life.resume(hosted.host_token)).you == 1


async def test_no_token_is_in_a_log(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    hosted = await life.host()
    secret = "a-very-secret-token"
    for message in (
        wire.Join(name="Eve", token=secret),
        wire.Resume(token=secret),
        wire.Join(name="E", user=secret),
    ):
        await refused(life, message)
        assert secret not in repr(message)
    await life.join(hosted)
    for word in (secret, hosted.sharable, hosted.host_token):
        assert word not in caplog.text
