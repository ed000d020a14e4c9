"""A session's time-to-live leaves its options. The SQL is in `sql/0021_ttl_column_contract.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0021"
down_revision = "0020"
contracts = True


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0021_ttl_column_contract.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0021_ttl_column_contract.down.sql")
