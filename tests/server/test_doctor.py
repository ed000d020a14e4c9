"""What `doctor` says: one finding for each thing, good or bad, and never a password."""

from __future__ import annotations

import sys
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import pytest

from server.doctor import examine
from server.settings import Settings


def findings(**settings: str) -> dict[str, bool]:
    return {finding.text: finding.good for finding in examine(Settings(**settings))}


def test_everything_is_there(migrated_database: str, redis_url: str) -> None:
    found = findings(database_url=migrated_database, redis_url=redis_url)
    assert all(found.values()), found
    python, postgresql, redis = found
    assert python.startswith(f"Python {sys.version_info.major}.")
    assert "PostgreSQL 17 answers, at revision" in postgresql
    assert redis.startswith("Redis ")


def test_a_database_that_was_not_migrated(database: str, redis_url: str) -> None:
    found = findings(database_url=database, redis_url=redis_url)
    assert [text for text, good in found.items() if not good] == [
        "PostgreSQL 17 answers, not migrated: run `partyline migrate`"
    ]


def test_a_role_that_may_not_read_the_revision_is_no_fault(
    role_url: Callable[[str], str], redis_url: str
) -> None:
    found = findings(database_url=role_url("keeper"), redis_url=redis_url)
    assert all(found.values()), found


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
        {"redis_url": "redis://:a-wrong-secret@127.0.0.1:99999/0"},
        {"redis_url": wrong_password(redis_url)},
    ):
        (bad,) = [
            text for text, good in findings(**settings).items() if not good and "mmdebstrap" not in text
        ]
        assert bad.startswith(f"PARTYLINE_{next(iter(settings)).upper()}: ")
        assert "is the server up, and the URL right?" in bad
        assert "secret" not in bad


def test_without_urls_it_says_whether_up_can_build_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.doctor.shutil.which", lambda name: f"/usr/bin/{name}")
    assert findings()["mmdebstrap is there: `partyline up` can build its own servers"]
    monkeypatch.setattr("server.doctor.shutil.which", lambda name: None)
    (bad,) = [text for text, good in findings().items() if not good]
    assert "apt-get install mmdebstrap" in bad


def test_looking_changes_nothing(database: str, redis_url: str) -> None:
    import psycopg
    import redis

    findings(database_url=database, redis_url=redis_url)
    with psycopg.connect(database) as connection:
        (tables,) = connection.execute(  # type: ignore[misc]
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchone()
    with redis.Redis.from_url(redis_url) as client:
        assert (tables, client.dbsize()) == (0, 0)
