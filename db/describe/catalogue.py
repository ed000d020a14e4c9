"""The catalogue of one database as values: read in one read-only snapshot, always in the same order.

What depends on the day (partitions, chunks), on the machine or on object numbers is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import psycopg
from psycopg.rows import class_row, dict_row

from db import queries

SQL = queries.load("catalogue")
PREFIX = "partyline_"

Row = TypeVar("Row")
Kind = Literal["hypertable", "native"]


@dataclass(frozen=True)
class Relation:
    """A table, view or sequence. `extension` names whose it is when it is not ours."""

    schema: str
    name: str
    kind: str
    owner: str
    extension: str | None
    row_security: bool
    row_security_forced: bool
    barrier: bool
    invoker: bool
    comment: str | None
    partitioned_by: list[str]

    @property
    def id(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Column:
    schema: str
    relation: str
    name: str
    type: str
    nullable: bool
    comment: str | None


@dataclass(frozen=True)
class Key:
    """`kind`: `p` primary, `u` unique, `f` foreign (then with its target)."""

    schema: str
    relation: str
    name: str
    kind: str
    columns: list[str]
    target_schema: str | None
    target: str | None
    on_delete: str | None


@dataclass(frozen=True)
class Function:
    """`name` has the types of the arguments; `short` has not."""

    schema: str
    short: str
    name: str
    owner: str
    extension: str | None
    definer: bool
    settings: list[str]
    comment: str | None


@dataclass(frozen=True)
class Grant:
    """`what`: database, schema, relation or function. `column` only where the grant is of one column."""

    what: str
    schema: str | None
    name: str
    column: str | None
    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class PartitionGrant:
    """A grant on a partition or chunk itself; `name` is the table that it is part of."""

    schema: str
    name: str
    column: str | None
    grantee: str
    privilege: str


@dataclass(frozen=True)
class Policy:
    schema: str
    relation: str
    name: str
    command: str
    permissive: bool
    roles: list[str]
    using: str | None
    checking: str | None
    comment: str | None


@dataclass(frozen=True)
class Schema:
    name: str
    owner: str
    comment: str | None


@dataclass(frozen=True)
class Role:
    name: str
    login: bool
    inherits: bool
    superuser: bool
    bypasses: bool
    creates_roles: bool
    creates_databases: bool
    replicates: bool
    comment: str | None
    settings: list[str]


@dataclass(frozen=True)
class Membership:
    role: str
    member: str
    inherits: bool
    may_set: bool
    admin: bool


@dataclass(frozen=True)
class DefaultGrant:
    maker: str
    schema: str | None
    objects: str
    grants: list[str]


@dataclass(frozen=True)
class Catalogue:
    """`kind` says how `party_positions` is partitioned; `keeping` says in words who partitions what."""

    kind: Kind
    schemas: Sequence[Schema]
    relations: Sequence[Relation]
    columns: Sequence[Column]
    keys: Sequence[Key]
    functions: Sequence[Function]
    policies: Sequence[Policy]
    grants: Sequence[Grant]
    partition_grants: Sequence[PartitionGrant]
    roles: Sequence[Role]
    memberships: Sequence[Membership]
    default_grants: Sequence[DefaultGrant]
    keeping: Sequence[str]

    @property
    def tables(self) -> list[Relation]:
        return [one for one in self.relations if one.kind == "table" and one.extension is None]

    def columns_of(self, relation: Relation) -> list[Column]:
        return [one for one in self.columns if (one.schema, one.relation) == (relation.schema, relation.name)]

    def keys_of(self, relation: Relation) -> list[Key]:
        return [one for one in self.keys if (one.schema, one.relation) == (relation.schema, relation.name)]


def read(url: str) -> Catalogue:
    """The catalogue of the database. Raises `psycopg.Error`."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        # Names in expressions are written by it; who connects may have another.
        connection.execute("SET LOCAL search_path = public")

        def all_of(name: str, kind: type[Row]) -> list[Row]:
            return connection.cursor(row_factory=class_row(kind)).execute(SQL[name]).fetchall()

        def plain(name: str) -> list[dict[str, Any]]:
            return connection.cursor(row_factory=dict_row).execute(SQL[name]).fetchall()

        there = plain("has_relation")[0]
        hypertables = plain("hypertables") if there["timescaledb"] else []
        kept = plain("partition_keeping") if there["partman"] else []
        relations = _with_chunks(all_of("relations", Relation), hypertables)
        return Catalogue(
            kind="hypertable" if any(one["name"] == "party_positions" for one in hypertables) else "native",
            schemas=all_of("schemas", Schema),
            relations=relations,
            columns=all_of("columns", Column),
            keys=all_of("keys", Key),
            functions=all_of("functions", Function),
            policies=all_of("policies", Policy),
            grants=all_of("grants", Grant),
            partition_grants=all_of("partition_grants", PartitionGrant),
            roles=all_of("roles", Role),
            memberships=all_of("memberships", Membership),
            default_grants=all_of("default_grants", DefaultGrant),
            keeping=_keeping(hypertables, kept),
        )


def _with_chunks(relations: list[Relation], hypertables: list[dict[str, Any]]) -> list[Relation]:
    """A hypertable is partitioned as well, though PostgreSQL does not know."""
    by: dict[str, list[str]] = {}
    for one in hypertables:
        by.setdefault(f"{one['schema']}.{one['name']}", []).append(one["column"])
    return [replace(one, partitioned_by=by.get(one.id, one.partitioned_by)) for one in relations]


def _keeping(hypertables: list[dict[str, Any]], kept: list[dict[str, Any]]) -> list[str]:
    words = [
        f"{one['schema']}.{one['name']}: chunks by {one['column']}, {one['every']}" for one in hypertables
    ]
    for one in kept:
        end = "never retired by pg_partman" if one["kept_for"] is None else f"retired after {one['kept_for']}"
        if one["kept_for"] is not None:
            end += " (detached, not dropped)" if one["detaches"] else " (dropped)"
        words.append(
            f"{one['parent']}: partitions by {one['column']}, {one['every']}, {one['ahead']} ahead, {end}"
        )
    return sorted(words)
