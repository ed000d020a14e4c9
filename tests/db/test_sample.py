"""Sample data: the same seed, the same rows; it goes on where it stopped, and leaves what is real alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import psycopg
import pytest

from db.migrate import upgrade
from db.sample import loading
from db.sample.draw import FIRST_ID, LAST_ID, Plan
from db.sample.kinds import KINDS, drawn
from db.sample.loading import SampleError, find_plan, load_sample, plan_text, remove_sample
from tests.conftest import _fresh as fresh_database

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SMALL = Plan(until=TODAY, seed=7, users=80, places=500, posts=2_000, trips=60, embeddings=20)
TABLES = (
    *("users", "tags", "places", "place_tags", "place_congestion_daily", "posts", "post_tags", "trips"),
    *("trip_nodes", "feedback", "missions", "mission_assignments"),
)


def told(*_: object) -> None:
    """Progress that nobody looks at."""


def fill(url: str, plan: Plan = SMALL) -> bool:
    return load_sample(url, plan, told, threading.Event())


def checksums(url: str) -> dict[str, str]:
    """Of what the generator gives: not of columns that take the server's clock."""
    columns = "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND NOT (attrelid = 'users'::regclass AND attname = 'created_at')"
    with psycopg.connect(url) as connection:
        made = {}
        for table in TABLES:
            [names] = connection.execute(columns, [table]).fetchone() or [""]
            text = f"SELECT count(*) || ' ' || md5(string_agg(r::text, '|' ORDER BY r::text)) FROM (SELECT {names} FROM {table}) r"
            made[table] = str((connection.execute(text).fetchone() or [""])[0])
        return made


def test_the_same_seed_gives_the_same_rows_in_two_databases(migrated_database, stack, migrated_template):
    assert fill(migrated_database)
    with fresh_database(stack, migrated_template) as other:
        # Real rows that were there before change nothing.
        with psycopg.connect(other) as connection:
            connection.execute("INSERT INTO users DEFAULT VALUES")
            connection.execute("DELETE FROM users")
        assert fill(other)
        first, second = checksums(migrated_database), checksums(other)
        assert first == second
        assert all(int(text.split()[0]) > 0 for text in first.values()), first


def test_a_batch_depends_on_its_number_and_the_seed_alone():
    for kind in KINDS:
        assert kind.draw(SMALL, 0) == kind.draw(SMALL, 0)
    other = Plan(until=TODAY, seed=8, users=80, places=500, posts=2_000, trips=60, embeddings=20)
    for name in ("users", "places", "trips", "posts", "doodles"):
        assert list(drawn(SMALL, name)) != list(drawn(other, name))


def test_it_is_realistic(migrated_database):
    fill(migrated_database)
    with psycopg.connect(migrated_database) as connection:

        def value(sql: str) -> float:
            return float((connection.execute(sql).fetchone() or [0])[0])

        assert value("SELECT count(*) FROM places") == 500
        assert value("SELECT count(*) FROM posts WHERE type = 'review'") == 2_000
        assert value("SELECT count(*) FROM posts WHERE type = 'doodle'") == 20
        popular = "SELECT sum(n) / 2000 FROM (SELECT count(*) n FROM posts GROUP BY place_id HAVING place_id IS NOT NULL ORDER BY 1 DESC LIMIT 25) x"
        assert value(popular) > 0.3, "5 % of the places have a third of the posts"
        assert value("SELECT count(DISTINCT date_trunc('month', created_at)) FROM posts") >= 12
        assert value("SELECT min(length(body) - length(replace(body, ' ', '')) + 1) FROM posts") >= 5
        assert value("SELECT max(length(body) - length(replace(body, ' ', '')) + 1) FROM posts") == 20
        assert value("SELECT count(*) FROM places WHERE name ~ '[가-힣]'") > 250
        assert value("SELECT count(*) FROM places WHERE name ~ '[A-Za-z]'") > 100
        off = "SELECT count(*) FROM places WHERE ST_DistanceSphere(geo, ST_SetSRID(ST_MakePoint(126.99, 37.55), 4326)) > 40000"
        assert value(off) == 0
        assert value("SELECT count(*) FROM places WHERE text_embedding IS NOT NULL") == 20
        ids = f"SELECT count(*) FROM posts WHERE id NOT BETWEEN {FIRST_ID} AND {LAST_ID}"
        assert value(ids) == 0
        assert value("SELECT nextval('posts_id_seq')") == 1, (
            "real posts are numbered as if there were no sample"
        )


