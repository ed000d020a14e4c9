"""Each named query, under the role that runs it, on 200,000 places and a million posts, uses its index.

The plans are those that the server ran: auto_explain tells them, also of statements inside functions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from db.queries import load
from db.sample.draw import FIRST_ID
from db.sample.trips import context

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = 1_000
"""A table or partition of so few rows may be read whole: that is cheaper than its index."""

NOW = datetime.now(UTC)
QUARTER = NOW - timedelta(days=90)
YEAR = NOW - timedelta(days=365)
SEOUL = (126.9780, 37.5665)

SEARCHES = [
    ("places", "places_around", (*SEOUL, 300.0, 50), "reader", {"places_geo_metres"}),
    ("places", "places_around", (*SEOUL, 2000.0, 50), "backend", {"places_geo_metres"}),
    ("places", "places_in_window", (126.97, 37.56, 126.98, 37.57, 100), "reader", {"places_geo"}),
    ("places", "places_in_window", (179.9, 37.56, -179.9, 37.57, 100), "reader", {"places_geo"}),
    ("places", "nearest_places", (*SEOUL, 20), "reader", {"places_geo_metres"}),
    ("places", "find_places", ("푸른달 정원", 20), "reader", {"places_name_trgm"}),
    ("places", "find_places", ("청운", 20), "reader", {"places_name_trgm"}),
    ("places", "find_places_containing", ("은하수 다락", 20), "reader", {"places_name_trgm"}),
    ("places", "find_places_containing", ("전망대", 20), "backend", {"places_name_trgm"}),
    ("places", "places_of_tag", (FIRST_ID + 5, 20), "reader", {"place_tags_tag"}),
    ("places", "similar_places", (FIRST_ID + 100, 20), "reader", {"places_text_embedding"}),
    ("places", "places_for_me", (20,), "backend", {"places_text_embedding", "users_pkey"}),
    ("posts", "search_posts", ("막걸리", QUARTER, NOW, 20), "backend", {"posts_body_trgm"}),
    ("posts", "search_posts", ("calligraphy", YEAR, NOW, 20), "reader", {"posts_body_trgm"}),
    ("posts", "search_posts", ("좋아요", QUARTER, NOW, 20), "backend", {"posts_body_trgm"}),
    ("posts", "search_posts", ("약과", QUARTER, NOW, 20), "backend", {"posts_body_trgm"}),
    ("posts", "doodles_around", (*SEOUL, 1000.0, 20), "backend", {"posts_geofence"}),
    ("posts", "posts_of_place", (FIRST_ID + 3, NOW, 20), "backend", {"posts_place"}),
    ("posts", "similar_posts", ("a post", 10), "backend", {"posts_text_embedding"}),
    ("tags", "find_tags", ("루프탑", 20), "reader", {"tags_name_trgm"}),
    ("tags", "tags_with", ('{"set": "s7"}', 20), "reader", {"tags_metadata"}),
    ("trips", "trips_of_context", (context(5), 10), "backend", {"trips_context_hash"}),
    ("trips", "stops_of_trip", (FIRST_ID + 77,), "backend", {"trip_nodes_sequence_key"}),
    ("trips", "feedback_of_trip", (FIRST_ID + 77,), "backend", {"feedback_trip"}),
]

AUTO_EXPLAIN = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "jit": "off",
    "partyline.user_id": str(FIRST_ID + 25),
}


class Told:
    """A superuser's connection that can become another role, and hears the plans of what it runs."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.parents: dict[str, str] = {}
        self.rows: dict[str, float] = {}
        self._heard: list[str] = []

    async def listen(self) -> None:
        self.connection.add_log_listener(lambda _, message: self._heard.append(message.message))
        await self.connection.execute("LOAD 'auto_explain'")
        for name, value in AUTO_EXPLAIN.items():
            await self.connection.execute(f"SET {name} = '{value}'")
        for row in await self.connection.fetch(
            "SELECT c.relname AS part, pg_partition_root(c.oid)::regclass::text AS root FROM pg_class c WHERE c.relispartition"
        ):
            self.parents[row["part"]] = row["root"]
        for row in await self.connection.fetch("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'"):
            self.rows[row["relname"]] = row["reltuples"]

    async def plan(self, role: str, sql: str, *values: Any) -> tuple[set[str], set[str], int]:
        """Indexes that were used (of partitions: the table's), large tables that were read whole, rows that came."""
        await self.connection.execute(f"SET SESSION AUTHORIZATION partyline_{role}")
        try:
            self._heard.clear()
            found = await self.connection.fetch(sql, *values)
        finally:
            await self.connection.execute("RESET SESSION AUTHORIZATION")
        await asyncio.sleep(0)
        used, whole = set(), set()
        for text in self._heard:
            _, told, document = text.partition("plan:")
            for node in _nodes(json.loads(document)["Plan"]) if told else ():
                if "Index Name" in node:
                    used.add(self.parents.get(node["Index Name"], node["Index Name"]))
                elif node["Node Type"] == "Seq Scan" and self.rows[node["Relation Name"]] > SMALL:
                    whole.add(node["Relation Name"])
        return used, whole, len(found)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


