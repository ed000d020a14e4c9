"""No raw coordinate of a rough or private member leaves the masking call (G5): every place is searched."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import struct

import asyncpg
import pytest
import redis

from server.up import Up
from tests.e2e.conftest import Phone, new_session, now_ms, rows
from tests.e2e.replaying import recording

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FIXES = 400


def real_places(name: str) -> list[tuple[float, float]]:
    """Places of one person, with at least four decimals that are not zero by chance."""
    found = []
    for line in gzip.open(recording(name), "rt"):
        fix = json.loads(line)
        found.append((fix["lat"], fix["lon"]))
        if len(found) == FIXES:
            break
    return found


async def everything_kept(up: Up) -> str:
    """Redis key by key, every table as text, and every log."""
    kept = []
    client = redis.Redis.from_url(up.stack.redis_url)
    for key in client.scan_iter():
        kind = client.type(key)
        value: object = {
            b"string": lambda key=key: client.get(key),
            b"hash": lambda key=key: client.hgetall(key),
            b"stream": lambda key=key: client.xrange(key),
        }.get(kind, lambda key=key: client.dump(key))()  # type: ignore[operator]
        kept.append(repr((key, value)))
    client.close()
    connection = await asyncpg.connect(up.stack.database_url)
    tables = await connection.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('information_schema', 'pg_catalog')"
    )
    statistics = "(SELECT * FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))"
    for table in [*(row["name"] for row in tables), statistics]:
        # As JSON a place is two numbers; as text it is what pg_dump writes: hexadecimal EWKB.
        for row in await connection.fetch(
            f"SELECT to_jsonb(t)::text AS json, t::text AS dump FROM {table} t"
        ):
            kept += [row["json"] or "", row["dump"] or ""]
    await connection.close()
    kept.extend(log.read_text(errors="replace") for log in up.data_dir.glob("*.log"))
    return "\n".join(kept)


def raw_doubles(places: list[tuple[float, float]]) -> list[bytes]:
    """Each coordinate as the eight bytes of a double, in both orders: what COPY, WKB and MessagePack hold."""
    return [struct.pack(order + "d", value) for place in places for value in place for order in "<>"]


async def bytes_in_redis(up: Up) -> bytes:
    client = redis.Redis.from_url(up.stack.redis_url)
    client.config_set("rdbcompression", "no")  # or the search would find nothing that is there
    dump = b"".join(client.dump(key) or b"" for key in client.scan_iter())
    streams = b"".join(
        value
        for shard in range(8)
        for _, fields in client.xrange(f"batch:{shard}")
        for value in fields.values()
    )
    client.close()
    return dump + streams


def raw_numbers(places: list[tuple[float, float]]) -> set[str]:
    """Each coordinate to four decimals, as text would begin with it."""
    return {f"{abs(value):.8f}"[:-4] for place in places for value in place}


def numbers_in(text: str) -> set[str]:
    return {number[: number.index(".") + 5] for number in re.findall(r"\d+\.\d{4,}", text)}


@pytest.mark.parametrize("precision", ["rough", "private"])
async def test_a_hidden_member_is_nowhere(own_up: Up, precision: str) -> None:
    places = real_places("helsinki-trafficsense.ndjson.gz")
    session = new_session(own_up, precision=precision)
    ana = await Phone.join(own_up, session["sharable_token"], "Ana")
    bo = await Phone.join(own_up, session["sharable_token"], "Bo")
    start = now_ms() - len(places) * 1000
    for n, (lat, lon) in enumerate(places, 1):
        await ana.say(t="fix", seq=n, at=start + n * 1000, lat=lat, lon=lon, acc=7.5, spd=1.25, hdg=91.5)
        if n % 50 == 0:
            await asyncio.sleep(0.3)
    kept_meanwhile = await everything_kept(own_up)
    dump = await bytes_in_redis(own_up)
    assert not [double for double in raw_doubles(places) if double in dump]
    await ana.acked(len(places))
    late = await Phone.join(own_up, session["sharable_token"], "Late")
    await bo.close()
    frames = json.dumps(bo.seen) + json.dumps(late.welcome)
    stored = await rows(own_up, session["session"])
    shown = [row for message in bo.seen if message["t"] == "positions" for row in message["p"]]
    cells = {(row["lat"], row["lon"]) for row in stored} | {(row[2], row[3]) for row in shown}
    assert not cells & set(places)
    for where in (kept_meanwhile, await everything_kept(own_up), frames):
        # A cell's centre may begin with the digits of a place by chance; nothing else may.
        assert not raw_numbers(places) & (numbers_in(where) - raw_numbers(list(cells)))
        assert not [double for double in raw_doubles(places) if double.hex().upper() in where]
    if precision == "private":
        assert stored == []
        assert shown == []
        assert late.welcome["positions"] == []
        return
    assert stored
    assert {row["precision"] for row in stored} == {"rough"}
    assert len(cells) < len(places) / 20
    assert all(row[4] >= 353 and row[5] is row[6] is None and row[1] % 60_000 == 0 for row in shown)


async def test_an_erased_user_is_nowhere(own_up: Up) -> None:
    from tests.e2e.conftest import http

    session = new_session(own_up)
    ana = await Phone.join(own_up, session["sharable_token"], "Anastasia")
    bo = await Phone.join(own_up, session["sharable_token"], "Bo")
    lat, lon = 37.51234321, 127.09876789
    await ana.acked(await ana.fix(lat, lon))
    await ana.fix(lat, lon)  # on its way when the erasure comes
    status, _ = http(own_up, "DELETE", "/v1/me", token=ana.welcome["member_token"])
    assert status == 200
    assert (await bo.until("member", state="left"))["m"] == ana.welcome["you"]
    await asyncio.sleep(8)  # windows closed, batches judged
    kept = await everything_kept(own_up)
    for trace in ("Anastasia", "37.5123", "127.0987", ana.welcome["member_token"]):
        assert trace not in kept
    assert await rows(own_up, session["session"]) == []


async def test_a_search_that_finds_nothing_can_find(own_up: Up) -> None:
    """The searches above prove something only if they see an exact member's place that is there."""
    place = (37.51234321, 127.09876789)
    session = new_session(own_up)
    ana = await Phone.join(own_up, session["sharable_token"], "Ana")
    await ana.acked(await ana.fix(*place, at=now_ms() - 6000))
    kept = await everything_kept(own_up)
    assert raw_numbers([place]) <= numbers_in(kept)
    assert any(double.hex().upper() in kept for double in raw_doubles([place]))
    dump = await bytes_in_redis(own_up)
    assert any(double in dump for double in raw_doubles([place]))
