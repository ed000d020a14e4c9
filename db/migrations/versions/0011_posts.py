"""Reviews and doodles in months. The SQL is in `sql/0011_posts.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0011_posts.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0011_posts.down.sql")
