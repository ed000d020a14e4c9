"""Runs one SQL file inside the present migration, or writes it out for review. Never edits it.

A file goes to the driver as it is: no parameters, no templates, several statements in one go.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

SQL_FOLDER = Path(__file__).parent / "sql"


def run_sql(name: str) -> None:
    """The file `sql/<name>`, in the migration's transaction."""
    sql = (SQL_FOLDER / name).read_text(encoding="utf-8")
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(sql)
        return
    connection = context.connection
    if connection is None:
        raise RuntimeError("a migration runs on a connection, or with --sql")
    connection.execution_options(no_parameters=True).exec_driver_sql(sql)
