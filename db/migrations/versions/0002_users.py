"""Users. The SQL is in `sql/0002_users.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0002_users.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0002_users.down.sql")
