"""Who sees what of the product's tables: one's own, what is public, and nobody's name; months included."""

from __future__ import annotations

import asyncpg
import pytest

NAMES = ("migrator", "gateway", "writer", "keeper", "reader", "backend", "analyst")
ANA_MAIL = "ana@trips.example"


@pytest.fixture
async def backend(login):
    return await login("backend")


@pytest.fixture
async def analyst(login):
    return await login("analyst")


async def act_for(connection, user):
    """What the backend does first in each transaction; here for the whole connection."""
    await connection.execute("SELECT set_config('partyline.user_id', $1, false)", str(user or ""))


@pytest.fixture
async def people(backend):
    """Ana and Ben, with accounts."""
    return [
        await backend.fetchval("SELECT create_account($1, 'argon2id$…', 'ko-KR')", mail)
        for mail in (ANA_MAIL, "ben@trips.example")
    ]


@pytest.fixture
async def place(superuser):
    return await superuser.fetchval(
        "INSERT INTO places (name, category, geo) VALUES ('Café', 'cafe', 'SRID=4326;POINT(127 37.5)') RETURNING id"
    )


async def write_review(backend, body, **more):
    values = {"visibility": "public", **more}
    return await backend.fetchrow(
        "INSERT INTO posts (user_id, type, body, visibility) VALUES (acting_user(), 'review', $1, $2) "
        "RETURNING id, created_at",
        body,
        values["visibility"],
    )


async def bodies(connection):
    return sorted(row["body"] for row in await connection.fetch("SELECT body FROM posts"))


async def test_an_email_is_seen_by_its_owner_alone(backend, reader, analyst, people):
    ana, ben = people
    for connection in (backend, reader):
        assert await connection.fetch("SELECT email FROM my_account") == []
        await act_for(connection, ana)
        assert await connection.fetchval("SELECT email FROM my_account") == ANA_MAIL
        assert [row["id"] for row in await connection.fetch("SELECT id FROM users")] == [ana]
        await act_for(connection, ben)
        assert ANA_MAIL not in str(await connection.fetch("SELECT * FROM my_account"))
    shown = str(await analyst.fetch("SELECT * FROM users_masked"))
    assert "trips.example" not in shown
    assert "'ko'" in shown


async def test_a_leaky_condition_does_not_look_behind_the_account(backend, people):
    await act_for(backend, people[1])
    # It would divide by zero on Ana's row.
    found = await backend.fetch("SELECT 1 FROM my_account WHERE 1 / (position('ana' IN email) - 1) < 0")
    assert len(found) == 1


async def test_a_login_is_found_by_its_email_and_the_erased_are_not(backend, gateway, people):
    found = await backend.fetchrow("SELECT * FROM find_login($1)", ANA_MAIL.upper())
    assert (found["user_id"], found["password_hash"]) == (people[0], "argon2id$…")
    await gateway.fetch("SELECT * FROM erase_user($1)", people[0])
    assert (await backend.fetchrow("SELECT * FROM find_login($1)", ANA_MAIL))["user_id"] is None


async def test_two_accounts_have_not_one_email(backend, people):
    with pytest.raises(asyncpg.UniqueViolationError) as caught:
        await backend.fetchval("SELECT create_account($1, 'x')", ANA_MAIL.upper())
    assert caught.value.constraint_name == "users_email_key"


async def test_one_changes_oneself_and_nobody_else(backend, superuser, people):
    ana, ben = people
    await act_for(backend, ana)
    assert await backend.execute("UPDATE users SET locale = 'en'") == "UPDATE 1"
    assert await superuser.fetchval("SELECT locale FROM users WHERE id = $1", ben) == "ko-KR"
    await act_for(backend, None)
    assert await backend.execute("UPDATE users SET locale = 'fr'") == "UPDATE 0"


async def test_a_person_that_is_no_number_is_an_error_and_not_everybody(backend, people):
    await backend.execute("SELECT set_config('partyline.user_id', 'everybody', false)")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await backend.fetch("SELECT id FROM users")


async def test_posts_are_seen_when_published_public_and_in_time(backend, reader, analyst, people, superuser):
    ana, ben = people
    await act_for(backend, ana)
    await write_review(backend, "pending")
    shown = await write_review(backend, "published")
    own = await write_review(backend, "for myself", visibility="private")
    for post in (shown, own):
        assert await backend.fetchval("SELECT moderate_post($1, $2, 'published')", *post)
    assert await bodies(backend) == ["for myself", "pending", "published"]
    await act_for(backend, ben)
    assert await bodies(backend) == ["published"]
    assert await bodies(reader) == ["published"]
    assert await bodies(analyst) == ["published"]
    await act_for(reader, ana)
    assert await bodies(reader) == ["for myself", "pending", "published"]
    await superuser.execute(
        "INSERT INTO posts (type, body, status, geofence, created_at, expires_at) SELECT 'doodle', 'late', "
        "'published', 'SRID=4326;POINT(127 37.5)', now() - interval '2 hours', now() - interval '1 hour' "
        "FROM set_config('partyline.author_place', '127 37.5', true)"
    )
    assert "late" not in await bodies(analyst)


