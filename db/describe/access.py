"""docs/access-matrix.md: who may do what, first on a page, then in full. For a reviewer and a lawyer."""

from __future__ import annotations

from collections.abc import Iterator

from db.describe import matrix, rights
from db.describe.catalogue import Catalogue, DefaultGrant, Function, Policy, Relation, Role
from db.describe.markdown import cell, code, listed, table

HEAD = """\
# Who may do what in the database

Generated from the catalogue of a migrated database: do not edit; `make docs` writes it, and a test fails when
it is stale. A change here is a change of somebody's rights and needs a security review.

## How to read it

A role may do what is granted to it, to `PUBLIC` (everybody), or to a role it is a member of, and nothing
else. The owner of an object may do everything with it. A superuser of the server stands above all of this;
*Roles* says whether a role of ours is one. A column's head is a role's name without `partyline_`.

- `r` read (SELECT), `i` add rows (INSERT), `u` change rows (UPDATE), `d` delete rows, `T` truncate, `f` refer
  to by foreign key, `g` make triggers, `m` maintain, `x` call a function (EXECUTE), `U` use a schema or
  sequence, `C` create in it, `c` connect, `t` make temporary tables; `*` may grant it on.
- `r(4/13)`: only 4 of the 13 columns. They are named further down.
- *rls*: row level security is on: a role sees and changes only the rows that a policy names for it; without a
  policy, none. The table's owner is exempt unless it is *forced*.
- *barrier*: a view that no clever function can look behind. A view reads with the rights of its owner, unless
  it is *as caller*.
- *definer*: a function that runs with the rights of its owner: who may call it may do what it does.
- An empty cell is a refusal.

What extensions bring is listed where a role of ours was granted it, or where it runs with its owner's rights
(TimescaleDB's inner schemas only where granted); the rest is as the extension made it.
"""
PARTS = """\
Partitions and chunks are tables of their own, which row level security of the whole does not cover.
PostgreSQL gives a new partition no grant; TimescaleDB gives a new chunk the grants of its hypertable and none
of its policies: who may read a hypertable reads its chunks past every policy.
"""


def document(catalogue: Catalogue) -> str:
    """The whole page."""
    sections = [
        HEAD,
        *matrix.sections(catalogue),
        *_roles(catalogue),
        *_details(catalogue),
        *_parts(catalogue),
    ]
    return "\n".join(section.rstrip("\n") + "\n" for section in sections if section)


# --- roles ---------------------------------------------------------------------------------------------


def _roles(catalogue: Catalogue) -> Iterator[str]:
    yield "## Roles\n"
    head = ["role", "logs in", "inherits", "superuser", "past rls", "other powers", "settings", "what for"]
    yield table(head, [_role(one) for one in catalogue.roles])
    yield "### Who is a member of whom\n"
    head = [
        "member",
        "of",
        "has its rights at once (INHERIT)",
        "may become it (SET)",
        "may add members (ADMIN)",
    ]
    rows = [
        [code(one.member), code(one.role), _yes(one.inherits), _yes(one.may_set), _yes(one.admin)]
        for one in catalogue.memberships
    ]
    yield table(head, rows) or "Nobody is a member of another role.\n"
    yield "### What is granted on objects made later\n"
    yield "\n".join(_default(one) for one in catalogue.default_grants) or "PostgreSQL's own defaults."


def _role(role: Role) -> list[str]:
    powers = {
        "creates roles": role.creates_roles,
        "creates databases": role.creates_databases,
        "replicates": role.replicates,
    }
    return [
        code(role.name),
        _yes(role.login),
        _yes(role.inherits),
        _yes(role.superuser),
        _yes(role.bypasses),
        ", ".join(name for name, has in powers.items() if has),
        listed(role.settings, none=""),
        cell(role.comment or ""),
    ]


def _yes(so: bool) -> str:
    return "yes" if so else "no"


def _default(default: DefaultGrant) -> str:
    where = f" in {code(default.schema)}" if default.schema else ""
    return (
        f"- {default.objects} made by {code(default.maker)}{where}: {listed(default.grants)} beside the owner"
    )


# --- in full -------------------------------------------------------------------------------------------


