"""Places and tags. The SQL is in `sql/0009_places.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0009_places.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0009_places.down.sql")
