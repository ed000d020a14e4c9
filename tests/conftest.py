"""The real servers that tests run against: one embedded stack for the whole run, or the two that are named.

Name them with PARTYLINE_TEST_DATABASE_URL (a superuser) and PARTYLINE_TEST_REDIS_URL. A test that kills a
server takes `own_stack`; every other shares `stack`, in a database of its own.

PARTYLINE_TEST_PARTITIONS=native makes every database of the run natively partitioned, and leaves out the tests
that touch no database: they would be the same run twice.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
import redis
from psycopg import sql

from db.embedded import RedisCluster, Stack

hypothesis.settings.register_profile("partyline", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("partyline")

NATIVE = os.environ.get("PARTYLINE_TEST_PARTITIONS", "") == "native"
if NATIVE:  # here, before anything is migrated: by us, by `Up`, or by a process that inherits it
    os.environ["PARTYLINE_PARTITIONS"] = "native"

_DATABASES = {"stack", "own_stack", "up", "own_up"}
_FOLDERS = ("db", "e2e", "chaos")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not NATIVE:
        return
    folders = [Path(__file__).parent / name for name in _FOLDERS]

    def touches_a_database(item: pytest.Item) -> bool:
        return bool(_DATABASES & set(getattr(item, "fixturenames", ()))) or any(
            folder in item.path.parents for folder in folders
        )

    config.hook.pytest_deselected(items=[item for item in items if not touches_a_database(item)])
    items[:] = [item for item in items if touches_a_database(item)]


@dataclass(frozen=True)
class NamedServers:
    """Servers that somebody else runs. The same three things that tests take from a `Stack`."""

    database_url: str
    redis_url: str

    def superuser_url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.database_url)._replace(path=f"/{database}"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack | NamedServers]:
    """The servers of this test run: `database_url`, `redis_url`, `superuser_url(database)`."""
    database_url = os.environ.get("PARTYLINE_TEST_DATABASE_URL")
    redis_url = os.environ.get("PARTYLINE_TEST_REDIS_URL")
    if database_url and redis_url:
        yield NamedServers(database_url, redis_url)
        return
    with Stack(tmp_path_factory.mktemp("stack")) as embedded:
        # A thousand databases come and go, each of a thousand files, and the disk is no part of what is tested
        # here. Tests that kill a server have one of their own, as it is delivered.
        with psycopg.connect(embedded.database_url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield embedded


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack for one test, which may kill, stop and restart its servers."""
    with Stack(tmp_path / "own-stack") as embedded:
        yield embedded


def _admin(stack: Stack | NamedServers, statement: str, *names: str) -> None:
    with psycopg.connect(stack.superuser_url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def _fresh(stack: Stack | NamedServers, template: str) -> Iterator[str]:
    """A new database for as long as the block lasts. Yields the superuser's URL of it."""
    name = f"test_{secrets.token_hex(6)}"
    _admin(stack, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
    try:
        yield stack.superuser_url(name)
    finally:
        _admin(stack, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database(stack: Stack | NamedServers) -> Iterator[str]:
    """An empty database, without extensions; dropped afterwards. The superuser's URL."""
    with _fresh(stack, "template0") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(stack: Stack | NamedServers) -> Iterator[str]:
    """The name of a database that was migrated once, and that nobody may connect to."""
    from db.migrate import upgrade

    with _fresh(stack, "template0") as url:
        upgrade(url)
        name = urlsplit(url).path.lstrip("/")
        # TimescaleDB's scheduler (of named servers; the embedded stack has none) would be in the way.
        _admin(stack, "ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name)
        with psycopg.connect(stack.superuser_url("postgres"), autocommit=True) as connection:
            ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ending, [name])
        yield name


@pytest.fixture
def migrated_database(stack: Stack | NamedServers, migrated_template: str) -> Iterator[str]:
    """A database of the current schema; dropped afterwards. The superuser's URL."""
    with _fresh(stack, migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def sample_database(stack: Stack | NamedServers, migrated_template: str) -> Iterator[str]:
    """A database with 200,000 places and a million posts, loaded once. Nobody writes to it. The superuser's URL."""
    import threading
    from datetime import UTC, datetime

    from db.sample.draw import Plan
    from db.sample.loading import load_sample

    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with _fresh(stack, migrated_template) as url:
        assert load_sample(url, Plan(until=today), lambda *_: None, threading.Event())
        yield url


@pytest.fixture
def redis_url(stack: Stack | NamedServers) -> str:
    """A Redis that holds nothing yet."""
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    return stack.redis_url


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters for the whole run. Who kills a node has a cluster of their own."""
    with RedisCluster(tmp_path_factory.mktemp("cluster") / "redis") as cluster:
        for node in cluster.nodes:  # for tests that look for bytes in it
            node.ask("CONFIG", "SET", "rdbcompression", "no")
        yield cluster


@pytest.fixture
def redis_cluster_url(redis_cluster: RedisCluster) -> str:
    """A Redis Cluster that holds nothing yet."""
    redis_cluster.flush()
    return redis_cluster.url


@pytest.fixture(params=["server", "cluster"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """One server, and a Redis Cluster; both hold nothing yet."""
    url: str = request.getfixturevalue("redis_url" if request.param == "server" else "redis_cluster_url")
    return url
