"""Search past row level security, and what the keeper deletes. The SQL is in `sql/0018_search.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0018_search.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0018_search.down.sql")
