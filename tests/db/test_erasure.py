"""Erasure (G7): no trace of a user stays, and what was on its way does not bring them back."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from db import positions, sessions
from protocol.messages import Reject
from protocol.precision import Precision
from tests.db.conftest import HOUR_MS, TTL_HOURS, digest, make_party, now_ms, window


def row(party, who, *, ago_ms=0):
    return positions.pack_row(party.id, who, window(ago_ms), 0, 37.5, 127.0, 8.0, "exact")


async def erase(gateway, user):
    """All of it but Redis, as the gateway does it."""
    erasure = await sessions.erase_user(gateway, user)
    await sessions.carry_on_erasure(gateway, erasure.receipt)
    return erasure, await sessions.finish_erasure(gateway, erasure.receipt, 0)


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
    erased, receipt = await erase(gateway, user)
    assert erased.session_ids == sorted(party.id for party in parties)
    assert erased.ended_session_ids == []
    assert (receipt.sessions, receipt.positions_deleted) == (3, 12)
    assert await superuser.fetchval("SELECT count(*) FROM party_positions WHERE user_id = $1", user) == 0
    assert await superuser.fetchval("SELECT count(*) FROM party_positions") == 12


async def test_what_names_the_person_is_gone(gateway, superuser, party):
    await superuser.execute(
        "UPDATE users SET email = 'someone@somewhere.example', password_hash = 'argon', locale = 'ko-KR', "
        "onboarded_at = now(), time_budget_min = 90, budget_band = 'low', mobility_mode = 'walk', "
        'preferences = \'{"mood": "quiet"}\', push_opt_in = true WHERE id = $1',
        party.guest,
    )
    await erase(gateway, party.guest)
    _, member = await sessions.members(gateway, party.id)
    assert await superuser.fetchval("SELECT count(*) FROM users WHERE id = $1", party.guest) == 0
    assert member.user_id > party.guest, "a number that nobody had"
    user = dict(await superuser.fetchrow("SELECT * FROM users WHERE id = $1", member.user_id))
    assert user.pop("erased_at") is not None
    assert user.pop("created_at") is not None
    assert {key: value for key, value in user.items() if value} == {
        "id": member.user_id,
        "preferences": "{}",
        "privacy_level": "private",
    }
    for table in ("users", "party_members", "party_sessions", "party_positions"):
        text = await superuser.fetchval(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
        assert "someone" not in text
        assert "Guest" not in text
    assert (member.display_name, member.privacy_level) == ("", Precision.PRIVATE)
    assert member.left_at_ms is not None
    assert await sessions.session_of_member_token(gateway, party.guest_token) is None
    assert not await sessions.find_user(gateway, party.guest)


async def test_the_sessions_of_an_erased_host_end(gateway, party):
    other = await make_party(gateway, name="other")
    before = await sessions.find_session(gateway, party.id)
    erased, receipt = await erase(gateway, party.host)
    assert (receipt.sessions, receipt.sessions_ended) == (1, 1)
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
    await erase(gateway, party.guest)
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
        await asyncio.gather(joining, erase(gateway, user), return_exceptions=True)
        assert await superuser.fetchval("SELECT count(*) FROM party_members WHERE user_id = $1", user) == 0
    assert await superuser.fetchval("SELECT count(*) FROM party_members WHERE display_name = 'Racer'") == 0


async def test_twice_does_no_harm(gateway, superuser, party):
    erasure = await sessions.erase_user(gateway, party.host)
    with pytest.raises(sessions.NoSuchUser):  # half-way
        await sessions.erase_user(gateway, party.host)
    for _ in range(2):
        await sessions.carry_on_erasure(gateway, erasure.receipt)
    receipts = [await sessions.finish_erasure(gateway, erasure.receipt, 0) for _ in range(2)]
    assert receipts[0] == receipts[1]
    with pytest.raises(sessions.NoSuchUser):  # afterwards
        await sessions.erase_user(gateway, party.host)
    assert await superuser.fetchval("SELECT count(*) FROM erasure_receipts") == 1


async def test_two_at_once_are_one(login, gateway, superuser, party):
    second = await login("gateway")
    outcomes = await asyncio.gather(
        *(sessions.erase_user(connection, party.guest) for connection in (gateway, second)),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Erasure", "NoSuchUser"]
    assert await superuser.fetchval("SELECT count(*) FROM erasure_receipts") == 1


async def test_nobody_cannot_be_erased(gateway):
    with pytest.raises(sessions.NoSuchUser):
        await sessions.erase_user(gateway, 404)


async def test_the_anonymous_cannot_be_given_a_face(gateway, superuser, party):
    await erase(gateway, party.guest)
    with pytest.raises(Exception, match="users_erased_is_anonymous"):
        await superuser.execute("UPDATE users SET email = 'a@b.example' WHERE erased_at IS NOT NULL")


# --- what the product holds of them ------------------------------------------------------------------


class Author:
    """A person with one of everything, and a place that nobody else has anything at."""

    EMAIL = "mina.author@somewhere.example"

    async def live(self, superuser, user):
        self.id = user
        self.place = await superuser.fetchval(
            "INSERT INTO places (name, category, geo) VALUES ('Cafe', 'cafe', 'SRID=4326;POINT(127 37.5)') RETURNING id"
        )
        await superuser.execute(
            "UPDATE users SET email = $2, preference_embedding = array_fill(0.5, ARRAY[384])::vector WHERE id = $1",
            user,
            self.EMAIL,
        )
        self.posts = {
            name: await self.post(superuser, **columns)
            for name, columns in {
                "public": {"body": "Good coffee", "geofence": "SRID=4326;POINT(127.1234567 37.7654321)"},
                "private": {"body": "Mine", "visibility": "private"},
                "pending": {"body": "Not yet seen", "status": "pending"},
                "hidden": {"body": "Not any more", "status": "hidden"},
                "signed": {"body": f"Write to {self.EMAIL.upper()}!"},
                "doodle": {"body": "I was here", "type": "doodle", "geofence": "SRID=4326;POINT(127 37.5)"},
            }.items()
        }
        self.trip = await superuser.fetchval(
            "INSERT INTO trips (user_id, duration_min, mode) VALUES ($1, 60, 'walk') RETURNING id", user
        )
        self.node = await superuser.fetchval(
            "INSERT INTO trip_nodes (trip_id, place_id, sequence, notes, eta) "
            "VALUES ($1, $2, 1, 'meet Mina', now()) RETURNING id",
            self.trip,
            self.place,
        )
        await superuser.execute(
            "INSERT INTO feedback (trip_id, trip_node_id, user_id, rating, comments, stay_actual_min) "
            "VALUES ($1, $2, $3, 2, 'I, Mina, liked it', 30)",
            self.trip,
            self.node,
            user,
        )
        await superuser.execute(
            "WITH m AS (INSERT INTO missions (title) VALUES ('Walk') RETURNING id) "
            'INSERT INTO mission_assignments (user_id, mission_id, result_metadata) SELECT $1, id, \'{"by": "Mina"}\' FROM m',
            user,
        )
        await superuser.execute(
            "INSERT INTO feature_store.user_trip_features VALUES ($1, now(), 'v1', '{\"quiet\": 1}')", user
        )
        return self

    async def post(
        self, superuser, *, body, type="review", visibility="public", status="published", geofence=None
    ):
        async with superuser.transaction():
            await superuser.execute("SET LOCAL partyline.author_place = '127 37.5'")
            return await superuser.fetchval(
                "INSERT INTO posts (user_id, place_id, type, body, visibility, status, geofence, media_urls, expires_at) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7::text::geometry, '[\"https://media.example/mina.jpg\"]', "
                "CASE $3 WHEN 'doodle' THEN now() + INTERVAL '1 day' END) RETURNING id",
                self.id,
                self.place,
                type,
                body,
                visibility,
                status,
                geofence,
            )


async def everything(superuser):
    """Every row of every table, partitions too, as text."""
    tables = await superuser.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') "
        "AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
    )
    kept = []
    for table in tables:
        for record in await superuser.fetch(f"SELECT t::text AS row FROM {table['name']} t"):
            kept.append(f"{table['name']} {record['row']}")
    return kept


async def test_what_they_wrote_loses_them(gateway, superuser, party):
    await superuser.execute("ALTER TABLE users ALTER id RESTART WITH 7340033817")
    author = await Author().live(superuser, await sessions.create_guest(gateway))
    _, receipt = await erase(gateway, author.id)
    posts = await superuser.fetch("SELECT * FROM posts")
    assert [post["id"] for post in posts] == [author.posts["public"]]
    (post,) = posts
    assert (post["user_id"], post["body"], post["place_id"]) == (None, "Good coffee", author.place)
    assert (post["media_urls"], post["geofence"]) == ("[]", None)
    said = await superuser.fetchrow("SELECT * FROM feedback")
    assert (said["user_id"], said["comments"], said["rating"], said["stay_actual_min"]) == (None, None, 2, 30)
    node = await superuser.fetchrow("SELECT * FROM trip_nodes")
    assert (node["trip_id"], node["notes"], node["eta"]) == (author.trip, None, None)
    assert await superuser.fetchval("SELECT count(*) FROM mission_assignments") == 0
    assert await superuser.fetchval("SELECT count(*) FROM feature_store.user_trip_features") == 0
    kept = await everything(superuser)
    for trace in (str(author.id), Author.EMAIL, Author.EMAIL.upper(), "Mina", "mina", "0,0.5,0.5"):
        assert not [row for row in kept if trace in row], trace
    assert (receipt.posts_deleted, receipt.posts_kept, receipt.feedback_kept, receipt.trips_kept) == (
        5,
        1,
        1,
        1,
    )
    assert (receipt.missions_deleted, receipt.features_deleted) == (1, 1)


async def test_the_search_for_what_they_wrote_can_find(gateway, superuser, party):
    await superuser.execute("ALTER TABLE users ALTER id RESTART WITH 7340033817")
    author = await Author().live(superuser, await sessions.create_guest(gateway))
    kept = await everything(superuser)
    for trace in (str(author.id), Author.EMAIL, Author.EMAIL.upper(), "Mina", "mina"):
        assert [row for row in kept if trace in row], trace


async def test_a_trip_of_the_erased_is_not_shown_to_all(login, gateway, superuser, party):
    author = await Author().live(superuser, party.guest)
    await erase(gateway, author.id)
    assert await (await login("reader")).fetch("SELECT * FROM trips") == []
    assert await (await login("reader")).fetch("SELECT * FROM trip_nodes") == []
    assert len(await (await login("analyst")).fetch("SELECT id FROM trips")) == 1


async def test_nobody_can_write_for_them_afterwards(login, gateway, superuser, party):
    backend = await login("backend")
    await backend.execute("SELECT set_config('partyline.user_id', $1, false)", str(party.guest))
    writing = "INSERT INTO posts (user_id, type, body) VALUES ($1, 'review', 'Still here')"
    await backend.execute(writing, party.guest)
    erasure = await sessions.erase_user(gateway, party.guest)
    await backend.execute(writing, party.guest)  # half-way it may, and goes as well
    await sessions.carry_on_erasure(gateway, erasure.receipt)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await backend.execute(writing, party.guest)
    assert await superuser.fetchval("SELECT count(*) FROM posts") == 0


# --- the receipt, and what must be finished ----------------------------------------------------------


async def test_a_receipt_names_nobody_and_nobody_changes_it(login, gateway, superuser, party):
    _, receipt = await erase(gateway, party.guest)
    columns = {
        row["attname"]
        for row in await superuser.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'erasure_receipts'::regclass AND attnum > 0"
        )
    }
    numbers = {name for name in columns if name.startswith(("sessions", "posts", "feedback", "trips"))}
    assert columns - numbers == {
        *("id", "erased_at", "finished_at", "positions_deleted", "redis_rows_deleted"),
        *("missions_deleted", "features_deleted"),
    }
    seen = await (await login("analyst")).fetch("SELECT id, finished_at FROM erasure_receipts")
    assert [row["id"] for row in seen] == [receipt.id]
    assert receipt.finished_at_ms >= receipt.erased_at_ms
    assert receipt.id.version == 4
    for name in ("gateway", "writer", "keeper", "reader", "backend", "analyst", "migrator"):
        role = await login(name)
        for statement in (
            "UPDATE erasure_receipts SET positions_deleted = 0",
            "DELETE FROM erasure_receipts",
            "INSERT INTO erasure_receipts (erased_at, sessions, sessions_ended) VALUES (now(), 0, 0)",
            "SELECT * FROM erasures_pending",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await role.execute(statement)


async def test_who_it_was_is_known_only_until_it_is_finished(gateway, superuser, party):
    erasure = await sessions.erase_user(gateway, party.guest)
    assert await sessions.unfinished_erasures(gateway, 3600) == []
    assert await sessions.unfinished_erasures(gateway, 0) == [erasure]
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="carry_on_erasure"):
        await sessions.finish_erasure(gateway, erasure.receipt, 0)
    await sessions.carry_on_erasure(gateway, erasure.receipt)
    assert (await sessions.finish_erasure(gateway, erasure.receipt, 7)).redis_rows_deleted == 7
    assert await sessions.unfinished_erasures(gateway, 0) == []
    assert await superuser.fetchval("SELECT count(*) FROM erasures_pending") == 0
    assert str(party.guest) not in repr(erasure).replace(str(erasure.receipt), "")


async def test_somebody_else_goes_on_where_the_first_died(login, gateway, writer, superuser, party):
    other = await make_party(gateway, name="other")
    await sessions.join(
        gateway,
        digest=other.token,
        user_id=party.guest,
        display_name="Same person",
        member_digest=digest("again"),
        precision=Precision.EXACT,
        now_ms=now_ms(),
    )
    for one in (party, other):
        await commit(writer, one, row(one, party.guest))
    erasure = await sessions.erase_user(gateway, party.guest)
    dying = await login("gateway")
    transaction = dying.transaction()
    await transaction.start()
    await dying.execute("SELECT carry_on_erasure($1)", erasure.receipt)
    await transaction.rollback()
    (left,) = await sessions.unfinished_erasures(gateway, 0)
    await sessions.carry_on_erasure(gateway, left.receipt)
    assert await superuser.fetchval("SELECT count(*) FROM party_positions") == 0
    assert (await sessions.finish_erasure(gateway, left.receipt, 0)).positions_deleted == 2


# --- locks -------------------------------------------------------------------------------------------


async def test_the_fences_are_free_while_positions_are_deleted(login, gateway, writer, superuser, party):
    """Somebody holds a row of theirs: the deletion waits, and every writer goes on."""
    await commit(writer, party, row(party, party.guest))
    erasure = await sessions.erase_user(gateway, party.guest)
    blocker = await login("writer")
    async with superuser.transaction():
        await superuser.execute("SELECT FROM party_positions FOR UPDATE")
        deleting = asyncio.create_task(sessions.carry_on_erasure(await login("gateway"), erasure.receipt))
        await waits_for_a_lock(await login("gateway"), deleting)
        assert (await commit(blocker, party, row(party, party.host))).inserted == 1
        await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
        assert not deleting.done()
    await deleting
    assert await superuser.fetchval("SELECT count(*) FROM party_positions") == 1


async def test_a_slow_backend_holds_up_no_writer(login, gateway, writer, superuser, party):
    """Their profile is being changed: the erasure waits for that without the fences."""
    async with superuser.transaction():
        await superuser.execute("UPDATE users SET locale = 'ko' WHERE id = $1", party.guest)
        erasing = asyncio.create_task(sessions.erase_user(await login("gateway"), party.guest))
        await waits_for_a_lock(gateway, erasing)
        assert (await commit(writer, party, row(party, party.guest))).inserted == 1
        assert not erasing.done()
    await erasing


async def waits_for_a_lock(connection, task):
    """Returns once somebody waits for a lock on a row."""
    async with asyncio.timeout(20):
        while not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')"
        ):
            assert not task.done()
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_everything_at_once_never_waits_in_a_circle(login, gateway, superuser):
    """Joins, choices, tightenings, rows, posts and erasures in an order that is drawn; nothing comes back."""
    draw = random.Random(16)
    parties = [await make_party(gateway, name=f"p{n}") for n in range(4)]
    users = [await sessions.create_guest(gateway) for _ in range(24)]
    erased = set()

    async def join(connections, party, user):
        await sessions.join(
            connections[0],
            digest=party.token,
            user_id=user,
            display_name="Crowd",
            member_digest=digest(str(draw.random())),
            precision=Precision.EXACT,
            now_ms=now_ms(),
        )

    async def tighten(connections, party, user):
        await sessions.set_session_precision(connections[0], party.id, draw.choice(list(Precision)))

    async def choose(connections, party, user):
        await sessions.set_member_precision(connections[0], party.id, user, Precision.ROUGH)

    async def leave(connections, party, user):
        await sessions.leave(connections[0], party.id, user)

    async def write(connections, party, user):
        ago_ms = 5000 * draw.randrange(1000)
        await commit(connections[1], party, *(row(party, who, ago_ms=ago_ms) for who in users))

    async def plan(connections, party, user):
        """In another order of locks than the erasure's: PostgreSQL may have to end one of the two."""
        backend = connections[2]
        await backend.execute("SELECT set_config('partyline.user_id', $1, false)", str(user))
        async with backend.transaction():
            await backend.execute("UPDATE trips SET duration_min = 61 WHERE user_id = $1", user)
            await backend.execute(
                "INSERT INTO trips (user_id, duration_min, mode) VALUES ($1, 9, 'walk')", user
            )
            await backend.execute("UPDATE users SET locale = 'ko' WHERE id = $1", user)

    async def forget(connections, party, user):
        await erase(connections[0], user)
        erased.add(user)

    async def work(connections):
        for _ in range(60):
            act = draw.choice([join, join, tighten, choose, leave, write, write, plan, plan, forget])
            try:
                await act(connections, draw.choice(parties), draw.choice(users))
            except asyncpg.DeadlockDetectedError:
                assert act is plan
            except (LookupError, sessions.JoinRefused, asyncpg.ForeignKeyViolationError):
                continue  # somebody was erased a moment ago

    three = [[await login(role) for role in ("gateway", "writer", "backend")] for _ in range(6)]
    await asyncio.gather(*map(work, three))
    assert len(erased) > 12
    for table in ("party_positions", "party_members", "trips", "posts"):
        count = f"SELECT count(*) FROM {table} WHERE user_id = ANY ($1)"
        assert await superuser.fetchval(count, list(erased)) == 0, table
    assert await superuser.fetchval("SELECT count(*) FROM users WHERE id = ANY ($1)", list(erased)) == 0
    assert await superuser.fetchval("SELECT count(*) FROM erasures_pending") == 0
