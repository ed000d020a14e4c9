"""The seam between a hypertable and native partitions. The SQL is in `sql/0007_partitions.*.sql`.

What differs is in `sql/partitions/`, a file for each kind, and what stands on it in `both.sql`.
"""

from __future__ import annotations

from db.migrations.run_sql import run_sql, run_sql_where

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Runs the .up file, then the file of the kind that this database is of, then what both share."""
    run_sql("0007_partitions.up.sql")
    for kind in ("hypertable", "native"):
        run_sql_where(f"positions_kind() = '{kind}'", f"partitions/{kind}.sql")
    run_sql("partitions/both.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0007_partitions.down.sql")
