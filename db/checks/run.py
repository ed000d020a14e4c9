"""Runs rules over a database as Great Expectations: one query asset each, expected to have no rows.

Great Expectations counts in the database; no table is loaded. It gets connections that are open already and
never the URL, so no repr, log or error of its has the password. The context lives in memory, and whatever it
would print or send stays off. It is an optional extra: nothing but `check` imports it.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from sqlalchemy import Engine, event, text
from sqlalchemy.engine import ExceptionContext

from db.checks.login import CannotCheck, connect
from db.checks.rules import Rule

if TYPE_CHECKING:
    from great_expectations.datasource.fluent.postgres_datasource import PostgresDatasource

KEYS = 20
"""How many of the rows that break a rule are named."""

_NOWHERE = "postgresql+psycopg://login@server/database"
"""Great Expectations insists on a URL; connections come from `connect`, so it is never used."""

MISSING = "check-data needs Great Expectations: pip install 'partyline[checks]'"


class Finding(msgspec.Struct, frozen=True):
    """What came of one rule: so many rows break it, and the keys of some; or why it was not checked."""

    rule: Rule
    broken_rows: int
    keys: list[dict[str, str]]
    seconds: float
    unchecked: str | None = None

    @property
    def good(self) -> bool:
        """Checked, and no row breaks it."""
        return self.unchecked is None and self.broken_rows == 0


def check(url: str, rules: Sequence[Rule], *, ttl_hours: int, timeout_s: int) -> Iterator[Finding]:
    """Checks one rule after another, each in a read-only transaction of its own. Raises `CannotCheck`."""
    opening = partial(connect, url, ttl_hours=ttl_hours, timeout_s=timeout_s)
    opening().close()  # says what is wrong in our words, before Great Expectations says it in its own
    with _quiet(), _source(opening) as source:
        for rule in rules:
            yield _find(source, rule, timeout_s)


def _find(source: PostgresDatasource, rule: Rule, timeout_s: int) -> Finding:
    from great_expectations.expectations.core.expect_table_row_count_to_equal import (  # noqa: PLC0415
        ExpectTableRowCountToEqual,
    )
    from great_expectations.expectations.metadata_types import FailureSeverity  # noqa: PLC0415

    began = time.monotonic()
    engine = source.get_execution_engine().engine
    severity = FailureSeverity.WARNING if rule.warning else FailureSeverity.CRITICAL
    event.listen(engine, "handle_error", _give_up)
    try:
        batch = source.add_query_asset(rule.name, rule.sql).add_batch_definition("live").get_batch()
        expectation = ExpectTableRowCountToEqual(value=0, severity=severity)
        result = batch.validate(expectation, result_format="BASIC")
        count = result.result.get("observed_value")
        if not isinstance(count, int):
            raise _Refused
        keys = [] if result.success else _keys(engine, rule)
    except _Refused as refused:
        return Finding(rule, 0, [], time.monotonic() - began, _reason(refused.__cause__, timeout_s))
    finally:
        event.remove(engine, "handle_error", _give_up)
    return Finding(rule, count, keys, time.monotonic() - began)


class _Refused(BaseException):
    """The database did not count. No `Exception`: of those Great Expectations makes two further attempts."""


def _give_up(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, psycopg.Error):  # and not Ctrl-C
        raise _Refused from context.original_exception


def _keys(engine: Engine, rule: Rule) -> list[dict[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT * FROM ({rule.sql}\n) AS broken LIMIT {KEYS}"))  # noqa: S608
        return [
            {key: str(value) for key, value in row.items() if value is not None} for row in rows.mappings()
        ]


def _reason(cause: BaseException | None, timeout_s: int) -> str:
    """Never what the server said: it may quote a value."""
    if cause is None or (isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None):
        return "the connection was lost: is the database running?"
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return f"it took longer than {timeout_s} s: give it more with --timeout"
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return "a table it looks at is locked: check again when the migration is done"
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return "the schema has not what it looks at: run partyline migrate"
    return f"the database answered with {type(cause).__name__}: see its log"


@contextmanager
def _quiet() -> Iterator[None]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _source(opening: partial[psycopg.Connection]) -> Iterator[PostgresDatasource]:
    try:
        from great_expectations import get_context  # noqa: PLC0415 - an optional extra, and slow to load
        from great_expectations.data_context.types import base  # noqa: PLC0415
    except ImportError:
        raise CannotCheck(MISSING) from None
    config = base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=base.ProgressBarsConfig(globally=False),
    )
    sources: Any = get_context(mode="ephemeral", project_config=config).data_sources
    source: PostgresDatasource = sources.add_postgres(
        "partyline", connection_string=_NOWHERE, create_temp_table=False, kwargs={"creator": opening}
    )
    try:
        yield source
    finally:
        source.get_execution_engine().engine.dispose()
        source.get_engine().dispose()
