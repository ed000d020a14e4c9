"""`partyline doctor`: what this machine has, and what the settings reach. It changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from redis.exceptions import RedisError

from db import migrate
from db.revision import MAY_NOT_READ, READ_REVISION, refusal
from server.control_store import CONTROL
from server.redis_link import connect_redis
from server.redis_url import Kind, RedisUrlError
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
    revision: str | None = None
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            answers = f"PostgreSQL {connection.info.server_version // 10_000} answers"
            try:
                (revision,) = connection.execute(READ_REVISION).fetchone() or (None,)
            except psycopg.errors.UndefinedTable:
                pass  # nobody has migrated it
            except psycopg.errors.InsufficientPrivilege:
                return Finding(False, f"{answers}, but {MAY_NOT_READ}")
    except psycopg.Error as error:
        return Finding(False, f"PARTYLINE_DATABASE_URL: {type(error).__name__}: {_UNREACHED}")
    return _revision(answers, revision)


def _revision(answers: str, revision: str | None) -> Finding:
    reason = refusal(revision)
    if reason or revision is None:
        return Finding(False, f"{answers}, but {reason}")
    known = migrate.known_revisions()
    if revision == known[0]:
        return Finding(True, f"{answers}, at revision {revision}, the newest")
    if revision in known:
        return Finding(
            True, f"{answers}, at revision {revision}: `partyline migrate` brings it to {known[0]}"
        )
    return Finding(
        True, f"{answers}, at revision {revision}, made by a newer Partyline than this ({known[0]})"
    )


def _redis(url: str) -> Finding:
    try:
        return asyncio.run(_ask_redis(url))
    except RedisUrlError as error:
        return Finding(False, f"PARTYLINE_REDIS_URL: {error}")
    except (RedisError, OSError) as error:
        return Finding(False, f"PARTYLINE_REDIS_URL: {type(error).__name__}: {_UNREACHED}")


async def _ask_redis(url: str) -> Finding:
    """It must answer for a key, which a Cluster that is down does not."""
    link = connect_redis(url)
    try:
        await link.client.exists(CONTROL)
        info = await link.client.info("server")
        replication = await link.client.info("replication")
    finally:
        await link.aclose()
    if link.kind is Kind.SENTINEL and "min_slaves_good_slaves" not in replication:
        return Finding(
            False,
            f"Redis {info['redis_version']} behind Sentinel answers, but min-replicas-to-write is 0: "
            "a master that is cut off would go on giving leases",
        )
    return Finding(True, f"{_KINDS[link.kind]} {info['redis_version']} answers")


_KINDS = {Kind.SERVER: "Redis", Kind.SENTINEL: "Redis behind Sentinel", Kind.CLUSTER: "Redis Cluster"}
