"""`partyline doctor`: what this machine has, and what the settings reach. It changes nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import redis

from db import migrate
from server.settings import Settings

_UNREACHED = "is the server up, and the URL right?"


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    good: bool
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything, one by one."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(sys.version_info >= (3, 11), f"Python {version} (3.11 or newer is needed)")
    if settings.database_url:
        yield _database(settings.database_url)
    if settings.redis_url:
        yield _redis(settings.redis_url)
    if not (settings.database_url and settings.redis_url):
        found = shutil.which("mmdebstrap") is not None
        yield Finding(
            found,
            "mmdebstrap is there: `partyline up` can build its own servers"
            if found
            else "no mmdebstrap: `apt-get install mmdebstrap`, or set the two URLs (see docs/operations.md)",
        )


def _database(url: str) -> Finding:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            number = connection.info.server_version
        revision = migrate.current(url)
    except migrate.MigrationError:
        return Finding(True, f"PostgreSQL {number // 10_000} answers; this role may not read its revision")
    except psycopg.Error as error:
        return Finding(False, f"PARTYLINE_DATABASE_URL: {type(error).__name__}: {_UNREACHED}")
    if revision is None:
        return Finding(False, f"PostgreSQL {number // 10_000} answers, not migrated: run `partyline migrate`")
    return Finding(True, f"PostgreSQL {number // 10_000} answers, at revision {revision}")


def _redis(url: str) -> Finding:
    try:
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
        info = client.info("server")
    except (redis.RedisError, ValueError) as error:
        return Finding(False, f"PARTYLINE_REDIS_URL: {type(error).__name__}: {_UNREACHED}")
    return Finding(True, f"Redis {info['redis_version']} answers")
