"""Roles, extensions, and who may enter. The SQL is in `sql/0001_roles.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0001_roles.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0001_roles.down.sql")
