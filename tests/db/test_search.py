"""Searches give the right rows: distances as haversine says, also at the date line and the poles; words; rights."""

from __future__ import annotations

import itertools
import math
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from db.queries import load

PLACES, POSTS, TAGS, TRIPS = load("places"), load("posts"), load("tags"), load("trips")
EARTH_M = 6_371_008.7714
CENTRES = {
    "Seoul": (126.978, 37.5665),
    "west of the date line": (179.998, -16.5),
    "east of the date line": (-179.999, -16.5),
    "at the date line in the north": (180.0, 71.2),
    "by the north pole": (20.0, 89.97),
    "north pole": (0.0, 90.0),
    "by the south pole": (-150.0, -89.95),
    "high north": (10.0, 78.2),
    "Greenwich": (0.0, 51.48),
}
NOW = datetime.now(UTC)
ALWAYS = (NOW - timedelta(days=300), NOW + timedelta(days=1))


def haversine(a: tuple[float, float], b: tuple[float, float]) -> float:
    lon1, lat1, lon2, lat2 = map(math.radians, (*a, *b))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * EARTH_M * math.asin(math.sqrt(half))


def step(start: tuple[float, float], metres: float, bearing: float) -> tuple[float, float]:
    """Where one gets by going so far in that direction, on the sphere."""
    lon, lat, far = math.radians(start[0]), math.radians(start[1]), metres / EARTH_M
    to = math.asin(math.sin(lat) * math.cos(far) + math.cos(lat) * math.sin(far) * math.cos(bearing))
    turned = math.atan2(
        math.sin(bearing) * math.sin(far) * math.cos(lat), math.cos(far) - math.sin(lat) * math.sin(to)
    )
    return ((math.degrees(lon + turned) + 540) % 360 - 180, max(-90.0, min(90.0, math.degrees(to))))


def scattered(seed: int, each: int, far_m: float) -> list[tuple[float, float]]:
    rng = random.Random(seed)
    return [
        step(centre, far_m * rng.random() ** 2, rng.uniform(0, 2 * math.pi))
        for centre in CENTRES.values()
        for _ in range(each)
    ]


@pytest.fixture
async def spots(superuser):
    """Places around each of the centres: id to longitude and latitude."""
    lying = scattered(1, 60, 40_000)
    rows = await superuser.fetch(
        "INSERT INTO places (name, category, geo) SELECT 'place ' || n, 'cafe', ST_SetSRID(ST_MakePoint(lon, lat), 4326) "
        "FROM unnest($1::float8[], $2::float8[]) WITH ORDINALITY AS at (lon, lat, n) RETURNING id, ST_X(geo) x, ST_Y(geo) y",
        [lon for lon, _ in lying],
        [lat for _, lat in lying],
    )
    await superuser.execute(
        "INSERT INTO places (name, category, geo, is_active) SELECT 'closed', 'cafe', geo, false FROM places"
    )
    return {row["id"]: (row["x"], row["y"]) for row in rows}


async def test_a_radius_is_what_haversine_says(reader, spots):
    for (name, centre), metres in itertools.product(CENTRES.items(), (50.0, 1_000.0, 12_345.0, 60_000.0)):
        rows = await reader.fetch(PLACES["places_around"], *centre, metres, 10_000)
        far = {place: haversine(centre, at) for place, at in spots.items()}
        assert {row["id"] for row in rows} == {place for place, off in far.items() if off <= metres}, (
            name,
            metres,
        )
        assert [row["distance_m"] for row in rows] == sorted(row["distance_m"] for row in rows)
        assert all(row["distance_m"] == pytest.approx(far[row["id"]], abs=0.01) for row in rows), name
        assert len(await reader.fetch(PLACES["places_around"], *centre, metres, 3)) == min(3, len(rows))


async def test_the_nearest_are_the_nearest(reader, spots):
    for name, centre in CENTRES.items():
        rows = await reader.fetch(PLACES["nearest_places"], *centre, 25)
        nearest = sorted(haversine(centre, at) for at in spots.values())[:25]
        assert [row["distance_m"] for row in rows] == pytest.approx(nearest, rel=0.005, abs=1), name


