"""A process needs a database that is new enough: older is refused in one sentence, newer is fine."""

from __future__ import annotations

import asyncpg
import pytest

from db import migrate, queries
from db.pool import DatabaseUnavailable
from db.revision import NEEDED_REVISION, DatabaseOutdated, refusal, require_revision
from tests.conftest import NATIVE

ROLES = [role.removeprefix("partyline_") for role in migrate.LOGIN_ROLES]


def test_revisions_are_numbers_in_one_line():
    known = migrate.known_revisions()
    assert all(revision.isdecimal() and len(revision) == 4 for revision in known)
    assert known == sorted(known, reverse=True)
    assert NEEDED_REVISION in known


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        (None, "the database is not migrated: run `partyline migrate`"),
        ("0001", f"at revision 0001, and this Partyline needs {NEEDED_REVISION} or newer: run `partyline"),
        ("ae1027a6acf", "at revision ae1027a6acf, which is none of Partyline's: use another database"),
    ],
)
def test_what_is_too_old_or_not_ours_is_told_why(revision, said):
    assert said in refusal(revision)


def test_what_is_as_new_as_needed_or_newer_is_taken():
    assert refusal(NEEDED_REVISION) is None
    assert refusal("9999") is None


@pytest.mark.parametrize("role", ROLES)
async def test_every_login_may_ask(login, role):
    await require_revision(await login(role))


async def test_a_newer_database_is_taken(superuser, gateway):
    await superuser.execute("UPDATE alembic_version SET version_num = '9999'")
    await require_revision(gateway)


async def test_an_older_database_is_refused(superuser, gateway):
    await superuser.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(DatabaseOutdated, match="at revision 0001, and this Partyline needs"):
        await require_revision(gateway)


async def test_a_database_from_before_the_grant_is_refused(superuser, gateway):
    await superuser.execute("REVOKE SELECT ON alembic_version FROM partyline_gateway")
    with pytest.raises(
        DatabaseOutdated, match="may not read the database's revision: run `partyline migrate`"
    ):
        await require_revision(gateway)


async def test_an_empty_database_is_refused(database):
    connection = await asyncpg.connect(database)
    try:
        with pytest.raises(DatabaseOutdated, match="not migrated"):
            await require_revision(connection)
    finally:
        await connection.close()


async def test_a_database_that_was_taken_down_is_refused(database):
    migrate.upgrade(database, "0001")
    migrate.downgrade(database, "base")
    connection = await asyncpg.connect(database)
    try:
        with pytest.raises(DatabaseOutdated, match="not migrated"):
            await require_revision(connection)
    finally:
        await connection.close()


async def test_a_lost_connection_is_not_an_old_database(migrated_database):
    connection = await asyncpg.connect(migrated_database)
    connection.terminate()
    with pytest.raises(DatabaseUnavailable):
        await require_revision(connection)


async def test_every_statement_works_on_the_needed_revision(database):
    migrate.upgrade(database, NEEDED_REVISION)
    connection = await asyncpg.connect(database)
    try:
        for noun in sorted(file.stem for file in queries.FOLDER.glob("*.sql")):
            for statement in queries.load(noun).values():
                if NATIVE and "timescaledb_information" in statement:
                    continue  # asked only where it is
                if statement.startswith("CREATE TEMPORARY"):
                    await connection.execute(statement)  # the others of its file are about it
                else:
                    await connection.prepare(statement)
    finally:
        await connection.close()
