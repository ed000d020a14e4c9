"""docs/erd.md: the tables, their columns and how they refer to each other, as Mermaid diagrams by area."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from db.describe.areas import AREAS, LOOSE, UNDRAWN, UNKNOWN, Loose, area_of
from db.describe.catalogue import Catalogue, Column, Key, Relation
from db.describe.markdown import cell, code

HEAD = """\
# Entities and relations

Generated from the catalogue of a migrated database: do not edit; `make docs` writes it, and a test fails when
it is stale. Every comment is the table's or column's own (`COMMENT ON`), here shortened; in full they are in
[schema.sql](schema.sql). Tables of another area are shown as boxes without columns.

`||` exactly one, `|o` none or one, `o{` any number. A dotted line is a relation that no foreign key enforces.
`PK` part of the primary key, `FK` part of a foreign key, `UK` unique by itself.
"""
LONGEST = 80
"""Letters of a column's comment that a diagram has room for."""
SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time without time zone": "time",
    "character varying": "varchar",
    "double precision": "double",
}


def document(catalogue: Catalogue) -> str:
    """The whole page."""
    sections = [HEAD]
    for area, about in AREAS.items():
        tables = [one for one in _drawn(catalogue) if area_of(one.schema, one.name) == area]
        if not tables:
            continue
        sections.append(f"## {area}\n\n{about}\n")
        sections.append("\n".join(_sentence(one) for one in tables) + "\n")
        sections.append(f"```mermaid\n{diagram(catalogue, tables)}```\n")
        loose = [one for one in LOOSE if _child_in(one, tables) and _exists(catalogue, one)]
        if loose:
            sections.append("\n".join(_no_key(one) for one in loose) + "\n")
    sections += _views(catalogue)
    return "\n".join(sections)


def unplaced(catalogue: Catalogue) -> list[str]:
    """Tables that no area has."""
    return [one.id for one in _drawn(catalogue) if area_of(one.schema, one.name) == UNKNOWN]


def _drawn(catalogue: Catalogue) -> list[Relation]:
    return [one for one in catalogue.tables if one.schema not in UNDRAWN]


def diagram(catalogue: Catalogue, tables: Sequence[Relation]) -> str:
    """One erDiagram: the relations of these tables to others, then their columns."""
    lines = ["erDiagram"]
    lines += [_relation(catalogue, table, key) for table in tables for key in _foreign(catalogue, table)]
    lines += [_loose_relation(one) for one in LOOSE if _child_in(one, tables) and _exists(catalogue, one)]
    for table in tables:
        lines += _box(catalogue, table)
    return "".join(f"{line if line == 'erDiagram' else '    ' + line}\n" for line in lines)


def _foreign(catalogue: Catalogue, table: Relation) -> list[Key]:
    return [key for key in catalogue.keys_of(table) if key.kind == "f"]


def _relation(catalogue: Catalogue, child: Relation, key: Key) -> str:
    """`parent ||--o{ child`: whether there must be a parent, and whether there can be more children."""
    nullable = {one.name for one in catalogue.columns_of(child) if one.nullable}
    unique = any(
        other.kind in "pu" and set(other.columns) <= set(key.columns) for other in catalogue.keys_of(child)
    )
    parent = "|o" if nullable & set(key.columns) else "||"
    children = "o|" if unique else "o{"
    label = ", ".join(key.columns) + (f" ({key.on_delete})" if key.on_delete else "")
    target = _entity(str(key.target_schema), str(key.target))
    return f'{target} {parent}--{children} {_entity(child.schema, child.name)} : "{_quoted(label)}"'


def _loose_relation(one: Loose) -> str:
    parent, child = _entity("public", one.parent), _entity("public", one.child)
    return f'{parent} ||..o{{ {child} : "{one.column}, no foreign key"'


def _box(catalogue: Catalogue, table: Relation) -> Iterator[str]:
    columns = catalogue.columns_of(table)
    name = _entity(table.schema, table.name)
    shown = "" if table.schema == "public" else f'["{_quoted(table.id)}"]'
    if not columns:
        yield f"{name}{shown}"
        return
    yield f"{name}{shown} {{"
    keys = catalogue.keys_of(table)
    for column in columns:
        yield "    " + _attribute(column, keys)
    yield "}"


def _attribute(column: Column, keys: Iterable[Key]) -> str:
    marks = []
    for mark, kind in (("PK", "p"), ("FK", "f"), ("UK", "u")):
        mine = [key for key in keys if key.kind == kind and column.name in key.columns]
        if any(kind != "u" or key.columns == [column.name] for key in mine):
            marks.append(mark)
    words = [_type(column), _word(column.name), ", ".join(marks)]
    comment = shortened(column.comment or "")
    if column.nullable and "null" not in comment:
        comment += " (or null)"
    if comment:
        words.append(f'"{_quoted(comment.strip())}"')
    return " ".join(word for word in words if word)


def _type(column: Column) -> str:
    """A type as one word that Mermaid takes, without the schema of an extension."""
    name = re.sub(r"^\w+\.", "", column.type)
    for long, short in SHORT_TYPES.items():
        name = name.replace(long, short)
    return _word(name)


def _word(text: str) -> str:
    word = re.sub(r"[^A-Za-z0-9_()\[\]]+", "_", text).strip("_")
    return word if re.match(r"[A-Za-z_]", word) else f"_{word}"


def _entity(schema: str, name: str) -> str:
    return re.sub(r"\W", "_", name if schema == "public" else f"{schema}__{name}")


def _quoted(text: str) -> str:
    """Text that may stand between double quotes: Mermaid knows no escape."""
    return " ".join(text.split()).replace('"', "'")


def shortened(comment: str) -> str:
    """The first thing that a comment says, cut at a word where that is still too long."""
    flat = " ".join(comment.split())
    if len(flat) <= LONGEST:
        return flat
    first = re.split(r"(?<=[\w\x22\x27)][.;:]) ", flat, maxsplit=1)[0].rstrip(".;:")
    if len(first) <= LONGEST:
        return first
    return flat[: LONGEST - 1].rsplit(" ", 1)[0].rstrip(",.;:") + "…"


def _sentence(table: Relation) -> str:
    parted = (
        f" Partitioned by {', '.join(code(one) for one in table.partitioned_by)}."
        if table.partitioned_by
        else ""
    )
    name = table.name if table.schema == "public" else table.id
    return f"- **{name}**: {cell(table.comment or 'no comment').rstrip('.')}.{parted}"


def _child_in(loose: Loose, tables: Sequence[Relation]) -> bool:
    return any((one.schema, one.name) == ("public", loose.child) for one in tables)


def _exists(catalogue: Catalogue, loose: Loose) -> bool:
    names = {one.name for one in catalogue.tables if one.schema == "public"}
    return {loose.parent, loose.child} <= names


def _no_key(loose: Loose) -> str:
    column = code(f"{loose.child}.{loose.column}")
    return f"- No foreign key from {column} to {code(loose.parent)}: {loose.reason}."


def _views(catalogue: Catalogue) -> Iterator[str]:
    views = [one for one in catalogue.relations if "view" in one.kind and one.extension is None]
    if views:
        yield "## Views\n"
    for view in views:
        yield f"### {code(view.id)}\n\n{cell(view.comment or 'no comment').rstrip('.')}.\n"
        yield "".join(
            f"- {code(one.name)} {one.type}: {cell(one.comment or 'no comment')}\n"
            for one in catalogue.columns_of(view)
        )
