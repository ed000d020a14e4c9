"""Parties and their members. The SQL is in `sql/0003_sessions.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0003_sessions.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0003_sessions.down.sql")
