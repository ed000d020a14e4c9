"""Who may read the revision. The SQL is in `sql/0020_revision.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0020"
down_revision = "0006"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0020_revision.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0020_revision.down.sql")