WINDOWS = {
    "Seoul": (126.9, 37.5, 127.0, 37.6),
    "across the date line": (179.9, -16.6, -179.9, -16.4),
    "the north": (-180.0, 60.0, 180.0, 90.0),
    "across Greenwich": (-0.2, 51.3, 0.1, 51.6),
}


async def test_a_window_holds_what_lies_in_it(reader, spots):
    for name, window in WINDOWS.items():
        await check_window(reader, spots, name, window)


async def check_window(reader, spots, name, window):
    west, south, east, north = window
    rows = await reader.fetch(PLACES["places_in_window"], *window, 10_000)
    inside = {
        place
        for place, (lon, lat) in spots.items()
        if south <= lat <= north and (west <= lon <= east if west <= east else lon >= west or lon <= east)
    }
    assert {row["id"] for row in rows} == inside != set(), name
    width = (east - west) % 360 or 360
    middle = ((west + width / 2 + 540) % 360 - 180, (south + north) / 2)
    off = [haversine(middle, (row["lon"], row["lat"])) for row in rows]
    assert off == sorted(off)


async def test_doodles_around_are_what_haversine_says(superuser, backend):
    lying = scattered(2, 30, 9_000)
    for lon, lat in lying:
        await superuser.execute(
            "SELECT set_config('partyline.author_place', $1, false)", f"{lon:.12f} {lat:.12f}"
        )
        await superuser.execute(
            "INSERT INTO posts (type, body, status, expires_at, geofence) "
            "VALUES ('doodle', 'here', 'published', now() + interval '1 day', ST_SetSRID(ST_MakePoint($1, $2), 4326))",
            lon,
            lat,
        )
    for (name, centre), metres in itertools.product(CENTRES.items(), (100.0, 2_500.0, 10_000.0)):
        rows = await backend.fetch(POSTS["doodles_around"], *centre, metres, 1000)
        expected = sorted(far for at in lying if (far := haversine(centre, at)) <= metres)
        assert [row["distance_m"] for row in rows] == pytest.approx(expected, abs=0.01), name


async def test_the_box_in_degrees_leaves_nothing_of_the_circle_out(superuser):
    rng = random.Random(3)
    for _ in range(300):
        centre = (
            rng.uniform(-180, 180),
            rng.choice((rng.uniform(-90, 90), rng.choice((-1, 1)) * (90 - rng.random() ** 4))),
        )
        metres = 10 ** rng.uniform(0, 5)
        around = [
            step(centre, metres * part, math.radians(turn))
            for part, turn in itertools.product((0.5, 0.9999), range(0, 360, 15))
        ]
        missing = await superuser.fetchval(
            "SELECT count(*) FROM unnest($3::float8[], $4::float8[]) AS at (lon, lat), "
            "degrees_around(ST_SetSRID(ST_MakePoint($1, $2), 4326), $5) AS box "
            "WHERE NOT ST_SetSRID(ST_MakePoint(lon, lat), 4326) && box",
            *centre, [lon for lon, _ in around], [lat for _, lat in around], metres,
        )  # fmt: skip
        assert missing == 0, (centre, metres)


# --- words ------------------------------------------------------------------------------------------


@pytest.fixture
async def backend(login):
    return await login("backend")


@pytest.fixture
async def named(superuser):
    names = [
        *(
            "푸른달 정원 카페",
            "청운 산책 책방",
            "Blue Moon Garden Cafe",
            "한강 전망대",
            "소나무 100% 주스",
            "달빛_서가",
        ),
        *("새벽카페거리", "카페"),
    ]
    for name in names:
        await superuser.execute(
            "INSERT INTO places (name, category, geo) VALUES ($1, 'cafe', ST_SetSRID(ST_MakePoint(127, 37), 4326))",
            name,
        )
    await superuser.execute(
        "INSERT INTO places (name, category, geo, is_active) VALUES ('한강 전망대', 'x', ST_SetSRID(ST_MakePoint(127, 37), 4326), false)"
    )


