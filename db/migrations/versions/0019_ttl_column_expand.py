"""A session's time-to-live beside its options. The SQL is in `sql/0019_ttl_column_expand.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0019_ttl_column_expand.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0019_ttl_column_expand.down.sql")
