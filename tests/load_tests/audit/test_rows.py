"""A session's rows are read as they lie in PostgreSQL; what prevents it is one sentence."""

from __future__ import annotations

import asyncpg
import pytest

from load_tests.audit.party import StoredRow
from load_tests.audit.rows import stored_rows
from load_tests.rows import CannotCount
from protocol.precision import Precision
from tests.db.conftest import gateway, login, make_party, role_url, superuser, window

__all__ = ["gateway", "login", "role_url", "superuser"]

INSERT = """
INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision)
VALUES ($1, $2, to_timestamp($3 / 1000.0), $4, ST_SetSRID(ST_MakePoint($6, $5), 4326), $7, $8::text::precision_level)
"""


async def test_rows_come_by_member_number(
    migrated_database: str, gateway: asyncpg.Connection, superuser: asyncpg.Connection
) -> None:
    party, other = await make_party(gateway, name="p"), await make_party(gateway, name="q")
    day_before = window(24 * 3_600_000)
    rows = [
        (party.id, party.host, window(), 4_999, 37.1234567891, -127.9876543219, 5.5, "exact"),
        (party.id, party.guest, window(), 0, -37.5, 127.5, None, "rough"),
        (party.id, party.guest, day_before, 17, 37.25, 127.25, 354.0, "rough"),
        (party.id, other.guest, day_before, 1, 1.0, 2.0, None, "exact"),
        (other.id, other.host, window(), 2, 3.0, 4.0, None, "exact"),
    ]
    await superuser.executemany(INSERT, rows)
    numbers = {party.host: 1, party.guest: 2, other.guest: 0}
    expected = [
        StoredRow(numbers[user], start, offset, lat, lon, accuracy, Precision(precision))
        for session, user, start, offset, lat, lon, accuracy, precision in rows
        if session == party.id
    ]
    found = await stored_rows(migrated_database, party.id)
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert await stored_rows(migrated_database, 2**40) == []


async def test_a_role_that_may_not_read(role_url: object, migrated_database: str) -> None:
    with pytest.raises(CannotCount, match="may not read party_positions"):
        await stored_rows(role_url("reader"), 1)  # type: ignore[operator]


async def test_a_database_without_the_table(database: str) -> None:
    with pytest.raises(CannotCount, match="the database refuses"):
        await stored_rows(database, 1)


@pytest.mark.parametrize("url", ["postgresql://nobody:secret@127.0.0.1:1/none", "not an address"])
async def test_a_database_that_is_not_there(url: str) -> None:
    with pytest.raises(CannotCount) as refusal:
        await stored_rows(url, 1)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None