def test_it_goes_on_where_it_stopped_and_then_does_nothing(migrated_database, stack, migrated_template):
    stop = threading.Event()

    def stop_at_trips(kind: str, done: int, whole: int) -> None:
        if kind == "trips":
            stop.set()

    assert not load_sample(migrated_database, SMALL, stop_at_trips, stop)
    with psycopg.connect(migrated_database) as connection:
        assert connection.execute("SELECT count(*) FROM posts").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM places").fetchone() == (500,)
    assert find_plan(migrated_database) == SMALL
    assert fill(migrated_database)
    whole = checksums(migrated_database)
    assert fill(migrated_database)
    assert checksums(migrated_database) == whole
    with fresh_database(stack, migrated_template) as other:
        fill(other)
        assert checksums(other) == whole


def test_another_sample_is_refused_until_this_one_is_gone(migrated_database):
    fill(migrated_database)
    other = Plan(until=TODAY, seed=8, users=10, places=10, posts=10, trips=1, embeddings=0)
    with pytest.raises(SampleError, match="--remove"):
        fill(migrated_database, other)
    assert remove_sample(migrated_database, told, threading.Event())
    assert find_plan(migrated_database) is None
    assert set(checksums(migrated_database).values()) == {"None"}
    assert fill(migrated_database, other)
    assert remove_sample(migrated_database, told, threading.Event())
    assert remove_sample(migrated_database, told, threading.Event()), "of nothing"


async def test_real_rows_stay_and_those_that_point_to_it_are_named(migrated_database, superuser):
    fill(migrated_database)
    trip = await superuser.fetchval("INSERT INTO trips (duration_min, mode) VALUES (60, 'walk') RETURNING id")
    await superuser.execute(
        "INSERT INTO trip_nodes (trip_id, place_id, sequence) VALUES ($1, $2, 1)", trip, FIRST_ID
    )
    post = await superuser.fetchval("INSERT INTO posts (type, body) VALUES ('review', 'real') RETURNING id")
    with pytest.raises(SampleError, match="trip_nodes_place_fkey"):
        remove_sample(migrated_database, told, threading.Event())
    await superuser.execute("DELETE FROM trip_nodes WHERE trip_id = $1", trip)
    assert remove_sample(migrated_database, told, threading.Event())
    assert [row["id"] for row in await superuser.fetch("SELECT id FROM posts")] == [post]
    assert [row["id"] for row in await superuser.fetch("SELECT id FROM trips")] == [trip]


def test_who_migrates_may_load_it_and_nobody_else(role_url: Callable[[str], str]):
    with pytest.raises(SampleError, match="owner's login"):
        fill(role_url("backend"))
    assert fill(role_url("migrator"))


def test_one_at_a_time(migrated_database):
    with psycopg.connect(migrated_database) as connection:
        connection.execute(loading._SQL["take_turn"])
        with pytest.raises(SampleError, match="somebody else"):
            fill(migrated_database)


def test_a_database_that_will_not_do_is_named(database, migrated_database):
    with pytest.raises(SampleError, match="partyline migrate"):
        fill(database)
    upgrade(database, "0006")
    with pytest.raises(SampleError, match="partyline migrate"):
        fill(database)
    with pytest.raises(SampleError, match="is it running"):
        fill("postgresql://somebody:s3cret@127.0.0.1:1/nothing")
    with pytest.raises(SampleError) as refused:
        fill("no url s3cret")
    assert "s3cret" not in str(refused.value)
    later = Plan(until=TODAY + timedelta(days=1000), users=10, places=10, posts=10, trips=1, embeddings=0)
    with pytest.raises(SampleError, match="no partition"):
        fill(migrated_database, later)


def test_a_plan_fits_into_the_sources_name():
    largest = Plan(TODAY, 999_999, 10_000_000, 10_000_000, 100_000_000, 10_000_000, 100_000)
    assert len(plan_text(largest)) <= 100
    assert loading._plan_of(plan_text(largest)) == largest


async def test_the_doodle_rule_holds_while_it_loads(migrated_database, superuser: asyncpg.Connection):
    fill(migrated_database)
    assert (
        await superuser.fetchval("SELECT count(*) FROM posts WHERE type = 'doodle' AND geofence IS NULL") == 0
    )
    enabled = "SELECT count(*) FROM pg_trigger WHERE tgname = 'posts_doodle_within_fence' AND tgenabled = 'O' AND tgparentid = 0"
    assert await superuser.fetchval(enabled) == 1
