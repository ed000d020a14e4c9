"""Erasure of the whole product, with a receipt. The SQL is in `sql/0016_product_erasure.*.sql`."""

from __future__ import annotations

from db.migrations.run_sql import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Runs the .up file."""
    run_sql("0016_product_erasure.up.sql")


def downgrade() -> None:
    """Runs the .down file."""
    run_sql("0016_product_erasure.down.sql")
