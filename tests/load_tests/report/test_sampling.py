"""The sampler against real servers: what it reads is what they did; what cannot be read is left out."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from load_tests.report.sampling import ANSWER_S, GATEWAY, REDIS, Sampler
from server.up import Up
from tests.e2e.conftest import Phone, new_session, up

__all__ = ["up"]  # the fixture of a running server

SECRET = "open-sesame"
POSTGRESQL = {"postgresql_commits", "postgresql_rows_inserted", "postgresql_connections"}
PROCESSES = {"postgresql_cpu_s", "postgresql_memory_bytes", "writer_cpu_s", "writer_memory_bytes"}


@contextmanager
def never_answers() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_running_server_is_read_whole(up: Up) -> None:
    sampler = Sampler([up.http], up.stack.database_url, up.stack.redis_url)
    sample = await sampler.sample()
    await sampler.close()
    wanted = {*GATEWAY.values(), *REDIS.values(), "redis_cpu_s", *POSTGRESQL}
    assert wanted <= set(sample.figures)
    assert abs(sample.at_s - time.time()) < 60
    assert all(isinstance(value, float) for value in sample.figures.values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_on_the_same_machine_processes_are_known_and_right(up: Up) -> None:
    sampler = Sampler([up.http], up.stack.database_url, up.stack.redis_url)
    figures = (await sampler.sample()).figures
    await sampler.close()
    assert set(figures) >= PROCESSES
    assert figures["writer_cpu_s"] == pytest.approx(used_s(up.processes["writer"].pid), abs=1)
    assert 2**20 < figures["writer_memory_bytes"] < 2**30
    assert 2**20 < figures["postgresql_memory_bytes"] < 2**33
    assert figures["postgresql_cpu_s"] > 0


async def test_counters_rise_with_what_happens(up: Up) -> None:
    sampler = Sampler([up.http], up.stack.database_url, up.stack.redis_url)
    before = (await sampler.sample()).figures
    party = new_session(up)
    phone = await Phone.join(up, party["sharable_token"])
    during = (await sampler.sample()).figures
    seq = [await phone.fix(37.5, 127.0) for _ in range(5)][-1]
    await phone.acked(seq)
    async with Redis.from_url(up.stack.redis_url) as redis:
        for _ in range(100):
            await redis.ping()
    after = (await sampler.sample()).figures
    for _ in range(100):  # PostgreSQL tells of a commit a little later
        if after["postgresql_rows_inserted"] > before["postgresql_rows_inserted"]:
            break
        await asyncio.sleep(0.2)
        after = (await sampler.sample()).figures
    await phone.close()
    await sampler.close()
    assert during["gateway_connections"] == before["gateway_connections"] + 1
    assert after["gateway_fixes"] == before["gateway_fixes"] + 5
    assert after["gateway_started_s"] == before["gateway_started_s"]
    assert after["redis_commands"] >= before["redis_commands"] + 100
    assert after["postgresql_rows_inserted"] > before["postgresql_rows_inserted"]
    assert after["postgresql_commits"] > before["postgresql_commits"]
    for counter in ("gateway_cpu_s", "redis_cpu_s", "postgresql_cpu_s", "writer_cpu_s"):
        assert after[counter] >= before[counter], counter


async def test_what_is_not_named_is_left_out(up: Up) -> None:
    sampler = Sampler([up.http])
    figures = (await sampler.sample()).figures
    await sampler.close()
    assert figures
    assert set(figures) <= set(GATEWAY.values())


async def test_a_role_that_may_see_less_gives_less(up: Up) -> None:
    """A login without rights on others' sessions: the database's own counters, and no writer."""
    connection = await asyncpg.connect(up.stack.database_url)
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"CREATE ROLE onlooker LOGIN PASSWORD '{SECRET}'")
    await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO onlooker")
    parts = urlsplit(up.stack.database_url)
    url = parts._replace(netloc=f"onlooker:{SECRET}@{parts.hostname}:{parts.port}").geturl()
    sampler = Sampler([up.http], url)
    try:
        figures = (await sampler.sample()).figures
    finally:
        await sampler.close()
        await connection.execute("DROP OWNED BY onlooker")
        await connection.execute("DROP ROLE onlooker")
        await connection.close()
    assert set(figures) >= POSTGRESQL
    assert "writer_cpu_s" not in figures


async def test_servers_that_are_not_there_are_left_out(up: Up, caplog: pytest.LogCaptureFixture) -> None:
    sampler = Sampler(
        ["http://127.0.0.1:9"], f"postgresql://me:{SECRET}@127.0.0.1:9/x", f"redis://:{SECRET}@127.0.0.1:9/0"
    )
    for _ in range(2):
        assert (await sampler.sample()).figures == {}
    await sampler.close()
    assert SECRET not in repr(sampler) + caplog.text
    one_of_three = Sampler([up.http], "postgresql://127.0.0.1:9/x", "redis://127.0.0.1:9/0")
    assert set((await one_of_three.sample()).figures) <= set(GATEWAY.values())
    await one_of_three.close()


@pytest.mark.parametrize("address", ["", "nonsense", "foo://x", "postgresql://[", "redis://127.0.0.1:x/0"])
async def test_what_is_no_address_is_left_out(address: str) -> None:
    sampler = Sampler([address], address, address)
    assert (await sampler.sample()).figures == {}
    await sampler.close()


async def test_what_is_no_metrics_page_is_left_out(up: Up) -> None:
    sampler = Sampler([up.http + "/docs"])  # HTML, and a 404 below it
    assert (await sampler.sample()).figures == {}
    await sampler.close()


async def test_a_server_that_never_answers_holds_nothing_up() -> None:
    loop = asyncio.get_running_loop()
    with never_answers() as port:
        sampler = Sampler(
            [f"http://127.0.0.1:{port}"],
            f"postgresql://me:{SECRET}@127.0.0.1:{port}/x",
            f"redis://:{SECRET}@127.0.0.1:{port}/0",
        )
        async with asyncio.timeout(20 * ANSWER_S):
            for _ in range(3):
                assert (await sampler.sample()).figures == {}
        assert loop.time() > 0
        await sampler.close()


async def test_it_reads_again_after_its_connections_were_cut(up: Up) -> None:
    sampler = Sampler([up.http], up.stack.database_url, up.stack.redis_url)
    whole = set((await sampler.sample()).figures)
    connection = await asyncpg.connect(up.stack.database_url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'partyline-crowd'"
    )
    await connection.close()
    async with Redis.from_url(up.stack.redis_url) as redis:
        await redis.client_kill_filter(_type="normal", skipme=True)
    for _ in range(50):
        if set((await sampler.sample()).figures) == whole:
            break
    else:
        raise AssertionError("it did not come back")
    await sampler.close()


async def test_closing_twice_and_before_it_began_is_allowed(up: Up) -> None:
    sampler = Sampler([up.http], up.stack.database_url, up.stack.redis_url)
    await sampler.close()
    await sampler.sample()
    await sampler.close()
    await sampler.close()
    assert (await sampler.sample()).figures  # and it may be used again
    await sampler.close()
