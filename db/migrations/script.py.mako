"""${message}. The SQL is in `sql/${up_revision}_*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("${up_revision}_NAME.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("${up_revision}_NAME.down.sql")
