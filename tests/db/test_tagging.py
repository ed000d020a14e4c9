"""Automatic tagging: sure is set, unsure is a person's to decide, and what they decided is not asked again."""

from __future__ import annotations

import asyncpg
import pytest


@pytest.fixture
async def backend(login):
    return await login("backend")


@pytest.fixture
async def tag(superuser):
    return await superuser.fetchval("INSERT INTO tags (name, type) VALUES ('quiet', 'mood') RETURNING id")


@pytest.fixture
async def place(superuser):
    return await superuser.fetchval(
        "INSERT INTO places (name, category, geo) VALUES ('Café', 'cafe', 'SRID=4326;POINT(127 37.5)') RETURNING id"
    )


async def propose(backend, tag, sureness, place):
    return await backend.fetchval("SELECT propose_tag($1, $2, $3)", tag, sureness, place)


@pytest.mark.parametrize(
    ("sureness", "outcome"),
    [(0.0, "dropped"), (0.55, "dropped"), (0.65, "queued"), (0.75, "queued"), (0.85, "set"), (1.0, "set")],
)
async def test_the_threshold_and_its_margin_decide(backend, superuser, tag, place, sureness, outcome):
    assert await propose(backend, tag, sureness, place) == outcome
    tags = await superuser.fetch("SELECT confidence FROM place_tags")
    assert [row["confidence"] for row in tags] == ([pytest.approx(sureness)] if outcome == "set" else [])
    queued = await superuser.fetch("SELECT confidence, status FROM tag_reviews")
    assert [row["status"] for row in queued] == (["pending"] if outcome == "queued" else [])


async def test_operators_move_the_threshold_by_type(backend, superuser, tag, place):
    await superuser.execute("UPDATE tag_thresholds SET threshold = 0.3, margin = 0 WHERE type = 'mood'")
    assert await propose(backend, tag, 0.31, place) == "set"


@pytest.mark.parametrize("approve", [True, False])
async def test_a_person_decides_once(backend, superuser, tag, place, approve):
    await propose(backend, tag, 0.7, place)
    [review] = await backend.fetch("SELECT id FROM tag_reviews WHERE status = 'pending'")
    decide = "SELECT decide_tag_review($1, $2)"
    assert await backend.fetchval(decide, review["id"], approve) is True
    assert await backend.fetchval(decide, review["id"], not approve) is False
    assert await superuser.fetchval("SELECT count(*) FROM place_tags") == int(approve)
    assert await propose(backend, tag, 0.72, place) == "queued"
    assert await superuser.fetchval("SELECT count(*) FROM tag_reviews WHERE status = 'pending'") == 0


async def test_posts_are_tagged_too(backend, superuser, tag):
    post = await superuser.fetchrow(
        "INSERT INTO posts (type, body) VALUES ('review', 'so calm') RETURNING id, created_at"
    )
    say = "SELECT propose_tag($1, $2, NULL, $3, $4)"
    assert await backend.fetchval(say, tag, 0.7, *post) == "queued"
    [review] = await superuser.fetch("SELECT id FROM tag_reviews")
    assert await backend.fetchval("SELECT decide_tag_review($1, true)", review["id"]) is True
    assert await superuser.fetchval("SELECT post_id FROM post_tags") == post["id"]


async def test_wrong_proposals_are_told_so_and_leave_nothing(backend, superuser, tag, place):
    for arguments in ((tag, 1.5, place), (tag, None, place), (tag, 0.7, None)):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="one place or one post"):
            await propose(backend, *arguments)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="no such tag"):
        await propose(backend, 404, 0.7, place)
    with pytest.raises(asyncpg.ForeignKeyViolationError) as caught:
        await propose(backend, tag, 0.9, 404)
    assert caught.value.constraint_name == "place_tags_place_fkey"
    assert await superuser.fetchval("SELECT count(*) FROM tag_reviews") == 0
