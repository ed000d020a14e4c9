"""A migration on a database of the wrong version: a clear sentence, and nothing was done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from db import migrate
from db.compatibility import MINIMUM_EXTENSIONS, outdated_extension, unknown_revision
from tests.db.test_migrate import SHAPE, ask


@pytest.fixture
def newer_database(migrated_database):
    """A database that a newer Partyline has migrated."""
    with psycopg.connect(migrated_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    return migrated_database


CALLS = {
    "current": migrate.current,
    "upgrade": migrate.upgrade,
    "downgrade": lambda url: migrate.downgrade(url, "base"),
    "one step down": lambda url: migrate.downgrade(url, "-1"),
    "review": migrate.review_sql,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_database_of_a_newer_partyline_is_left_as_it_was(newer_database, call):
    before = ask(newer_database, SHAPE)
    with pytest.raises(migrate.MigrationError) as caught:
        CALLS[call](newer_database)
    assert str(caught.value) == (
        "the database is at revision 9999, which this Partyline does not know: use the newer one that "
        "migrated it (nothing was changed)"
    )
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert ask(newer_database, SHAPE) == before
    assert ask(newer_database, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_newer_partyline_that_migrates_first_is_noticed(migrated_database):
    with psycopg.connect(migrated_database) as newer, ThreadPoolExecutor(1) as thread:
        newer.execute("SELECT pg_advisory_xact_lock(%s)", [migrate.ADVISORY_KEY])
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        older = thread.submit(migrate.downgrade, migrated_database, "base")
        while not ask(migrated_database, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert not older.done(), older.exception()
        newer.commit()
        with pytest.raises(
            migrate.MigrationError, match="at revision 9999, which this Partyline does not know"
        ):
            older.result()


def test_a_database_at_two_revisions_is_left_as_it_was(migrated_database):
    with psycopg.connect(migrated_database) as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    before = ask(migrated_database, SHAPE)
    for call in CALLS.values():
        with pytest.raises(migrate.MigrationError, match=r"at 0001 and \d{4} at once: delete the wrong row"):
            call(migrated_database)
    assert ask(migrated_database, SHAPE) == before


@pytest.mark.parametrize(("revisions", "known"), [((), ("0001",)), (("0001",), ("0002", "0001"))])
def test_an_empty_and_a_known_database_are_taken(revisions, known):
    assert unknown_revision(revisions, known) is None


def claim(url, extension, version):
    """Makes the catalogue say that the extension is at that version; what is really there stays."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE pg_extension SET extversion = %s WHERE extname = %s", [version, extension])


def test_an_old_extension_stops_an_upgrade(database):
    migrate.upgrade(database, "0007")
    claim(database, "postgis", "2.5.5")
    before = ask(database, SHAPE)
    with pytest.raises(migrate.MigrationError) as caught:
        migrate.upgrade(database)
    assert str(caught.value) == (
        "the database has postgis 2.5.5, but Partyline needs 3 or newer: "
        "run `ALTER EXTENSION postgis UPDATE` and migrate again"
    )
    assert ask(database, SHAPE) == before
    assert migrate.current(database) == "0007"


def test_an_old_package_stops_the_first_upgrade(database, monkeypatch):
    monkeypatch.setitem(MINIMUM_EXTENSIONS, "postgis", (99, 1))
    with pytest.raises(migrate.MigrationError, match=r"the server offers postgis 3.*needs 99\.1 or newer"):
        migrate.upgrade(database)
    assert ask(database, "SELECT relname FROM pg_class WHERE relname = 'alembic_version'") == []


def test_the_servers_extensions_are_new_enough(database):
    found = ask(database, "SELECT name, installed_version, default_version FROM pg_available_extensions")
    assert {"timescaledb", "postgis"} <= {name for name, _, _ in found}
    versions = {name: (there, offered) for name, there, offered in found}
    assert outdated_extension(versions, list(versions)) is None


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"timescaledb": ("2.12.2", "2.19.3")}, "2.12.2, but Partyline needs 2.13 or newer: run `ALTER EXT"),
        ({"timescaledb": ("2.9.1", "2.9.1")}, "install a newer package on the server, run `ALTER EXTENSION"),
        ({"vector": ("0.4.4", None)}, "the database has vector 0.4.4, but Partyline needs 0.5 or newer"),
        ({"pg_partman": (None, "4.7.4")}, "the server offers pg_partman 4.7.4, but Partyline needs 5 or"),
        ({"postgis": ("odd", "3.5.2")}, "the database has postgis odd"),
    ],
)
def test_an_old_extension_is_told_apart(versions, said):
    assert said in outdated_extension(versions, ["pg_partman"])


@pytest.mark.parametrize(
    "versions",
    [
        {},
        {"timescaledb": ("2.13.0", "2.13.0")},
        {"timescaledb": ("2.19.3-dev", None)},
        {"postgis": ("3.6.0beta1", "3.6.0beta1")},
        {"postgis": ("3", "3")},
        {"timescaledb": (None, "2.9.1")},  # offered, and not wanted
        {"other": ("0.1", "0.1")},
    ],
)
def test_a_right_extension_is_not_refused(versions):
    assert outdated_extension(versions, ["pg_partman"]) is None
