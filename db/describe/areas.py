"""Which part of the product a table belongs to, and the relations that are no foreign keys. Declared by hand.

A new table of the schema public needs a line here; a test says so. Other schemas are an area each.
"""

from __future__ import annotations

from dataclasses import dataclass

PEOPLE = "People"
PARTIES = "Parties and positions"
PLACES = "Places and tags"
TRIPS = "Trips"
POSTS = "Posts"
MISSIONS = "Missions and feedback"
INGESTION = "Collecting data"
METRICS = "Metrics and features"
UPKEEP = "Upkeep"
UNKNOWN = "Not in any area yet"

AREAS = {
    PEOPLE: "Who there is, and what they agreed to.",
    PARTIES: "Parties, who is in them, and where they were.",
    PLACES: "What can be recommended, and how it is described.",
    TRIPS: "Recommended courses and their spots.",
    POSTS: "Reviews and doodles.",
    MISSIONS: "Missions that people are given, and what they say afterwards.",
    INGESTION: "Data from outside, as it came, and how it comes in.",
    METRICS: "What is made from the rest for analysis and learning.",
    UPKEEP: "The database's own records.",
    UNKNOWN: "Give these a line in db/describe/areas.py.",
}
"""In the order of the page."""

BY_SCHEMA = {
    "raw_ingestion": INGESTION,
    "metrics": METRICS,
    "feature_store": METRICS,
}
UNDRAWN = frozenset({"partman"})
"""Schemas whose tables are templates: copies of tables that are drawn."""
BY_TABLE = {
    "users": PEOPLE,
    "erasure_receipts": PEOPLE,
    "erasures_pending": PEOPLE,
    "party_sessions": PARTIES,
    "party_members": PARTIES,
    "party_positions": PARTIES,
    "places": PLACES,
    "place_congestion_daily": PLACES,
    "tags": PLACES,
    "place_tags": PLACES,
    "tag_reviews": PLACES,
    "tag_thresholds": PLACES,
    "trips": TRIPS,
    "trip_nodes": TRIPS,
    "trip_cache": TRIPS,
    "posts": POSTS,
    "post_tags": POSTS,
    "missions": MISSIONS,
    "mission_assignments": MISSIONS,
    "feedback": MISSIONS,
    "content_sources": INGESTION,
    "ingestion_jobs": INGESTION,
    "external_conditions": INGESTION,
    "retention_runs": UPKEEP,
    "month_keeping": UPKEEP,
    "backfills": UPKEEP,
    "alembic_version": UPKEEP,
}
"""Tables of the schema public."""


@dataclass(frozen=True)
class Loose:
    """A relation that the database does not enforce, and why not."""

    parent: str
    child: str
    column: str
    reason: str


_DROP = "dropping a chunk or partition would lock the table that the key refers to"

LOOSE = (
    Loose("party_sessions", "party_positions", "session_id", _DROP),
    Loose("users", "party_positions", "user_id", _DROP),
)
"""Both tables in the schema public."""


def area_of(schema: str, table: str) -> str:
    """The area of a table; `UNKNOWN` when nobody has said."""
    if schema == "public":
        return BY_TABLE.get(table, UNKNOWN)
    return BY_SCHEMA.get(schema, UNKNOWN)