async def test_a_place_is_found_by_its_name_or_nearly(reader, named):
    for looked_for, found in {
        "청운": ["청운 산책 책방"],
        "카페": ["카페", "푸른달 정원 카페"],
        "blu moon gardn": ["Blue Moon Garden Cafe"],
        "전망대": ["한강 전망대"],
        "없는곳": [],
    }.items():
        rows = await reader.fetch(PLACES["find_places"], looked_for, 10)
        assert [row["name"] for row in rows] == found


async def test_a_place_is_found_by_any_part_of_its_name(reader, named):
    for text, found in {
        "카페거": "새벽카페거리",
        "moon gar": "Blue Moon Garden Cafe",
        r"100\%": "소나무 100% 주스",
        r"빛\_서": "달빛_서가",
    }.items():
        rows = await reader.fetch(PLACES["find_places_containing"], text, 10)
        assert [row["name"] for row in rows] == [found]


@pytest.fixture
async def said(superuser):
    """Posts of all kinds; the word 막걸리 is in each."""
    author = await superuser.fetchval("INSERT INTO users DEFAULT VALUES RETURNING id")
    await superuser.execute("SELECT set_config('partyline.author_place', '127 37.5', false)")
    for body, status, visibility, ago in [
        ("골목에서 막걸리 한 잔", "published", "public", 3),
        ("막걸리와 파전이 좋아요", "published", "public", 40),
        ("생막걸리 100% 쌀", "published", "public", 2),
        ("막걸리 아직", "pending", "public", 1),
        ("막걸리 숨김", "hidden", "public", 1),
        ("막걸리 나만", "published", "private", 1),
        ("Makgeolli 막걸리 now", "published", "public", 90),
    ]:
        await superuser.execute(
            "INSERT INTO posts (user_id, type, body, status, visibility, created_at) "
            "VALUES ($1, 'review', $2, $3, $4, now() - $5 * interval '1 day')",
            author, body, status, visibility, ago,
        )  # fmt: skip
    await superuser.execute(
        "INSERT INTO posts (type, body, status, created_at, expires_at, geofence) SELECT 'doodle', '막걸리 낙서 ' || n, "
        "'published', now() - interval '5 days', now() + n * interval '1 day', ST_SetSRID(ST_MakePoint(127, 37.5), 4326) "
        "FROM unnest(ARRAY[-1, 1]) n"
    )
    return author


async def bodies(connection, word, since=ALWAYS[0], until=ALWAYS[1], most=100):
    return [row["body"] for row in await connection.fetch(POSTS["search_posts"], word, since, until, most)]


async def test_a_search_gives_public_posts_newest_first(backend, reader, said):
    expected = [
        *(
            "생막걸리 100% 쌀",
            "골목에서 막걸리 한 잔",
            "막걸리 낙서 1",
            "막걸리와 파전이 좋아요",
            "Makgeolli 막걸리 now",
        )
    ]
    for connection in (backend, reader):
        await connection.execute(f"SET partyline.user_id = '{said}'")
        assert await bodies(connection, "막걸리") == expected
        assert await bodies(connection, " 막걸리 ", most=2) == expected[:2]
    assert await bodies(backend, "막걸리", NOW - timedelta(days=60), NOW - timedelta(days=4)) == expected[2:4]


async def test_words_are_found_inside_words_but_two_characters_only_at_a_beginning(backend, said):
    assert len(await bodies(backend, "걸리와")) == 1
    assert await bodies(backend, "MAKGEOLLI") == ["Makgeolli 막걸리 now"]
    assert await bodies(backend, "파전") == ["막걸리와 파전이 좋아요"]
    assert await bodies(backend, "전이") == []
    assert await bodies(backend, "100%") == ["생막걸리 100% 쌀"]
    assert await bodies(backend, "1_0%") == []
    assert await bodies(backend, "없는 말") == []


