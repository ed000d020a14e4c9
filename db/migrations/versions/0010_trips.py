"""Trips, their stops, and the cache of recommendations. The SQL is in `sql/0010_trips.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0010_trips.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0010_trips.down.sql")
