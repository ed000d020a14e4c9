"""The rules as data: what each is called, says, looks at, and gives when it is broken. Runs nothing.

A rule is a block of `queries/checks.sql` that gives the rows that break it. A warning asks for a look; every
other broken rule is a fault.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from db.queries import load

_SQL = load("checks")

_TABLES = {
    "alembic_version": ("schema_is_at_head",),
    "pg_constraint": ("constraints_are_valid",),
    "pg_index": ("indexes_are_valid",),
    "pg_trigger": ("triggers_are_enabled",),
    "posts, feedback": ("months_are_made_ahead",),
    "retention_runs": ("last_drop_succeeded",),
    "users": ("erased_users_are_anonymous", "erased_users_left_nothing"),
    "erasure_receipts": ("erasures_are_finished",),
    "places": (
        "places_are_on_earth",
        "places_are_not_at_zero",
        "places_are_fresh",
        "place_scores_are_in_range",
    ),
    "place_tags, post_tags": ("tag_scores_are_in_range",),
    "place_congestion_daily": ("congestion_is_not_in_the_future",),
    "tag_reviews": ("tag_reviews_do_not_wait",),
    "trip_nodes": ("trip_stops_are_not_repeated", "trip_stops_have_no_holes"),
    "trips": ("trip_budgets_are_ordered",),
    "trip_cache": ("cached_trips_are_valid_for_a_time",),
    "feedback": ("ratings_are_in_range",),
    "posts": ("doodles_have_a_fence_and_an_end", "expired_doodles_are_gone"),
    "mission_assignments": ("missions_are_due_after_they_begin", "missions_are_pending_once"),
    "ingestion_jobs": ("jobs_have_their_times", "jobs_come_to_an_end"),
    "party_sessions": ("sessions_end_when_they_say", "sessions_name_a_trip_that_is_there"),
    "party_members": ("hosts_are_member_one", "member_numbers_are_not_repeated"),
    "party_sessions, party_members": ("tokens_are_digests",),
    "party_positions": (
        "days_are_made_ahead",
        "positions_are_on_earth",
        "positions_are_in_windows",
        "positions_are_once_a_window",
        "positions_are_of_members",
        "positions_are_not_in_the_future",
        "positions_past_the_servers_time_are_dropped",
        "positions_past_their_sessions_time_are_flagged",
    ),
}
_WARNINGS = {"places_are_not_at_zero", "places_are_fresh", "tag_reviews_do_not_wait", "jobs_come_to_an_end"}


class Rule(msgspec.Struct, frozen=True):
    """One rule, and the SQL of the rows that break it."""

    name: str
    says: str
    tables: str
    warning: bool
    sql: str


def _rules() -> tuple[Rule, ...]:
    tables = {name: key for key, names in _TABLES.items() for name in names}
    return tuple(
        Rule(name, _SQL.description(name), tables[name], name in _WARNINGS, sql) for name, sql in _SQL.items()
    )


RULES = _rules()
"""All of them, in the order in which they are checked."""


def named(names: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of these names, or all for none. Raises `ValueError` for a name that no rule has."""
    unknown = sorted(set(names) - {rule.name for rule in RULES})
    if unknown:
        raise ValueError(f"there is no rule {', '.join(unknown)}: see partyline check-data --list")
    return tuple(rule for rule in RULES if not names or rule.name in names)
