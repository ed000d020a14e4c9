"""Accounts, who sees an e-mail, and how long months are kept. The SQL is in `sql/0015_accounts.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0015_accounts.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0015_accounts.down.sql")
