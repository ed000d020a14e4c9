"""docs/schema.sql: what pg_dump says of the schema, without what changes by itself.

Left out: versions, pg_dump's own settings and tokens, what extensions own, and partitions and chunks (they
depend on the day). Roles in a policy come in the server's order of the moment, so they are sorted.
"""

from __future__ import annotations

import re

import psycopg

from db.describe.catalogue import SQL, Catalogue
from db.embedded.dump import pg_dump

OPTIONS = (
    "--schema-only",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--exclude-schema=_timescaledb_*",
)
HEAD = """\
-- The whole schema, as pg_dump says it: for review and for comparing. A database is made by the migrations.
-- Generated from a migrated database: do not edit; make docs writes it, and a test fails when it is stale.
"""
_HEADER = re.compile(r"^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: .*\n--\n", re.MULTILINE)
_NOISE = re.compile(
    r"^(?:\\(?:un)?restrict .*|SET default_\w+ = .*|-- PostgreSQL database dump complete|--)\n?", re.MULTILINE
)
_POLICY_ROLES = re.compile(r"^(CREATE POLICY .*? TO )([\w\", ]+?)(?=;| USING | WITH CHECK )", re.MULTILINE)
QUIET = ("COMMENT", "ACL")
"""These follow the object they belong to, and say themselves what they are about."""
NOT_OURS = ("ts_insert_blocker", "ts_cagg_invalidation_trigger")
"""Triggers that TimescaleDB puts on its hypertables."""


def document(url: str, catalogue: Catalogue) -> str:
    """The snapshot. Raises `StackFailed` and `psycopg.Error`."""
    with psycopg.connect(url) as connection:
        partitions = connection.execute(SQL["partitions"]).fetchall()
    quoted = [".".join('"' + part.replace('"', '""') + '"' for part in one) for one in partitions]
    dump = pg_dump(url, [*OPTIONS, *(f"--exclude-table={one}" for one in quoted)])
    keeping = "".join(f"-- {line}\n" for line in catalogue.keeping)
    return f"{HEAD}\n{normalised(dump)}\n-- Partitions\n\n{keeping}"


def normalised(dump: str) -> str:
    """The objects of a dump, each with a heading of one line."""
    _, *parts = _HEADER.split(dump)
    written = []
    for name, kind, schema, body in zip(*(iter(parts),) * 4, strict=True):
        if kind == "COMMENT" and name.startswith("EXTENSION "):  # names editions
            continue
        if kind == "TRIGGER" and name.split()[-1] in NOT_OURS:
            continue
        text = _POLICY_ROLES.sub(_sorted_roles, _NOISE.sub("", body)).strip()
        heading = "" if kind in QUIET else f"-- {kind} {name if schema == '-' else f'{schema}.{name}'}\n\n"
        written.append(f"{heading}{text}\n")
    return "\n".join(written)


def _sorted_roles(found: re.Match[str]) -> str:
    return found[1] + ", ".join(sorted(found[2].split(", ")))
