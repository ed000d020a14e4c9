"""Whether the database is as new as this code needs. A process asks once, when it starts.

Newer than needed is fine: a migration that expands runs before the deploy, and one that contracts only when
no process needs what it takes away (docs/migrations.md).
"""

from __future__ import annotations

import asyncpg

from db.pool import Database, DatabaseUnavailable
from db.queries import load

NEEDED_REVISION = "0018"
"""The oldest migration that the statements of `db/queries` work with. Raise it together with a statement that
needs more; a test prepares all of them on a database at just this revision."""

READ_REVISION = load("revision")["current"]

NOT_MIGRATED = "the database is not migrated: run `partyline migrate`"
MAY_NOT_READ = (
    f"this login may not read the database's revision: run `partyline migrate` (before {NEEDED_REVISION} no "
    "login could), or use one of Partyline's logins"
)


class DatabaseOutdated(RuntimeError):
    """The database does not fit this code; one sentence that names the mend."""


def refusal(revision: str | None) -> str | None:
    """Why this code cannot work on a database at that revision, or `None`. Revisions are numbers in order."""
    if revision is None:
        return NOT_MIGRATED
    if not revision.isdecimal():
        return f"the database is at revision {revision}, which is none of Partyline's: use another database"
    if int(revision) < int(NEEDED_REVISION):
        return (
            f"the database is at revision {revision}, and this Partyline needs {NEEDED_REVISION} or newer: "
            "run `partyline migrate`"
        )
    return None


async def require_revision(database: Database) -> None:
    """Raises `DatabaseOutdated` when the database is older than needed, `DatabaseUnavailable`."""
    revision: str | None = None
    try:
        revision = await database.fetchval(READ_REVISION)
    except asyncpg.UndefinedTableError:
        pass  # nobody has migrated it
    except asyncpg.InsufficientPrivilegeError:
        raise DatabaseOutdated(MAY_NOT_READ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(f"cannot ask PostgreSQL for its revision: {type(error).__name__}") from None
    reason = refusal(revision)
    if reason:
        raise DatabaseOutdated(reason)
