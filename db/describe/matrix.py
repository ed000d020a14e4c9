"""The matrix itself: a row for each object, a column for each role, letters where they meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from db.describe import rights
from db.describe.catalogue import Catalogue, Function, Grant, Relation
from db.describe.markdown import cell, code, table


def _roles(catalogue: Catalogue) -> list[str]:
    """The roles that have a column: ours, PUBLIC, and any stranger who has a grant on what is listed."""
    listed_grants = [
        *rights.on_database(catalogue),
        *(one for schema in catalogue.schemas for one in rights.on_schema(catalogue, schema.name)),
        *(one for relation in catalogue.relations for one in rights.on_relation(catalogue, relation)),
        *(one for function in catalogue.functions for one in rights.on_function(catalogue, function)),
    ]
    everybody = {one.grantee for one in listed_grants} | {role.name for role in catalogue.roles}
    return rights.readers_order(everybody | {rights.PUBLIC}, catalogue)


def sections(catalogue: Catalogue) -> Iterator[str]:
    """The database and its schemas, then a table for each schema."""
    roles = _roles(catalogue)
    head = ["", "", *(rights.title(role) for role in roles)]
    yield "## Matrix\n"
    rows = [_row(roles, "the database", "", None, rights.on_database(catalogue))]
    for schema in catalogue.schemas:
        grants = rights.on_schema(catalogue, schema.name)
        rows.append(_row(roles, code(schema.name), "schema", schema.owner, grants))
    yield table(head, rows)
    for name in schema_names(catalogue):
        rows = [*_relation_rows(catalogue, name, roles), *_function_rows(catalogue, name, roles)]
        if rows:
            yield f"### In schema {code(name)}\n"
            yield table(head, rows)


def _relation_rows(catalogue: Catalogue, schema: str, roles: Sequence[str]) -> Iterator[list[str]]:
    for one in relations(catalogue, schema):
        grants = rights.on_relation(catalogue, one)
        width = len(catalogue.columns_of(one))
        owner = None if one.extension else one.owner
        yield _row(roles, code(one.name), kind(one), owner, grants, width=width)


def _function_rows(catalogue: Catalogue, schema: str, roles: Sequence[str]) -> Iterator[list[str]]:
    functions = [one for one in catalogue.functions if one.schema == schema]
    shorts = [one.short for one in functions]
    for one in functions:
        shown = f"{one.short}()" if shorts.count(one.short) == 1 else one.name
        owner = None if one.extension else one.owner
        yield _row(roles, code(shown), function_kind(one), owner, rights.on_function(catalogue, one))


def _row(
    roles: Sequence[str], name: str, what: str, owner: str | None, grants: Sequence[Grant], *, width: int = 0
) -> list[str]:
    """`owner` is told in words where it has no column; none where it is another on each server."""
    if owner is not None and owner not in roles:
        what += f", owned by {code(owner)}"
    cells = ["owner" if role == owner else rights.summary(grants, role, width=width) for role in roles]
    return [cell(name), what, *cells]


def schema_names(catalogue: Catalogue) -> list[str]:
    """Also those of extensions, where something in them is listed."""
    found = {one.schema for one in catalogue.relations} | {one.schema for one in catalogue.functions}
    return sorted(found | {one.name for one in catalogue.schemas})


def relations(catalogue: Catalogue, schema: str) -> list[Relation]:
    """Sequences only where somebody has a grant on one: the rest belong to their tables."""
    return [
        one
        for one in catalogue.relations
        if one.schema == schema and (one.kind != "sequence" or rights.on_relation(catalogue, one))
    ]


def kind(relation: Relation) -> str:
    words = [f"partitioned {relation.kind}" if relation.partitioned_by else relation.kind]
    if relation.extension:
        words.append(f"of {relation.extension}")
    if relation.row_security:
        words.append("rls forced" if relation.row_security_forced else "rls")
    if relation.barrier:
        words.append("barrier")
    if relation.invoker:
        words.append("as caller")
    return ", ".join(words)


def function_kind(function: Function) -> str:
    words = ["function"]
    if function.extension:
        words.append(f"of {function.extension}")
    if function.definer:
        words.append("definer")
    return ", ".join(words)
