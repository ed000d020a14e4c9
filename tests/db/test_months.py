"""Months of posts and feedback past their keeping go whole, each with its record; expired rows go in batches."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db import retention
from db.months import delete_expired_doodles, delete_expired_trip_cache, drop_expired_months


async def months(superuser, table="posts"):
    return await superuser.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = $1::regclass", f"public.{table}"
    )


async def keep(superuser, table, count):
    await superuser.execute("UPDATE month_keeping SET keep_months = $2 WHERE table_name = $1", table, count)


@pytest.fixture
async def year(superuser):
    """A post in each of the last 11 months, tagged, and half of them in the review queue; feedback as well."""
    await superuser.execute("INSERT INTO tags (name, type) VALUES ('quiet', 'mood')")
    await superuser.execute(
        "INSERT INTO posts (type, body, status, created_at) SELECT 'review', 'said ' || n, 'published', "
        "date_trunc('month', now(), 'UTC') - n * interval '1 month' + interval '3 days' FROM generate_series(1, 11) n"
    )
    await superuser.execute(
        "INSERT INTO post_tags (post_id, tag_id, post_created_at) SELECT p.id, t.id, p.created_at FROM posts p, tags t"
    )
    await superuser.execute(
        "INSERT INTO tag_reviews (post_id, post_created_at, tag_id, confidence) "
        "SELECT p.id, p.created_at, t.id, 0.7 FROM posts p, tags t WHERE p.id % 2 = 0"
    )
    await superuser.execute("INSERT INTO trips (duration_min, mode) VALUES (60, 'walk')")
    await superuser.execute(
        "INSERT INTO feedback (trip_id, rating, submitted_at) SELECT t.id, 2, p.created_at FROM trips t, posts p"
    )


async def test_posts_are_kept_for_ever_unless_somebody_says_otherwise(keeper, superuser, year):
    before = await months(superuser)
    assert await drop_expired_months(keeper, "posts", lock_timeout_ms=200) == []
    assert await months(superuser) == before


async def test_months_go_one_by_one_with_what_points_there_and_their_records(keeper, superuser, year):
    await keep(superuser, "posts", 6)
    before = await months(superuser)
    drops = await drop_expired_months(keeper, "posts", lock_timeout_ms=200)
    assert [one.error for one in drops] == [None] * len(drops)
    assert before - await months(superuser) == len(drops) == 6  # 12 months back to 7
    assert [one.dropped_rows for one in drops] == [0, 1, 1, 1, 1, 1]
    assert [one.chunks_before - one.chunks_after for one in drops] == [1] * 6
    assert {one.table_name for one in drops} == {"posts"}
    assert all(one.bytes_before > one.bytes_after > 0 for one in drops)
    assert all(one.oldest_before_ms < one.oldest_after_ms <= one.cutoff_ms for one in drops)
    assert await superuser.fetchval("SELECT count(*) FROM posts") == 6
    assert await superuser.fetchval("SELECT count(*) FROM post_tags") == 6
    assert await superuser.fetchval("SELECT count(*) FROM tag_reviews") in (3, 2)
    orphans = "SELECT count(*) FROM post_tags t LEFT JOIN posts p ON p.id = t.post_id WHERE p.id IS NULL"
    assert await superuser.fetchval(orphans) == 0
    recorded = await superuser.fetch(
        "SELECT dropped_rows FROM retention_runs WHERE table_name = 'posts' ORDER BY id"
    )
    assert [run["dropped_rows"] for run in recorded] == [0, 1, 1, 1, 1, 1]
    assert await drop_expired_months(keeper, "posts", lock_timeout_ms=200) == []


async def test_a_gone_month_takes_no_post_any_more(keeper, superuser, year):
    await keep(superuser, "posts", 6)
    await drop_expired_months(keeper, "posts", lock_timeout_ms=200)
    with pytest.raises(asyncpg.CheckViolationError, match="no partition"):
        await superuser.execute(
            "INSERT INTO posts (type, body, created_at) VALUES ('review', 'late', now() - interval '10 months')"
        )


async def test_feedback_goes_after_its_own_time(keeper, superuser, year):
    await keep(superuser, "feedback", 11)
    [first] = await drop_expired_months(keeper, "feedback", lock_timeout_ms=200)
    assert (first.table_name, first.dropped_rows) == ("feedback", 0)
    await keep(superuser, "feedback", 10)
    [second] = await drop_expired_months(keeper, "feedback", lock_timeout_ms=200)
    assert second.dropped_rows == 1
    assert await superuser.fetchval("SELECT count(*) FROM posts") == 11


async def test_a_month_in_use_is_tried_again_and_then_recorded(
    keeper, superuser, migrated_database, year, monkeypatch
):
    monkeypatch.setattr(retention, "RETRY_PAUSE_S", 0.01)
    await keep(superuser, "posts", 11)
    before = await months(superuser)
    reading = await asyncpg.connect(migrated_database)
    transaction = reading.transaction()
    await transaction.start()
    await reading.fetchval("SELECT count(*) FROM posts")
    [failed] = await drop_expired_months(keeper, "posts", lock_timeout_ms=20)
    assert "in use" in failed.error
    assert (failed.table_name, failed.dropped_rows, failed.chunks_after) == ("posts", 0, before)
    assert await months(superuser) == before
    assert await superuser.fetchval("SELECT count(*) FROM post_tags") == 11, "half done"
    trying = asyncio.create_task(drop_expired_months(keeper, "posts", lock_timeout_ms=2000))
    await asyncio.sleep(0.1)
    await transaction.rollback()
    await reading.close()
    assert [one.error for one in await trying] == [None]


async def test_two_keepers_take_turns(login, superuser, year):
    await keep(superuser, "posts", 3)
    keepers = [await login("keeper") for _ in range(3)]
    done = await asyncio.gather(*(drop_expired_months(one, "posts", lock_timeout_ms=5000) for one in keepers))
    drops = [one for some in done for one in some]
    assert [one.error for one in drops] == [None] * 9
    assert len({one.dropped_chunks[0] for one in drops}) == 9


async def test_expired_doodles_and_recommendations_are_deleted_in_batches(keeper, superuser):
    await superuser.execute("SET partyline.author_place = '127 37.5'")
    await superuser.execute(
        "INSERT INTO posts (type, body, created_at, expires_at, geofence) SELECT 'doodle', 'here', "
        "now() - interval '2 days', now() + n * interval '1 hour', ST_SetSRID(ST_MakePoint(127, 37.5), 4326) "
        "FROM generate_series(-7, 2) n WHERE n <> 0"
    )
    await superuser.execute(
        "INSERT INTO trip_cache (context_hash, payload, created_at, valid_until) SELECT encode(sha256(n::text::bytea), 'hex'), "
        "'{}', now() - interval '2 days', now() + n * interval '1 hour' FROM generate_series(-7, 2) n WHERE n <> 0"
    )
    for delete, table in ((delete_expired_doodles, "posts"), (delete_expired_trip_cache, "trip_cache")):
        assert [await delete(keeper, 5) for _ in range(3)] == [5, 2, 0]
        assert await superuser.fetchval(f"SELECT count(*) FROM {table}") == 2
        for wrong in (0, -1, 10**7):
            with pytest.raises(ValueError, match="batch"):
                await delete(keeper, wrong)


async def test_what_is_no_month_is_refused(keeper):
    with pytest.raises(ValueError, match="posts and feedback"):
        await drop_expired_months(keeper, "users", lock_timeout_ms=200)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="posts and feedback"):
        await keeper.fetch("SELECT * FROM drop_oldest_expired_month('users')")
    with pytest.raises(ValueError, match="at least 1"):
        await drop_expired_months(keeper, "posts", lock_timeout_ms=0)
