"""Positions, and how they are read. The SQL is in `sql/0004_positions.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0004_positions.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0004_positions.down.sql")