@pytest.fixture
async def told(sample_database: str) -> AsyncIterator[Told]:
    connection = await asyncpg.connect(sample_database)
    listening = Told(connection)
    await listening.listen()
    yield listening
    await connection.close()


async def test_the_sample_is_as_large_as_it_should_be(told: Told) -> None:
    assert await told.connection.fetchval("SELECT count(*) FROM places") == 200_000
    assert await told.connection.fetchval("SELECT count(*) FROM posts WHERE type = 'review'") == 1_000_000
    assert await told.connection.fetchval("SELECT count(*) FROM posts WHERE type = 'doodle'") == 5_000


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(("noun", "name", "values", "role", "wanted"), SEARCHES)
async def test_a_named_query_uses_its_index(
    told: Told, noun: str, name: str, values: tuple[Any, ...], role: str, wanted: set[str], mode: str
) -> None:
    await told.connection.execute(f"SET plan_cache_mode = {mode}")
    if name == "similar_posts":
        post = await told.connection.fetchrow(
            "SELECT id, created_at FROM posts WHERE text_embedding IS NOT NULL LIMIT 1"
        )
        values = (*post, *values[1:])
    used, whole, rows = await told.plan(role, load(noun)[name], *values)
    assert wanted <= used
    assert whole == set()
    assert rows > 0 or values[0] in (179.9, FIRST_ID + 77)


async def test_every_named_query_is_looked_at() -> None:
    named = {(noun, name) for noun in ("places", "posts", "tags", "trips") for name in load(noun)}
    assert named == {(noun, name) for noun, name, *_ in SEARCHES}


@pytest.mark.parametrize("condition", ["body ILIKE '%막걸리%'", "'막걸리' <% body"])
async def test_without_the_functions_row_level_security_would_read_every_post(
    told: Told, condition: str
) -> None:
    """Why search_posts() and doodles_around() are there. Should PostgreSQL learn it, they may go."""
    used, whole, _ = await told.plan("backend", f"SELECT id FROM posts WHERE {condition}")
    assert len(whole) >= 12
    assert "posts_body_trgm" not in used


async def test_without_the_functions_a_fence_is_only_a_filter(told: Told) -> None:
    await told.connection.execute("SET SESSION AUTHORIZATION partyline_backend")
    plan = await told.connection.fetch(
        "EXPLAIN SELECT id FROM posts WHERE geofence && ST_MakeEnvelope(126.97, 37.56, 126.98, 37.57, 4326)"
    )
    lines = [row[0].strip() for row in plan if "&&" in row[0]]
    assert lines
    assert all(line.startswith("Filter:") for line in lines)


async def test_only_the_months_that_are_asked_for_are_looked_at(told: Told) -> None:
    await told.plan("backend", load("posts")["search_posts"], "막걸리", NOW - timedelta(days=20), NOW, 20)
    read = {
        node["Relation Name"]
        for text in told._heard
        if "plan:" in text
        for node in _nodes(json.loads(text.partition("plan:")[2])["Plan"])
        if "Relation Name" in node
    }
    assert 1 <= len(read) <= 2
