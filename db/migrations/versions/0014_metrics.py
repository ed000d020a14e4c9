"""Key figures by day. The SQL is in `sql/0014_metrics.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0014_metrics.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0014_metrics.down.sql")