TOO_WIDE = [
    (("가", *ALWAYS, 10), "2 to 100 characters"),
    (("가" * 101, *ALWAYS, 10), "2 to 100 characters"),
    ((None, *ALWAYS, 10), "2 to 100 characters"),
    (("가나다", ALWAYS[1], ALWAYS[0], 10), "13 months"),
    (("가나다", NOW - timedelta(days=500), NOW, 10), "13 months"),
    (("가나다", None, NOW, 10), "13 months"),
    (("가나다", *ALWAYS, 0), "1 to 1000 posts"),
    (("가나다", *ALWAYS, 1001), "1 to 1000 posts"),
]


async def test_a_search_that_is_too_wide_is_refused(backend):
    for values, why in TOO_WIDE:
        with pytest.raises(asyncpg.InvalidParameterValueError, match=why):
            await backend.fetch(POSTS["search_posts"], *values)


async def test_a_doodle_search_has_bounds(backend):
    for values in (
        *(
            (181.0, 0.0, 10.0, 1),
            (0.0, 91.0, 10.0, 1),
            (0.0, 0.0, 0.0, 1),
            (0.0, 0.0, 1e6, 1),
            (0.0, 0.0, 10.0, 0),
        ),
        (float("nan"), 0.0, 10.0, 1),
    ):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await backend.fetch(POSTS["doodles_around"], *values)


async def test_doodles_that_nobody_may_see_are_not_found(backend, said, superuser):
    found = await backend.fetch(POSTS["doodles_around"], 127.0, 37.5, 100.0, 10)
    assert [row["body"] for row in found] == ["막걸리 낙서 1"]
    await superuser.execute("UPDATE posts SET status = 'hidden' WHERE type = 'doodle'")
    assert await backend.fetch(POSTS["doodles_around"], 127.0, 37.5, 100.0, 10) == []


async def test_nobody_else_searches(login):
    searches = {"search_posts": ("가나다", *ALWAYS, 1), "doodles_around": (0.0, 0.0, 10.0, 1)}
    for role, (name, values) in itertools.product(
        ("analyst", "gateway", "writer", "keeper", "migrator"), searches.items()
    ):
        connection = await login(role)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(POSTS[name], *values)


# --- the rest ---------------------------------------------------------------------------------------


async def test_posts_of_a_place_come_newest_first_and_page_by_page(superuser, backend, reader, named):
    place = await superuser.fetchval("SELECT min(id) FROM places")
    await superuser.execute(
        "INSERT INTO posts (place_id, type, body, status, created_at) SELECT $1, 'review', 'n' || n, "
        "CASE WHEN n = 2 THEN 'hidden' ELSE 'published' END, now() - n * interval '20 days' FROM generate_series(1, 9) n",
        place,
    )
    first = await reader.fetch(POSTS["posts_of_place"], place, NOW, 4)
    assert [row["body"] for row in first] == ["n1", "n3", "n4", "n5"]
    rest = await backend.fetch(POSTS["posts_of_place"], place, first[-1]["created_at"], 10)
    assert [row["body"] for row in rest] == ["n6", "n7", "n8", "n9"]


def vector(*first: float) -> str:
    return "[" + ",".join(map(str, [*first, *[0.01] * (384 - len(first))])) + "]"


async def test_what_is_alike_comes_first(superuser, backend, named):
    ids = [
        row["id"]
        for row in await superuser.fetch("SELECT id FROM places WHERE is_active ORDER BY id LIMIT 4")
    ]
    for place, embedding in zip(
        ids, (vector(1, 0), vector(1, 0.1), vector(1, 0.5), vector(-1, 0)), strict=True
    ):
        await superuser.execute(
            "UPDATE places SET text_embedding = $2::text::vector WHERE id = $1", place, embedding
        )
    assert [row["id"] for row in await backend.fetch(PLACES["similar_places"], ids[0], 2)] == ids[1:3]
    me = await superuser.fetchval(
        "INSERT INTO users (preference_embedding) VALUES ($1::text::vector) RETURNING id", vector(-1, 0.01)
    )
    other = await superuser.fetchval("INSERT INTO users DEFAULT VALUES RETURNING id")
    await backend.execute(f"SET partyline.user_id = '{me}'")
    [mine] = await backend.fetch(PLACES["places_for_me"], 1)
    assert mine["id"] == ids[3]
    for nobody in (other, ""):
        await backend.execute(f"SET partyline.user_id = '{nobody}'")
        assert await backend.fetch(PLACES["places_for_me"], 4) == []
    await superuser.execute(
        "INSERT INTO posts (type, body, status, text_embedding, created_at) SELECT 'review', 'n' || n, 'published', "
        "('[' || n || ',1' || repeat(',0.01', 382) || ']')::vector, now() - n * interval '30 days' FROM generate_series(1, 5) n"
    )
    post = await superuser.fetchrow("SELECT id, created_at FROM posts WHERE body = 'n1'")
    assert [row["body"] for row in await backend.fetch(POSTS["similar_posts"], *post, 3)] == [
        "n2",
        "n3",
        "n4",
    ]


