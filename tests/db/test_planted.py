"""The tests of the tables convict: each planted fault makes the test fail that is meant for it."""

from __future__ import annotations

import asyncpg
import pytest

from tests.conftest import NATIVE
from tests.db import test_positions, test_roles

REFUSED = (AssertionError, asyncpg.PostgresError, pytest.fail.Exception)


async def test_rows_without_a_key_are_convicted(writer, superuser, party):
    await superuser.execute("ALTER TABLE party_positions DROP CONSTRAINT party_positions_pkey")
    with pytest.raises(REFUSED):
        await test_positions.test_the_same_rows_again_are_not_one_more(writer, superuser, party)
    with pytest.raises(REFUSED):
        await test_positions.test_a_window_has_one_row_and_the_first_stays(writer, superuser, party)


async def test_a_direct_grant_on_the_positions_is_convicted(superuser, login, writer, party):
    await superuser.execute("GRANT SELECT ON party_positions TO partyline_reader")
    with pytest.raises(AssertionError):
        await test_roles.test_a_role_has_its_privileges_and_no_other(superuser, "reader")
    if not NATIVE:  # a partition has no grants of its own: there only the first test can see it
        with pytest.raises(REFUSED):
            await test_roles.test_no_role_reads_a_chunk(login, superuser, writer, party)