def _details(catalogue: Catalogue) -> Iterator[str]:
    yield "## In full\n"
    for name in matrix.schema_names(catalogue):
        schema = next((one for one in catalogue.schemas if one.name == name), None)
        yield f"### Schema {code(name)}\n"
        if schema and schema.comment:
            yield cell(schema.comment) + "\n"
        for relation in matrix.relations(catalogue, name):
            yield from _relation(catalogue, relation)
        functions = [one for one in catalogue.functions if one.schema == name]
        if functions:
            yield f"#### Functions of {code(name)}\n"
            yield "\n".join(_function(catalogue, one) for one in functions)


def _relation(catalogue: Catalogue, relation: Relation) -> Iterator[str]:
    yield f"#### {code(relation.id)}\n"
    if relation.comment:
        yield cell(relation.comment) + "\n"
    secured = "on" if relation.row_security else "off"
    if relation.row_security:
        secured += ", also for the owner" if relation.row_security_forced else ", the owner is exempt"
    kind = matrix.kind(relation)
    about = f"{kind[0].upper()}{kind[1:]}. Owner: {_owner(relation)}."
    if relation.kind == "table":
        about += f" Row level security: {secured}."
    yield about + "\n"
    columns = [one.name for one in catalogue.columns_of(relation)]
    rows = [
        [code(grantee), privilege, cell(named) or "all"]
        for grantee, privilege, named in rights.lines(
            rights.on_relation(catalogue, relation), catalogue, columns
        )
    ]
    yield table(["role", "may", "columns"], rows) or "Granted to nobody.\n"
    policies = [
        one for one in catalogue.policies if (one.schema, one.relation) == (relation.schema, relation.name)
    ]
    if policies:
        yield "\n".join(_policy(one) for one in policies) + "\n"


def _owner(thing: Relation | Function) -> str:
    """Who made an extension is another on each server."""
    return "who made the extension" if thing.extension else code(thing.owner)


def _policy(policy: Policy) -> str:
    narrowing = "" if policy.permissive else ", narrowing the others (RESTRICTIVE)"
    why = f": {cell(policy.comment)}" if policy.comment else ""
    text = f"- policy {code(policy.name)} for {policy.command} by {listed(policy.roles)}{narrowing}{why}"
    if policy.using is not None:
        text += f"\n  - rows where {code(policy.using)}"
    if policy.checking is not None:
        text += f"\n  - written only where {code(policy.checking)}"
    return text


def _function(catalogue: Catalogue, function: Function) -> str:
    callers = rights.lines(rights.on_function(catalogue, function), catalogue, [])
    whose = f"its owner ({_owner(function)})" if function.definer else "the caller"
    text = f"- {code(function.name)} runs with the rights of {whose}"
    text += f"; called by {listed([grantee for grantee, _, _ in callers], none='nobody but the owner')}"
    if function.settings:
        text += f"; {listed(function.settings)}"
    if function.comment:
        text += f". {cell(function.comment)}"
    return text


def _parts(catalogue: Catalogue) -> Iterator[str]:
    yield "## Partitions and chunks\n"
    yield PARTS
    parted = [one for one in catalogue.relations if one.partitioned_by]
    yield "\n".join(_grants_on_parts(catalogue, one) for one in parted) or "No table is partitioned."


def _grants_on_parts(catalogue: Catalogue, relation: Relation) -> str:
    own = {(one.grantee, one.privilege, one.column) for one in rights.on_relation(catalogue, relation)}
    more = {
        f"{one.grantee} {one.privilege}" + (f" ({one.column})" if one.column else "")
        for one in catalogue.partition_grants
        if (one.schema, one.name) == (relation.schema, relation.name)
        and (one.grantee, one.privilege, one.column) not in own
    }
    found = "no role has a grant beyond the whole table's"
    if more:
        found = f"**beyond the whole table's: {listed(sorted(more))}**"
    readers = sorted({grantee for grantee, privilege, _ in own if privilege == "SELECT"})
    by = listed(relation.partitioned_by)
    return f"- {code(relation.id)}, by {by}: {found}. The whole table is read by {listed(readers)}"
