"""The keeper's functions and its records. The SQL is in `sql/0005_retention.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0005_retention.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0005_retention.down.sql")
