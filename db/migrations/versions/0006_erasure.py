"""Erasure of a user. The SQL is in `sql/0006_erasure.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0006_erasure.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0006_erasure.down.sql")
