"""All settings, read from `PARTYLINE_*` in this one place. Parts get plain values from here.

A wrong setting raises `SettingsError` with one line that names the variable and the form it wants, and
never the value, which may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from server.addresses import networks
from server.redis_url import FORMS, RedisUrlError, read_redis_url

PREFIX = "PARTYLINE_"


class SettingsError(Exception):
    """One line: which variable, and what it should look like."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """Every setting with its default; the variable is `PARTYLINE_` and the name in capitals."""

    database_url: str = ""
    """postgresql://… of the process's own role."""
    redis_url: str = ""
    """redis://… of one server, redis+sentinel://… or redis+cluster://…"""
    public_url: str = ""
    """Origin that people reach the gateway at; empty: from the request."""
    data_dir: Path = Path.home() / ".local/share/partyline"
    mask_key: str = ""
    """Secret of the rough masks: 64 hexadecimal digits. Changing it moves every grid."""
    jwt_secret: str = ""
    """HS256 secret of the users' JWTs, 32 characters or more."""
    jwks_url: str = ""
    """Where the users' JWT keys are, instead of a secret."""
    jwt_audience: str = ""
    allow_guests: bool = False
    """Whether people without an account may host and join."""
    allowed_origins: str = ""
    """Further web origins that may connect, separated by commas."""
    ttl_hours: int = 168
    """How long rows are kept; chunks past it are dropped."""
    keeper_interval_s: int = 60
    partitions: str = "auto"
    """How a new database cuts positions into days; `auto`: a hypertable where TimescaleDB is loaded."""
    backlog_rows: int = 200_000
    """Rows a gateway keeps waiting for PostgreSQL before it holds."""
    stream_rows: int = 1_000_000
    """Rows that may wait in Redis for the writers, those of all gateways together, before gateways hold."""
    max_connections: int = 20_000
    max_sessions: int = 10_000
    """Sessions that a gateway keeps in memory; joins of further ones are told to come again."""
    connections_per_address: int = 500
    """Many phones stand behind one address; IPv6 counts by /64."""
    joins_per_s: int = 20
    """Joins, new sessions and bad bearers a second of one address, on the long run."""
    joins_burst: int = 200
    trusted_proxies: str = ""
    """Addresses and networks whose `X-Forwarded-For` is believed, separated by commas; empty: nobody's."""
    unlimited_addresses: str = ""
    """Addresses and networks that no limit by address holds for, separated by commas."""
    flush_ms: int = 500
    """How often closed windows go to Redis."""
    log_level: str = "INFO"

    @property
    def origins(self) -> frozenset[str]:
        """The allowed origins."""
        return frozenset(part.strip() for part in self.allowed_origins.split(",") if part.strip())

    def __repr__(self) -> str:  # passwords and keys stay out of every repr
        return "Settings(…)"


_RANGES = {
    "ttl_hours": (1, 24 * 365),
    "keeper_interval_s": (1, 86_400),
    "backlog_rows": (100, 50_000_000),
    "stream_rows": (10_000, 50_000_000),
    "max_connections": (1, 1_000_000),
    "max_sessions": (1, 1_000_000),
    "connections_per_address": (1, 1_000_000),
    "joins_per_s": (1, 100_000),
    "joins_burst": (1, 1_000_000),
    "flush_ms": (50, 5_000),
}
_WORDS = {
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "partitions": ("auto", "hypertable", "native"),
}
_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "public_url": ("http", "https"),
    "jwks_url": ("https", "http"),
}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of a process. Unknown `PARTYLINE_*` names are an error too: most are typing mistakes."""
    kinds = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable.startswith(f"{PREFIX}TEST_"):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _ELSEWHERE:
            continue
        if name not in kinds:
            raise SettingsError(f"{variable}: there is no such setting (see docs/operations.md)")
        if text != "":
            values[name] = _value(variable, name, kinds[name], text)
    return Settings(**values)


_ELSEWHERE = {
    "sharable_token",
    *(
        f"{role}_password"
        for role in ("migrator", "gateway", "writer", "keeper", "reader", "backend", "analyst")
    ),
}
"""Read by single commands, not settings of a process."""


def require(settings: Settings, *names: str) -> None:
    """Raises `SettingsError` for the first of `names` that is not set."""
    for name in names:
        if not getattr(settings, name):
            raise SettingsError(f"{PREFIX}{name.upper()} is not set: {_FORMS.get(name, 'it is needed here')}")


_FORMS = {
    "database_url": "postgresql://role:password@host:port/database",
    "redis_url": FORMS,
    "mask_key": "64 hexadecimal digits, made once by `openssl rand -hex 32` and kept",
    "public_url": "https://host",
    "jwks_url": "https://host/path",
    "jwt_secret": "32 characters or more",
    "trusted_proxies": "10.0.0.5, 10.1.0.0/16, 2001:db8::/48",
    "unlimited_addresses": "10.0.0.5, 10.1.0.0/16, 2001:db8::/48",
    "log_level": "DEBUG, INFO, WARNING or ERROR",
    "partitions": "auto, hypertable or native",
}


def _value(variable: str, name: str, kind: Any, text: str) -> Any:
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise SettingsError(f"{variable} must be 1 or 0")
    if kind is int:
        low, high = _RANGES[name]
        if not (text.isdecimal() and len(text) < 12) or not low <= int(text) <= high:
            raise SettingsError(f"{variable} must be a whole number from {low} to {high}")
        return int(text)
    if kind is Path:
        return Path(text).expanduser()
    if name == "redis_url":
        try:
            read_redis_url(text)
        except RedisUrlError as error:
            raise SettingsError(f"{variable}: {error}") from None
    elif not _well_formed(name, text):
        raise SettingsError(f"{variable} must look like this: {_FORMS[name]}")
    return text


def _well_formed(name: str, text: str) -> bool:
    if name in _SCHEMES:
        try:
            parts = urlsplit(text)
            if name != "database_url":  # which may name several hosts
                _ = parts.port
        except ValueError:  # its text may repeat the password
            return False
        return parts.scheme in _SCHEMES[name] and bool(parts.netloc)
    if name == "mask_key":
        return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)
    if name == "jwt_secret":
        return len(text) >= 32
    if name in ("trusted_proxies", "unlimited_addresses"):
        return _are_networks(text)
    return text in _WORDS.get(name, (text,))


def _are_networks(text: str) -> bool:
    try:
        networks(text)
    except ValueError:  # also for a network with bits beyond its mask
        return False
    return True
