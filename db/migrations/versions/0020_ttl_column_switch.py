"""A session's time-to-live is read from its column. The SQL is in `sql/0020_ttl_column_switch.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0020"
down_revision = "0019"
needs_backfill = ("ttl_hours",)


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0020_ttl_column_switch.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0020_ttl_column_switch.down.sql")
