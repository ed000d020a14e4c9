"""Collected data, its jobs, features, and the tag review queue. The SQL is in `sql/0013_ingestion.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0013_ingestion.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0013_ingestion.down.sql")
