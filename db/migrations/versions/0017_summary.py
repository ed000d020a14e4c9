"""What a party did, from its stored positions. The SQL is in `sql/0017_summary.*.sql` and `sql/summary/`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql, run_sql_where

revision = "0017"
down_revision = "0016"

TOOLKIT = """EXISTS (SELECT FROM pg_extension e
    WHERE e.extname = 'timescaledb_toolkit' AND e.extnamespace = 'public'::regnamespace)"""


def upgrade() -> None:
    """Runs the .up file, then one of the two bodies: the database says which. Then what is built on them."""
    run_sql("0017_summary.up.sql")
    run_sql_where(TOOLKIT, "summary/toolkit.sql")
    run_sql_where(f"NOT {TOOLKIT}", "summary/plain.sql")
    run_sql("summary/both.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0017_summary.down.sql")