async def test_tags_are_found_by_name_and_by_what_is_said_of_them(superuser, reader, named):
    await superuser.execute(
        "INSERT INTO tags (name, type, metadata) VALUES ('조용한', 'mood', '{\"aka\": [\"quiet\"]}'), "
        "('조용한 골목', 'mood', '{}'), ('저녁', 'time', '{\"aka\": [\"evening\", \"late\"]}')"
    )
    assert [row["name"] for row in await reader.fetch(TAGS["find_tags"], "조용한", 5)] == [
        "조용한",
        "조용한 골목",
    ]
    assert [row["name"] for row in await reader.fetch(TAGS["tags_with"], '{"aka": ["late"]}', 5)] == ["저녁"]
    await superuser.execute(
        "INSERT INTO place_tags (place_id, tag_id, weight) SELECT p.id, t.id, (row_number() OVER (ORDER BY p.id)) / 10.0 "
        "FROM places p, tags t WHERE t.name = '저녁'"
    )
    tag = await superuser.fetchval("SELECT id FROM tags WHERE name = '저녁'")
    rows = await reader.fetch(PLACES["places_of_tag"], tag, 3)
    assert [round(row["weight"], 1) for row in rows] == [0.8, 0.7, 0.6], "the closed one (0.9) is left out"


async def test_trips_stops_and_feedback(superuser, login, backend, reader, named):
    me, other = [await superuser.fetchval("INSERT INTO users DEFAULT VALUES RETURNING id") for _ in range(2)]
    context = "ab" * 32
    for owner, freshness in ((None, 0.2), (None, 0.9), (me, 1.0), (None, None)):
        await superuser.execute(
            "INSERT INTO trips (user_id, duration_min, mode, context_hash, freshness_score) VALUES ($1, 60, 'walk', $2, $3)",
            owner, context, freshness,
        )  # fmt: skip
    found = await reader.fetch(TRIPS["trips_of_context"], context, 10)
    assert [row["freshness_score"] and round(row["freshness_score"], 1) for row in found] == [0.9, 0.2, None]
    mine = await superuser.fetchval("SELECT id FROM trips WHERE user_id = $1", me)
    await superuser.execute(
        "INSERT INTO trip_nodes (trip_id, place_id, sequence) SELECT $1, p.id, 4 - row_number() OVER (ORDER BY p.id) "
        "FROM (SELECT id FROM places ORDER BY id LIMIT 3) p",
        mine,
    )
    for author, rating in ((me, 3), (other, 1)):
        await superuser.execute(
            "INSERT INTO feedback (trip_id, user_id, rating) VALUES ($1, $2, $3)", mine, author, rating
        )
    for connection in (backend, reader):
        assert await connection.fetch(TRIPS["stops_of_trip"], mine) == [], "somebody's trip"
        await connection.execute(f"SET partyline.user_id = '{me}'")
        assert [row["sequence"] for row in await connection.fetch(TRIPS["stops_of_trip"], mine)] == [1, 2, 3]
        assert [row["rating"] for row in await connection.fetch(TRIPS["feedback_of_trip"], mine)] == [3]
    analyst = await login("analyst")
    assert {row["rating"] for row in await analyst.fetch(TRIPS["feedback_of_trip"], mine)} == {1, 3}
