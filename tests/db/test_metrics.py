"""The key figures by day, against days made by hand; nobody is named in them."""

from __future__ import annotations

import math
from decimal import Decimal

import asyncpg
import pytest


@pytest.fixture
async def analyst(login):
    return await login("analyst")


async def make_trip(superuser, day, categories):
    trip = await superuser.fetchval(
        "INSERT INTO trips (duration_min, mode, created_at) VALUES (60, 'walk', $1::text::timestamptz) RETURNING id",
        f"{day} 12:00:00+00",
    )
    nodes = []
    for sequence, category in enumerate(categories, 1):
        place = await superuser.fetchval(
            "INSERT INTO places (name, category, geo) VALUES ('p', $1, 'SRID=4326;POINT(127 37)') RETURNING id",
            category,
        )
        nodes.append(
            await superuser.fetchval(
                "INSERT INTO trip_nodes (trip_id, place_id, sequence) VALUES ($1, $2, $3) RETURNING id",
                trip,
                place,
                sequence,
            )
        )
    return trip, nodes


async def say(superuser, trip, node=None):
    await superuser.execute(
        "INSERT INTO feedback (trip_id, trip_node_id, rating) VALUES ($1, $2, 3)", trip, node
    )


async def days(analyst):
    return {
        str(row["day"]): tuple(row)[1:]
        for row in await analyst.fetch("SELECT * FROM metrics.daily_product_metrics ORDER BY day")
    }


async def test_rates_and_diversity_of_a_day(superuser, analyst, party):
    whole, _ = await make_trip(superuser, "2026-05-01", ["cafe", "park"])
    last, nodes = await make_trip(superuser, "2026-05-01", ["cafe", "park"])
    first, first_nodes = await make_trip(superuser, "2026-05-01", ["cafe", "cafe"])
    walked, _ = await make_trip(superuser, "2026-05-01", ["cafe", "museum"])
    await make_trip(superuser, "2026-05-01", ["cafe", "cafe"])
    await say(superuser, whole)
    await say(superuser, last, nodes[1])
    await say(superuser, first, first_nodes[0])  # started, and the last stop not reached
    await superuser.execute("UPDATE party_sessions SET trip_id = $1 WHERE id = $2", walked, party.id)
    shares = [7 / 10, 2 / 10, 1 / 10]
    entropy = -sum(share * math.log(share) for share in shares) / math.log(3)
    proposed, started, completed, start_rate, completion_rate, diversity = (await days(analyst))["2026-05-01"]
    assert (proposed, started, completed) == (5, 4, 2)
    assert (start_rate, completion_rate) == (Decimal("0.8000"), Decimal("0.5000"))
    assert float(diversity) == pytest.approx(entropy, abs=1e-4)


async def test_a_day_without_a_start_has_no_completion_rate(superuser, analyst):
    await make_trip(superuser, "2026-05-02", ["cafe"])
    await make_trip(superuser, "2026-05-03", [])
    found = await days(analyst)
    assert found["2026-05-02"] == (1, 0, 0, Decimal(0), None, Decimal(0))
    assert found["2026-05-03"] == (1, 0, 0, Decimal(0), None, None)


async def test_days_are_cut_in_utc(superuser, analyst):
    await superuser.execute(
        "INSERT INTO trips (duration_min, mode, created_at) VALUES (1, 'walk', '2026-05-04 23:59:59+00'), "
        "(1, 'walk', '2026-05-05 00:00:00+00')"
    )
    await analyst.execute("SET timezone = 'Asia/Seoul'")
    assert [*await days(analyst)] == ["2026-05-04", "2026-05-05"]


async def test_only_analysts_read_them(login):
    for name in ("gateway", "writer", "keeper", "reader", "backend", "migrator"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await (await login(name)).fetch("SELECT * FROM metrics.daily_product_metrics")
