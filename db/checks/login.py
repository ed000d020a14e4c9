"""The login that checks run under: reads everything as its owner, changes nothing, and waits for nobody long.

Only the owner sees the rows of everybody, so the login must be able to become partyline_owner: a superuser,
partyline_migrator, or the login that migrated. Its session is read only from the start to the end.
"""

from __future__ import annotations

from functools import cache

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory

from db.address import place
from db.migrate import ALEMBIC_INI

CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 5


class CannotCheck(RuntimeError):
    """Why nothing was checked, in one sentence that names the mend and holds no password."""


@cache
def head() -> str:
    """The newest revision that this package knows."""
    return ScriptDirectory.from_config(Config(ALEMBIC_INI)).get_current_head() or ""


def connect(url: str, *, ttl_hours: int, timeout_s: int) -> psycopg.Connection:
    """A connection for checks; a rule may take `timeout_s`. Raises `CannotCheck`.

    The rules read `ttl_hours`, how long the server keeps positions, and the newest revision as settings.
    """
    try:
        where = place(url)
    except ValueError as error:
        raise CannotCheck(str(error)) from None
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{timeout_s}s",
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
        "timezone": "UTC",
        "search_path": "public",
        "application_name": "partyline check-data",
        "partyline.ttl_hours": str(ttl_hours),
        "partyline.head": head(),
    }
    try:
        connection = psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.Error as error:
        raise CannotCheck(f"cannot use PostgreSQL at {where}: {_reason(error)}") from None
    try:
        if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
            raise CannotCheck(f"{where} was never migrated: run partyline migrate")
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.execute("SET ROLE partyline_owner")
        connection.commit()
    except psycopg.errors.InsufficientPrivilege:
        connection.close()
        raise CannotCheck(
            f"{where} may not become partyline_owner, who alone sees every row: use the login that migrates, "
            "such as partyline_migrator"
        ) from None
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise CannotCheck(f"cannot use PostgreSQL at {where}: {_reason(error)}") from None
        raise
    return connection


def _reason(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error).strip().splitlines()[-1]
    return said.rpartition("FATAL:")[2].strip()
