"""Reads a database's URL so far that an error may say where it points. Never repeats a URL.

A password with an unescaped `@` or `/` ends up in what looks like the host or the port, and drivers quote
those; so a URL whose parts do not look right is refused before a driver sees it.
"""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

MALFORMED = (
    "the database's URL is not of the form postgresql://user:password@host:port/name "
    "(write @ : / ? # % in a password as %40 %3A %2F %3F %23 %25)"
)

_FORMS = {
    "host": re.compile(r"[A-Za-z0-9._:/,~-]*"),
    "port": re.compile(r"[0-9,]*"),
    "dbname": re.compile(r"[^@:/?#]*"),
}


def place(url: str) -> str:
    """`host:port/name as user`. Raises `ValueError` with `MALFORMED` for what is no URL."""
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    except (psycopg.Error, UnicodeError):
        raise ValueError(MALFORMED) from None
    for key, form in _FORMS.items():
        if not form.fullmatch(parts.get(key, "")):
            raise ValueError(MALFORMED)
    host, port = parts.get("host", "localhost"), parts.get("port", "5432")
    return f"{host}:{port}/{parts.get('dbname', '')} as {parts.get('user', 'the default user')}"
