"""The product's roles, and who it acts for. The SQL is in `sql/0008_product.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0008_product.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0008_product.down.sql")
