"""Missions and feedback. The SQL is in `sql/0012_missions.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0012_missions.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0012_missions.down.sql")
