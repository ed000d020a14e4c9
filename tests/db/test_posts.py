"""Posts: the doodle rule (150 m), and bad input to the product's tables, which gets a constraint's name."""

from __future__ import annotations

import asyncpg
import pytest

from db.violations import sentence_of
from tests.db.test_search import haversine, step

HERE = (126.9780, 37.5665)
INSERT = (
    "INSERT INTO posts (user_id, type, body, expires_at, geofence) VALUES ($1, $2, 'here', "
    "CASE WHEN $2 = 'doodle' THEN now() + interval '1 day' END, ST_SetSRID(ST_MakePoint($3, $4), 4326)) "
    "RETURNING id, created_at"
)


@pytest.fixture
async def me(superuser):
    return await superuser.fetchval("INSERT INTO users DEFAULT VALUES RETURNING id")


@pytest.fixture
async def backend(login, me):
    connection = await login("backend")
    await connection.execute(f"SET partyline.user_id = '{me}'")
    return connection


async def stand(connection, place):
    text = place if isinstance(place, str) else "{:.12f} {:.12f}".format(*place)
    await connection.execute("SELECT set_config('partyline.author_place', $1, false)", text)


async def leave(connection, me, at, kind="doodle"):
    return await connection.fetchrow(INSERT, me, kind, *at)


@pytest.mark.parametrize("bearing", [0.0, 0.8, 1.57, 3.1, 4.0])
async def test_a_doodle_lies_within_150_m_of_its_author(backend, me, bearing):
    await stand(backend, HERE)
    for metres in (0.0, 75.0, 149.9):
        at = step(HERE, metres, bearing)
        assert haversine(HERE, at) <= 150
        await leave(backend, me, at)
    for metres in (150.1, 1_000.0):
        with pytest.raises(asyncpg.CheckViolationError, match="within 150 m") as refused:
            await leave(backend, me, step(HERE, metres, bearing))
        assert refused.value.constraint_name == "posts_doodle_within_fence"
        assert refused.value.table_name == "posts"


async def test_the_rule_holds_across_the_date_line(backend, me):
    edge = (179.9995, -16.5)
    await stand(backend, edge)
    across = step(edge, 149.0, 1.57)
    assert across[0] < 0
    await leave(backend, me, across)
    with pytest.raises(asyncpg.CheckViolationError):
        await leave(backend, me, step(edge, 151.0, 1.57))


@pytest.mark.parametrize(
    "bad", ["", "126.978", "126.978,37.5665", "x y", "NaN 37", "1e2 37", "126.978 37.5665 0", "' OR 1 --"]
)
async def test_without_the_authors_place_there_is_no_doodle(backend, me, bad):
    await stand(backend, bad)
    with pytest.raises(asyncpg.CheckViolationError, match=r"set partyline\.author_place") as refused:
        await leave(backend, me, HERE)
    assert refused.value.constraint_name == "posts_doodle_needs_place"
    if bad:
        assert bad not in str(refused.value)


async def test_a_connection_that_never_said_it_has_no_place(backend, me):
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await leave(backend, me, HERE)
    assert refused.value.constraint_name == "posts_doodle_needs_place"


async def test_the_place_is_the_transactions(backend, me):
    async with backend.transaction():
        await backend.execute("SELECT set_config('partyline.author_place', '126.978 37.5665', true)")
        await leave(backend, me, HERE)
    with pytest.raises(asyncpg.CheckViolationError):
        await leave(backend, me, HERE)


async def test_a_doodle_without_a_fence_is_refused_and_a_review_needs_none(backend, me):
    await stand(backend, HERE)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await leave(backend, me, (None, None))
    assert refused.value.constraint_name == "posts_doodle_has_fence"
    await stand(backend, "")
    await leave(backend, me, (None, None), "review")
    await leave(backend, me, step(HERE, 9_000, 1.0), "review")


async def test_a_doodle_is_moved_only_to_where_its_author_is(backend, superuser, me):
    await stand(backend, HERE)
    post = await leave(backend, me, HERE)
    await backend.execute("UPDATE posts SET body = 'other words' WHERE id = $1", post["id"])
    move = "UPDATE posts SET geofence = ST_SetSRID(ST_MakePoint($2, $3), 4326) WHERE id = $1"
    await backend.execute(move, post["id"], *step(HERE, 149.0, 2.0))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await backend.execute(move, post["id"], *step(HERE, 400.0, 2.0))
    assert refused.value.constraint_name == "posts_doodle_within_fence"
    await stand(backend, "")
    await backend.execute("UPDATE posts SET body = 'still there' WHERE id = $1", post["id"])
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await backend.execute(move, post["id"], *HERE)
    assert refused.value.constraint_name == "posts_doodle_needs_place"
    review = await leave(backend, me, step(HERE, 9_000, 1.0), "review")
    with pytest.raises(asyncpg.CheckViolationError):  # by the back door
        await superuser.execute(
            "UPDATE posts SET type = 'doodle', expires_at = now() + interval '1 day' WHERE id = $1",
            review["id"],
        )