async def test_nobody_writes_for_somebody_else(backend, people, place):
    ana, ben = people
    await act_for(backend, ana)
    trip = await backend.fetchval(
        "INSERT INTO trips (user_id, duration_min, mode) VALUES (acting_user(), 60, 'walk') RETURNING id"
    )
    await act_for(backend, ben)
    for statement in (
        f"INSERT INTO posts (user_id, type, body) VALUES ({ana}, 'review', 'x')",
        f"INSERT INTO trips (user_id, duration_min, mode) VALUES ({ana}, 60, 'walk')",
        f"INSERT INTO trip_nodes (trip_id, place_id, sequence) VALUES ({trip}, {place}, 1)",
        f"INSERT INTO feedback (trip_id, user_id, rating) VALUES ({trip}, {ana}, 3)",
        "INSERT INTO trips (duration_min, mode) VALUES (60, 'walk')",  # one that is recommended to all
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await backend.execute(statement)
    for statement in (
        f"UPDATE trips SET duration_min = 1 WHERE id = {trip}",
        f"DELETE FROM trips WHERE id = {trip}",
    ):
        assert (await backend.execute(statement)).endswith(" 0")


async def test_a_trip_is_seen_by_its_owner_and_a_recommended_one_by_all(
    backend, reader, analyst, people, place
):
    ana, ben = people
    recommended = await backend.fetchval(
        "INSERT INTO trips (duration_min, mode) VALUES (60, 'walk') RETURNING id"
    )
    await backend.execute(
        "INSERT INTO trip_nodes (trip_id, place_id, sequence, notes) VALUES ($1, $2, 1, 'all')",
        recommended,
        place,
    )
    await act_for(backend, ana)
    own = await backend.fetchval(
        "INSERT INTO trips (user_id, duration_min, mode) VALUES (acting_user(), 90, 'bike') RETURNING id"
    )
    await backend.execute(
        "INSERT INTO trip_nodes (trip_id, place_id, sequence, notes) VALUES ($1, $2, 1, 'mine')", own, place
    )
    stops = "SELECT trip_id FROM trip_nodes ORDER BY trip_id"
    assert [row[0] for row in await backend.fetch(stops)] == [recommended, own]
    await act_for(reader, ben)
    assert [row[0] for row in await reader.fetch(stops)] == [recommended]
    assert [row[0] for row in await reader.fetch("SELECT id FROM trips")] == [recommended]
    assert len(await analyst.fetch(stops)) == 2


async def test_feedback_and_missions_are_ones_own(backend, reader, analyst, people):
    ana, ben = people
    trip = await backend.fetchval("INSERT INTO trips (duration_min, mode) VALUES (60, 'walk') RETURNING id")
    mission = await backend.fetchval("INSERT INTO missions (title) VALUES ('Find the mural') RETURNING id")
    await act_for(backend, ana)
    await backend.execute(
        "INSERT INTO feedback (trip_id, user_id, rating, comments) VALUES ($1, acting_user(), 2, 'fine')",
        trip,
    )
    await backend.execute(
        "INSERT INTO mission_assignments (user_id, mission_id) VALUES (acting_user(), $1)", mission
    )
    for table in ("feedback", "mission_assignments"):
        count = f"SELECT count(*) FROM {table}"
        await act_for(reader, ben)
        assert await reader.fetchval(count) == 0
        await act_for(reader, ana)
        assert await reader.fetchval(count) == 1
        assert await backend.fetchval(count) == 1
        assert await analyst.fetchval(count.replace("*", "id")) == 1


async def test_nobody_reads_or_changes_a_month_past_the_policies(login, superuser):
    months = [
        row[0]
        for row in await superuser.fetch(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent IN ('posts'::regclass, 'feedback'::regclass)"
        )
    ]
    assert len(months) >= 26
    for name in NAMES:
        connection = await login(name)
        for month in (months[0], months[-1]):
            for statement in (f"SELECT * FROM {month}", f"DELETE FROM {month}", f"DROP TABLE {month}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(statement)
    granted = await superuser.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid, "
        "aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a "
        "WHERE i.inhparent IN ('posts'::regclass, 'feedback'::regclass) AND a.grantee <> c.relowner"
    )
    assert granted == []


async def test_months_keep_no_statistics_of_people(superuser):
    kept = await superuser.fetch(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_inherits i ON i.inhrelid = c.oid JOIN pg_attribute p ON p.attrelid = i.inhparent "
        "AND p.attname = a.attname AND p.attstattarget = 0 "
        "WHERE i.inhparent IN ('posts'::regclass, 'feedback'::regclass) AND a.attstattarget IS DISTINCT FROM 0"
    )
    assert kept == []


async def test_the_migrator_reads_nothing_until_it_becomes_an_owner(login):
    migrator = await login("migrator")
    assert await migrator.fetchval("SELECT version_num FROM alembic_version")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await migrator.fetch("SELECT * FROM users")
    await migrator.execute("SET ROLE partyline_owner")
    assert await migrator.fetch("SELECT * FROM users") == []


async def test_temporary_tables_are_the_maintenance_roles(login):
    for name in ("keeper", "writer"):  # the writer stages its batches
        await (await login(name)).execute("CREATE TEMPORARY TABLE mine (a integer)")
