"""What `doctor` says: one finding for each thing, good or bad, and never a password."""

from __future__ import annotations

import sys
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from db import migrate
from db.revision import NEEDED_REVISION
from server.doctor import examine
from server.settings import Settings


def findings(**settings: str) -> dict[str, bool]:
    return {finding.text: finding.good for finding in examine(Settings(**settings))}


def test_everything_is_there(migrated_database: str, redis_url: str) -> None:
    found = findings(database_url=migrated_database, redis_url=redis_url)
    assert all(found.values()), found
    python, postgresql, redis = found
    assert python.startswith(f"Python {sys.version_info.major}.")
    assert postgresql == f"PostgreSQL 17 answers, at revision {migrate.known_revisions()[0]}, the newest"
    assert redis.startswith("Redis ")


def test_a_redis_cluster(redis_cluster_url: str) -> None:
    found = findings(redis_url=redis_cluster_url)
    assert [good for text, good in found.items() if text.startswith("Redis Cluster ")] == [True]


def test_a_database_that_was_not_migrated(database: str, redis_url: str) -> None:
    found = findings(database_url=database, redis_url=redis_url)
    assert [text for text, good in found.items() if not good] == [
        "PostgreSQL 17 answers, but the database is not migrated: run `partyline migrate`"
    ]


@pytest.mark.parametrize("role", ["gateway", "writer", "keeper", "reader"])
def test_each_process_may_look(role_url: Callable[[str], str], redis_url: str, role: str) -> None:
    found = findings(database_url=role_url(role), redis_url=redis_url)
    assert all(found.values()), found


def database_finding(url: str) -> tuple[str, bool]:
    return next((text, good) for text, good in findings(database_url=url).items() if "PostgreSQL" in text)


def test_a_database_that_is_older_than_needed(database: str) -> None:
    migrate.upgrade(database, "0001")
    text, good = database_finding(database)
    assert not good
    assert f"at revision 0001, and this Partyline needs {NEEDED_REVISION} or newer" in text


def test_a_database_that_could_be_newer(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrate.known_revisions()
    monkeypatch.setattr(migrate, "known_revisions", lambda: ["9999", *known])
    text, good = database_finding(migrated_database)
    assert good
    assert text.endswith(f"at revision {known[0]}: `partyline migrate` brings it to 9999")


@pytest.mark.parametrize(
    ("revision", "fits", "said"),
    [
        ("9999", True, "at revision 9999, made by a newer Partyline than this"),
        ("ae1027a6acf", False, "at revision ae1027a6acf, which is none of Partyline's"),
    ],
)
def test_a_database_at_a_revision_that_is_not_known(
    migrated_database: str, revision: str, fits: bool, said: str
) -> None:
    with psycopg.connect(migrated_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
    text, good = database_finding(migrated_database)
    assert (good, said in text) == (fits, True), text


def test_a_login_that_may_not_read_the_revision(role_url: Callable[[str], str], party_database: str) -> None:
    with psycopg.connect(party_database) as connection:
        connection.execute("REVOKE SELECT ON alembic_version FROM partyline_keeper")
    text, good = database_finding(role_url("keeper"))
    assert not good
    assert "may not read the database's revision: run `partyline migrate`" in text


def wrong_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:a-wrong-secret@{host}"))


def test_servers_that_do_not_answer(migrated_database: str, redis_url: str) -> None:
    for settings in (
        {"database_url": "postgresql://u:a-wrong-secret@127.0.0.1:1/x"},
        {"database_url": "postgresql://u:a-wrong-secret@127.0.0.1:99999/x"},
        {"database_url": wrong_password(migrated_database)},
        {"redis_url": "redis://:a-wrong-secret@127.0.0.1:1/0"},
        {"redis_url": wrong_password(redis_url)},
    ):
        (bad,) = [
            text for text, good in findings(**settings).items() if not good and "mmdebstrap" not in text
        ]
        assert bad.startswith(f"PARTYLINE_{next(iter(settings)).upper()}: ")
        assert "is the server up, and the URL right?" in bad
        assert "secret" not in bad


@pytest.mark.parametrize("url", ["redis://:a-wrong-secret@127.0.0.1:99999/0", "redis+cluster://:secret@a:1,"])
def test_a_url_that_is_none(url: str) -> None:
    (bad,) = [text for text, good in findings(redis_url=url).items() if "REDIS" in text and not good]
    assert "must" in bad and "secret" not in bad


def test_without_urls_it_says_whether_up_can_build_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.doctor.shutil.which", lambda name: f"/usr/bin/{name}")
    assert findings()["mmdebstrap is there: `partyline up` can build its own servers"]
    monkeypatch.setattr("server.doctor.shutil.which", lambda name: None)
    (bad,) = [text for text, good in findings().items() if not good]
    assert "apt-get install mmdebstrap" in bad


def test_looking_changes_nothing(database: str, redis_url: str) -> None:
    import redis

    findings(database_url=database, redis_url=redis_url)
    with psycopg.connect(database) as connection:
        (tables,) = connection.execute(  # type: ignore[misc]
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchone()
    with redis.Redis.from_url(redis_url) as client:
        assert (tables, client.dbsize()) == (0, 0)