async def test_where_the_author_stood_is_kept_nowhere_and_told_to_nobody(backend, superuser, me):
    secret = "126.9793217 37.5661234"
    await stand(backend, secret)
    await leave(backend, me, HERE)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await leave(backend, me, step(HERE, 9_000, 1.0))
    everything = " ".join(str(part) for part in refused.value.as_dict().values())
    assert "126.9793" not in everything
    assert "37.566" not in everything
    rows = await superuser.fetch("SELECT posts::text AS row, ST_AsText(geofence) AS fence FROM posts")
    assert len(rows) == 1
    hexes = await superuser.fetchval("SELECT ST_SetSRID(ST_MakePoint(126.9793217, 37.5661234), 4326)::text")
    assert all("126.9793" not in str(dict(row)) and hexes not in row["row"] for row in rows)


# --- bad input to the other tables ------------------------------------------------------------------


@pytest.fixture
async def trip(superuser):
    trip = await superuser.fetchval("INSERT INTO trips (duration_min, mode) VALUES (60, 'walk') RETURNING id")
    place = await superuser.fetchval(
        "INSERT INTO places (name, category, geo) VALUES ('x', 'cafe', ST_SetSRID(ST_MakePoint(127, 37), 4326)) RETURNING id"
    )
    await superuser.execute(
        "INSERT INTO trip_nodes (trip_id, place_id, sequence) SELECT $1, $2, n FROM generate_series(1, 4) n",
        trip,
        place,
    )
    return trip


async def test_a_repeated_sequence_is_refused_and_nothing_is_half_done(superuser, trip):
    repeat = "INSERT INTO trip_nodes (trip_id, place_id, sequence) SELECT $1, min(id), n FROM places, unnest(ARRAY[5, 3]) n GROUP BY n"
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await superuser.execute(repeat, trip)
    assert refused.value.constraint_name == "trip_nodes_sequence_key"
    assert (
        sentence_of(refused.value.constraint_name) == "two stops of a trip have the same place in its order"
    )
    assert await superuser.fetchval("SELECT count(*) FROM trip_nodes") == 4


async def test_one_statement_changes_the_order(superuser, trip):
    before = [row["id"] for row in await superuser.fetch("SELECT id FROM trip_nodes ORDER BY sequence")]
    await superuser.execute("UPDATE trip_nodes SET sequence = 5 - sequence WHERE trip_id = $1", trip)
    after = [row["id"] for row in await superuser.fetch("SELECT id FROM trip_nodes ORDER BY sequence")]
    assert after == before[::-1]


@pytest.mark.parametrize("rating", [0, 4, -1, 100])
async def test_a_rating_is_1_to_3(superuser, trip, rating):
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await superuser.execute("INSERT INTO feedback (trip_id, rating) VALUES ($1, $2)", trip, rating)
    assert refused.value.constraint_name == "feedback_rating_range"
    assert sentence_of("feedback_rating_range") == "a rating is 1, 2 or 3"


@pytest.mark.parametrize("table", ["posts", "feedback"])
async def test_a_partition_that_overlaps_is_refused_and_nothing_is_half_done(superuser, table):
    count = "SELECT count(*) FROM pg_class WHERE relname LIKE $1"
    before = await superuser.fetchval(count, f"{table}%")
    with pytest.raises(asyncpg.InvalidObjectDefinitionError, match="would overlap partition"):
        await superuser.execute(
            f"CREATE TABLE {table}_twice PARTITION OF {table} FOR VALUES FROM "
            f"('{await superuser.fetchval('SELECT (now() - interval $$40 days$$)::date')}') TO "
            f"('{await superuser.fetchval('SELECT (now() + interval $$1 day$$)::date')}')"
        )
    assert await superuser.fetchval(count, f"{table}%") == before


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO posts (type, body, created_at) VALUES ('review', 'x', '2001-01-01')",
        "INSERT INTO feedback (trip_id, rating, submitted_at) SELECT id, 1, '2001-01-01' FROM trips",
    ],
)
async def test_a_month_without_a_partition_is_a_clear_error(superuser, trip, insert):
    with pytest.raises(asyncpg.CheckViolationError, match="no partition of relation"):
        await superuser.execute(insert)
