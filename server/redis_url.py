"""The URL of Redis, taken apart: one server, Sentinel, or Cluster. No error and no repr holds a password.

    redis://[user:password@]host:port/0                            rediss:// with TLS, unix:///socket
    redis+sentinel://[user:password@]host:port,host:port/name[/0]  rediss+sentinel:// with TLS
    redis+cluster://[user:password@]host:port,host:port            rediss+cluster:// with TLS

The password is the servers'; Sentinels that want one too have it in `?sentinel_password=`. Options of TLS
(`ssl_ca_certs`, …) go into the query as redis-py names them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

FORMS = (
    "redis://:password@host:port/0, redis+sentinel://:password@host:port,host:port/master-name "
    "or redis+cluster://:password@host:port,host:port"
)


class RedisUrlError(ValueError):
    """One line that says what is wrong and never repeats the URL."""


class Kind(Enum):
    """What is behind the URL."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, kw_only=True, repr=False)
class RedisUrl:
    """A URL's parts. `hosts` are the Sentinels', or some of the cluster's nodes."""

    kind: Kind
    text: str
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    username: str | None = None
    password: str | None = None
    master: str = ""
    database: int = 0
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"RedisUrl({self.kind.value}, …)"


_KINDS = {"": Kind.SERVER, "sentinel": Kind.SENTINEL, "cluster": Kind.CLUSTER}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_PORTS = {Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}


def read_redis_url(text: str) -> RedisUrl:
    """Takes a URL apart. Raises `RedisUrlError`."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise RedisUrlError(f"it must look like this: {FORMS}") from None
    scheme, _, kind_name = parts.scheme.partition("+")
    kind = _KINDS.get(kind_name)
    if kind is None or scheme not in ("redis", "rediss", "unix") or (scheme == "unix" and kind_name):
        raise RedisUrlError(f"it must look like this: {FORMS}")
    if parts.fragment:
        raise RedisUrlError("a # in a password must be written %23")
    if kind is Kind.SERVER:
        return RedisUrl(kind=kind, text=_one_server(text, parts), tls=scheme == "rediss")
    userinfo, _, hosts = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    master, database = _path(kind, parts.path)
    return RedisUrl(
        kind=kind,
        text=text,
        tls=scheme == "rediss",
        hosts=tuple(_host(kind, part) for part in hosts.split(",")),
        username=unquote(username) or None,
        password=unquote(password) or None,
        master=master,
        database=database,
        options=_options(kind, parts.query),
    )


def _one_server(text: str, parts: SplitResult) -> str:
    if "," in parts.netloc.rpartition("@")[2]:
        raise RedisUrlError("several hosts need redis+sentinel:// or redis+cluster://")
    try:
        _ = parts.port
    except ValueError:  # its text may repeat the password
        raise RedisUrlError(f"its port is no number; it must look like this: {FORMS}") from None
    if not parts.netloc and parts.scheme != "unix":
        raise RedisUrlError(f"it names no host; it must look like this: {FORMS}")
    return text


def _host(kind: Kind, text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise RedisUrlError(f"its hosts must be host:port,host:port; it must look like this: {FORMS}")
    port = int(found[2]) if found[2] else _PORTS[kind]
    if not 1 <= port <= 65_535:
        raise RedisUrlError("a port must be a number from 1 to 65535")
    return found[1].strip("[]"), port


def _path(kind: Kind, path: str) -> tuple[str, int]:
    steps = [unquote(step) for step in path.strip("/").split("/") if step]
    if kind is Kind.CLUSTER:
        if steps not in ([], ["0"]):
            raise RedisUrlError("a Redis Cluster has database 0 only, and its URL no path")
        return "", 0
    if not 1 <= len(steps) <= 2:
        raise RedisUrlError("behind Sentinels' hosts the master's name is needed: redis+sentinel://…/name")
    if len(steps) == 2 and not (steps[1].isdecimal() and len(steps[1]) < 6):
        raise RedisUrlError("behind the master's name only a database's number may stand")
    return steps[0], int(steps[1]) if len(steps) == 2 else 0


def _options(kind: Kind, query: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    for name, _ in pairs:
        if not name.startswith("ssl_") and not (kind is Kind.SENTINEL and name in SENTINEL_OPTIONS):
            raise RedisUrlError("its query may hold ssl_… options only, and sentinel_password for Sentinel")
    return pairs


SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
