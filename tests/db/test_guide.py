"""The owner's guide is a list of requirements; here the catalogue is held against it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

GUIDE = Path(__file__).with_name("guide_columns.txt")

JSON = {
    *("users.preferences", "places.hours", "places.mood_scores", "posts.media_urls", "missions.steps"),
    *("mission_assignments.result_metadata", "party_sessions.options", "tags.metadata"),
    "feature_store.user_trip_features.features",
}
POINTS = {"places.geo", "posts.geofence", "party_positions.loc"}
VECTORS = {"users.preference_embedding", "places.text_embedding", "posts.text_embedding"}
KEYS = {
    ("posts", "user_id", "users"),
    ("posts", "place_id", "places"),
    ("trips", "user_id", "users"),
    ("trip_nodes", "trip_id", "trips"),
    ("trip_nodes", "place_id", "places"),
    ("mission_assignments", "user_id", "users"),
    ("mission_assignments", "mission_id", "missions"),
    ("feedback", "trip_id", "trips"),
    ("feedback", "trip_node_id", "trip_nodes"),
    ("feedback", "user_id", "users"),
    ("party_sessions", "trip_id", "trips"),
    ("party_sessions", "host_user_id", "users"),
    ("party_members", "user_id", "users"),
    ("party_members", "session_id", "party_sessions"),
    ("place_tags", "place_id", "places"),
    ("place_tags", "tag_id", "tags"),
    ("post_tags", "post_id", "posts"),
    ("post_tags", "tag_id", "tags"),
    ("place_congestion_daily", "place_id", "places"),
    ("ingestion_jobs", "source_id", "content_sources"),
}
INDEXES = {  # section 6
    ("places", "gist", "geo"),
    ("posts", "gist", "geofence"),
    ("trips", "btree", "context_hash"),
    ("trip_nodes", "btree", "trip_id, sequence"),
    ("feedback", "btree", "trip_id, submitted_at"),
    ("posts", "gin", "body gin_trgm_ops"),
    ("tags", "gin", "name gin_trgm_ops"),
    ("tags", "gin", "metadata jsonb_path_ops"),
}
NULLABLE = {"posts.place_id", "posts.user_id", "trips.user_id"}


def ask(url, sql):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def listed():
    for line in GUIDE.read_text().splitlines():
        if not line.startswith("#"):
            table, _, columns = line.partition(": ")
            yield table, columns.split()


@pytest.fixture
def columns(migrated_database):
    """`table.column` → its type and whether it may be null; without the schema where that is public."""
    return {
        name: (kind, nullable)
        for name, kind, nullable in ask(
            migrated_database,
            "SELECT replace(n.nspname || '.' || c.relname, 'public.', '') || '.' || a.attname, "
            "format_type(a.atttypid, a.atttypmod), NOT a.attnotnull FROM pg_attribute a "
            "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.relispartition",
        )
    }


def test_every_table_and_column_of_the_guide_is_there(columns):
    asked = {f"{table}.{name}" for table, names in listed() for name in names}
    assert len(asked) > 120
    assert asked - set(columns) == set()


def test_kinds_are_those_of_the_guide(columns):
    assert {name for name in JSON if columns[name][0] != "jsonb"} == set()
    assert {name for name in POINTS if columns[name][0] != "geometry(Point,4326)"} == set()
    assert {name for name in VECTORS if columns[name][0] != "vector(384)"} == set()
    assert {name for name in NULLABLE if not columns[name][1]} == set()


def test_every_relation_is_a_foreign_key_that_was_validated(migrated_database):
    found = ask(
        migrated_database,
        "SELECT k.conrelid::regclass::text, a.attname, k.confrelid::regclass::text FROM pg_constraint k "
        "JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) "
        "WHERE k.contype = 'f' AND k.convalidated",
    )
    assert KEYS - set(found) == set()


def test_every_index_of_section_6_is_there_and_valid(migrated_database):
    found = {
        (table, definition.split(" USING ")[1].split(" ")[0], definition.split("(", 1)[1].split(")")[0])
        for table, definition in ask(
            migrated_database,
            "SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indisvalid",
        )
    }
    assert INDEXES - found == set()


def test_posts_and_feedback_are_cut_by_month_ahead_of_time_and_positions_by_day(migrated_database):
    for table in ("posts", "feedback"):
        [(months, ahead)] = ask(
            migrated_database,
            f"SELECT count(*), max(range_start) > now() + interval '2 months' FROM months_of('{table}')",
        )
        assert months >= 16
        assert ahead
        widths = ask(
            migrated_database, f"SELECT DISTINCT age(range_end, range_start) FROM months_of('{table}')"
        )
        assert len(widths) == 1
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
            "SELECT 1, 1, date_trunc('day', now()) - n * interval '1 day', 0, 'SRID=4326;POINT(127 37)', 'rough' "
            "FROM generate_series(0, 2) n"
        )
        spans = connection.execute(
            "SELECT DISTINCT k.range_end - k.range_start = interval '1 day' FROM positions_chunks() k"
        ).fetchall()
    assert spans == [(True,)]
