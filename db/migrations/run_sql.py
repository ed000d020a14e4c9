"""Runs one SQL file inside the present migration, or writes it out for review. Never edits it.

A file goes to the driver as it is: no parameters, no templates, several statements in one go.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

SQL_FOLDER = Path(__file__).parent / "sql"


def run_sql(name: str) -> None:
    """The file `sql/<name>`, in the migration's transaction."""
    _run(_text(name))


def run_sql_where(condition: str, name: str) -> None:
    """The file `sql/<name>` as it is, but only in a database where the condition holds.

    The database decides, not we, so that reviewed SQL does the same wherever it is run.
    """
    _run(f"DO $where$ BEGIN IF {condition} THEN EXECUTE $file$\n{_text(name)}$file$; END IF; END $where$;\n")


def _text(name: str) -> str:
    return (SQL_FOLDER / name).read_text(encoding="utf-8")


def _run(sql: str) -> None:
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(sql)
        return
    connection = context.connection
    if connection is None:
        raise RuntimeError("a migration runs on a connection, or with --sql")
    connection.execution_options(no_parameters=True).exec_driver_sql(sql)
