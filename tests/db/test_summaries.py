"""Summaries: known tracks with answers worked out by hand, a model of liveness, and nothing that a track hides."""

from __future__ import annotations

import asyncio
import math

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import sessions, summaries
from db.pool import connect
from db.positions import commit_rows, pack_row
from db.summaries import Delays
from protocol.limits import BEAT_MS, STALE_MS
from protocol.options import Options
from protocol.precision import Precision
from tests.db.conftest import HOUR_MS, TTL_HOURS, make_party, now_ms

A_STEP = 0.001
"""Degrees of latitude between two fixes of a walk."""
A_STEP_M = math.radians(A_STEP) * 6_371_008.7714
"""On the sphere of ST_DistanceSphere."""
ROUGH_M = 354.0
"""The accuracy of a rough row at the default cell of 500 m."""


def minute(ago_ms=HOUR_MS):
    return (now_ms() - ago_ms) // BEAT_MS * BEAT_MS


def fix(party, at, *, lat=37.5, lon=127.0, acc=10.0, precision="exact", who=None):
    return pack_row(party.id, who or party.guest, at - at % 5000, at % 5000, lat, lon, acc, precision)


async def store(writer, party, *rows):
    result = await commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)
    assert result.inserted == len(rows), result.refused


@pytest.fixture
async def pool(role_url):
    pool = await connect(role_url("gateway"), min_size=1, max_size=2, application_name="test-summary")
    yield pool
    await pool.close()


async def summary_of(pool, party, *, users=None, most_gaps=100):
    return await summaries.summary(pool, party.id, user_ids=users, most_gaps=most_gaps)


async def only(pool, party, **how):
    members, _ = await summary_of(pool, party, **how)
    (member,) = members
    return member


# --- known tracks ---------------------------------------------------------------------------------


async def test_a_walk_with_two_gaps(pool, writer, party):
    start = minute() + 250
    seconds = (0, 5, 10, 15, 60, 65, 200)
    accuracies = (10, 20, 20, 20, 50, 5, 8)
    await store(
        writer,
        party,
        *(
            fix(party, start + 1000 * after, lat=37.5 + n * A_STEP, acc=accuracy)
            for n, (after, accuracy) in enumerate(zip(seconds, accuracies, strict=True))
        ),
    )
    did = await only(pool, party)
    assert (did.user_id, did.fixes) == (party.guest, 7)
    assert (did.first_at_ms, did.last_at_ms) == (start, start + 200_000)
    assert did.gaps_ms == [(start + 45_000, start + 60_000), (start + 95_000, start + 200_000)]
    assert did.gap_count == 2
    assert did.live_s == 45 + 35 + 30
    # (10·5 + 20·5 + 20·5 + 50·5) / 20; the plain mean would be 19, and 5 and 8 have held for no time.
    assert did.mean_accuracy_m == pytest.approx(25)
    assert did.distance_m == pytest.approx(4 * A_STEP_M)
    assert did.spots == []


async def test_thirty_seconds_are_no_gap_and_a_millisecond_more_is(pool, writer, party):
    start = minute()
    await store(writer, party, fix(party, start), fix(party, start + STALE_MS))
    assert (await only(pool, party)).gap_count == 0
    await store(writer, party, fix(party, start + 2 * STALE_MS + 1))
    did = await only(pool, party)
    assert did.gaps_ms == [(start + 2 * STALE_MS, start + 2 * STALE_MS + 1)]


async def test_one_fix_is_live_and_has_no_mean(pool, writer, party):
    await store(writer, party, fix(party, minute()))
    did = await only(pool, party)
    assert (did.fixes, did.live_s, did.gap_count, did.distance_m) == (1, 30, 0, 0)
    assert did.mean_accuracy_m is None


async def test_a_fix_without_accuracy_goes_on_with_the_one_before(pool, writer, party):
    start = minute()
    rows = [(0, 10.0), (5, None), (10, 40.0), (15, 1.0)]
    await store(writer, party, *(fix(party, start + 1000 * s, acc=acc) for s, acc in rows))
    assert (await only(pool, party)).mean_accuracy_m == pytest.approx((10 * 10 + 40 * 5) / 15)


async def test_the_longest_gaps_are_listed_and_all_are_counted(pool, writer, party):
    start, at = minute(3 * HOUR_MS), 0
    rows = []
    for n in range(8):
        rows.append(fix(party, start + at))
        at += 35_000 + 5_000 * (n * 3 % 7)
    await store(writer, party, *rows)
    every = (await only(pool, party)).gaps_ms
    did = await only(pool, party, most_gaps=3)
    assert len(every) == did.gap_count == 7
    longest = sorted(every, key=lambda gap: gap[0] - gap[1])[:3]
    assert did.gaps_ms == sorted(longest)


async def test_each_member_is_on_their_own_and_other_sessions_are_not_there(pool, writer, gateway, party):
    other = await make_party(gateway, name="other")
    start = minute()
    await store(writer, party, fix(party, start), fix(party, start + 5000, who=party.host))
    await store(writer, other, fix(other, start), fix(other, start + 300_000))
    members, _ = await summary_of(pool, party)
    assert {member.user_id: member.fixes for member in members} == {party.host: 1, party.guest: 1}
    members, delays = await summary_of(pool, party, users=[party.host])
    assert [member.user_id for member in members] == [party.host]
    assert delays.counted == 1
    assert await summary_of(pool, party, users=[]) == ([], Delays(0, None, None, None))


@pytest.fixture
async def trip(superuser, party):
    """A trip of two stops, 0.01 degrees apart; the party is on it."""
    trip = await superuser.fetchval("INSERT INTO trips (duration_min, mode) VALUES (60, 'walk') RETURNING id")
    for sequence, (name, lat) in enumerate((("Gate", 37.5), ("Pavilion", 37.51)), 1):
        await superuser.execute(
            "WITH p AS (INSERT INTO places (name, category, geo) VALUES ($1, 'sight', "
            "ST_SetSRID(ST_MakePoint(127.0, $2), 4326)) RETURNING id) "
            "INSERT INTO trip_nodes (trip_id, place_id, sequence, planned_stay_min) SELECT $3, id, $4, 20 FROM p",
            name, lat, trip, sequence,
        )  # fmt: skip
    await superuser.execute("UPDATE party_sessions SET trip_id = $1 WHERE id = $2", trip, party.id)
    return trip


async def test_a_stay_at_a_stop(pool, writer, party, trip):
    start = minute()
    # At the gate for 10 s, away, back for 5 s, then a gap of a minute while there, and 5 s more.
    track = [(0, 0.01), (5, 0.0005), (10, 0.0002), (15, 0.0005), (20, 0.002), (25, 0.0008), (30, 0.0008)]
    track += [(90, 0.0), (95, 0.0), (100, 0.005)]
    await store(writer, party, *(fix(party, start + 1000 * s, lat=37.5 - away) for s, away in track))
    gate, pavilion = (await only(pool, party)).spots
    assert (gate.sequence, gate.place, gate.planned_stay_min) == (1, "Gate", 20)
    assert (gate.arrived_at_ms, gate.left_at_ms) == (start + 5000, start + 95_000)
    assert gate.stay_s == 10 + 5 + 5
    assert gate.nearest_m == pytest.approx(0, abs=0.01)
    assert (pavilion.sequence, pavilion.arrived_at_ms, pavilion.left_at_ms, pavilion.stay_s) == (
        2,
        None,
        None,
        0,
    )
    assert pavilion.nearest_m == pytest.approx(10 * A_STEP_M)


async def test_a_rough_position_is_at_a_stop_within_its_accuracy(pool, writer, gateway, party, trip):
    start = minute()
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    away = [(0, 0.003), (1, 0.003), (2, 0.0035)]  # 334 m, 334 m, 389 m: a cell's half diagonal is 354 m
    rows = [
        fix(party, start + BEAT_MS * n, lat=37.5 - lat, acc=ROUGH_M, precision="rough") for n, lat in away
    ]
    await store(writer, party, *rows)
    gate, _ = (await only(pool, party)).spots
    assert (gate.arrived_at_ms, gate.left_at_ms, gate.stay_s) == (start, start + BEAT_MS, 60)


# --- liveness against a model ---------------------------------------------------------------------


def model(beats):
    """Live ranges of fixes (at, rough): each lives for 30 s, a rough one for its minute and 30 s; milliseconds."""
    ranges = []
    for at, rough in sorted(beats):
        until = at + (BEAT_MS if rough else 0) + STALE_MS
        if ranges and at <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], until)
        else:
            ranges.append([at, until])
    return [tuple(found) for found in ranges]


@pytest.fixture
def database_loop(role_url, migrated_database):
    """Runs a coroutine with a superuser, a gateway and a party, from a test that hypothesis repeats."""
    with asyncio.Runner() as runner:

        async def begin():
            gateway = await asyncpg.connect(role_url("gateway"))
            return await asyncpg.connect(migrated_database), gateway, await make_party(gateway)

        superuser, gateway, party = runner.run(begin())
        yield lambda check: runner.run(check(superuser, gateway, party))
        runner.run(superuser.close())
        runner.run(gateway.close())


PUT = (
    "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision) "
    "SELECT $1, $2, to_timestamp(w / 1000), o, 'SRID=4326;POINT(127 37.5)', $5, $6::text::precision_level "
    "FROM unnest($3::bigint[], $4::smallint[]) AS r (w, o)"
)

windows = st.dictionaries(st.integers(0, 120), st.integers(0, 4999), max_size=60)
minutes = st.sets(st.integers(0, 10), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exact=windows, rough=minutes)
def test_live_ranges_are_those_of_the_model(exact, rough, database_loop):
    async def check(superuser, gateway, party):
        start = minute()
        await superuser.execute("DELETE FROM party_positions")
        fine = {start + 5000 * n: offset for n, offset in exact.items() if n % 12 or n // 12 not in rough}
        coarse = {start + BEAT_MS * n: 0 for n in rough}
        for rows, acc, precision in ((fine, 5.0, "exact"), (coarse, ROUGH_M, "rough")):
            await superuser.execute(PUT, party.id, party.guest, [*rows], [*rows.values()], acc, precision)
        found = await gateway.fetch(
            "SELECT (extract(epoch FROM from_at) * 1000)::bigint, (extract(epoch FROM to_at) * 1000)::bigint "
            "FROM session_live_ranges($1, NULL) ORDER BY from_at",
            party.id,
        )
        beats = [(w + offset, False) for w, offset in fine.items()] + [(w, True) for w in coarse]
        assert [tuple(row) for row in found] == model(beats)

    database_loop(check)


async def test_the_numbers_are_those_of_the_wire(superuser):
    numbers = await superuser.fetchrow(
        "SELECT extract(epoch FROM live_for()) * 1000, extract(epoch FROM bridged_for(false)) * 1000, "
        "extract(epoch FROM bridged_for(true)) * 1000"
    )
    assert tuple(numbers) == (STALE_MS, STALE_MS, BEAT_MS + STALE_MS)


# --- from fix to commit ---------------------------------------------------------------------------

COMMITS = (
    "SELECT round(extract(epoch FROM pg_xact_commit_timestamp(xmin) - recorded_at"
    " - fix_offset_ms * INTERVAL '1 millisecond') * 1000)::float8 FROM party_positions"
)


def percentile(values, part):
    """The smallest of the values that more than this part of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


async def test_delays_are_those_of_the_commits(pool, writer, superuser, party):
    start = minute(2 * HOUR_MS)
    for n in range(4):  # four commits, two days of chunks
        at = start - 24 * HOUR_MS * (n % 2)
        rows = [fix(party, at + 1_000_000 * n + 5000 * k + 7 * k) for k in range(60)]
        await store(writer, party, *rows)
    _, delays = await summary_of(pool, party)
    known = [row[0] for row in await superuser.fetch(COMMITS)]
    assert delays.counted == len(known) == 240
    for found, part in ((delays.p50_ms, 0.5), (delays.p95_ms, 0.95), (delays.p99_ms, 0.99)):
        assert found == pytest.approx(percentile(known, part), rel=0.005)


async def test_expired_and_rough_rows_have_no_delay(pool, writer, gateway, superuser, party):
    start = minute()
    await store(writer, party, fix(party, start), fix(party, start + 60_000, acc=ROUGH_M, precision="rough"))
    assert (await summary_of(pool, party))[1].counted == 1
    await superuser.execute("UPDATE party_positions SET ttl_expired = true WHERE precision = 'exact'")
    assert (await summary_of(pool, party))[1] == Delays(0, None, None, None)


delays_ms = st.lists(
    st.integers(-3_600_000, 365 * 24 * HOUR_MS) | st.integers(-3, 3), min_size=1, max_size=50
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=delays_ms)
def test_a_percentile_is_within_its_error(values, database_loop):
    async def check(superuser, gateway, party):
        if not await superuser.fetchval("SELECT to_regproc('bucket_percentiles') IS NOT NULL"):
            pytest.skip("the toolkit is installed: it has buckets of its own")
        found = await superuser.fetchrow(
            "SELECT (bucket_percentiles(array_agg(bucket), array_agg(held))).* FROM ("
            "SELECT delay_bucket(v) AS bucket, count(*) AS held FROM unnest($1::float8[]) AS v GROUP BY 1) b",
            [float(value) for value in values],
        )
        assert found["counted"] == len(values)
        for name, part in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            assert found[name] == pytest.approx(percentile(values, part), rel=0.00501, abs=0)

    database_loop(check)


# --- what must not be told ------------------------------------------------------------------------


async def test_who_is_private_expired_or_erased_is_not_there(pool, writer, gateway, superuser, party):
    await store(writer, party, fix(party, minute()), fix(party, minute(), who=party.host))

    async def there():
        return {member.user_id for member in (await summary_of(pool, party))[0]}

    assert await there() == {party.host, party.guest}
    await sessions.set_member_precision(gateway, party.id, party.guest, Precision.PRIVATE)
    assert await there() == {party.host}
    assert await summary_of(pool, party, users=[party.guest]) == ([], Delays(0, None, None, None))
    await sessions.set_member_precision(gateway, party.id, party.guest, Precision.EXACT)
    for hide, show in (
        ("UPDATE users SET privacy_level = 'private'", "UPDATE users SET privacy_level = 'exact'"),
        ("UPDATE users SET location_opt_in = false", "UPDATE users SET location_opt_in = true"),
        ("UPDATE party_sessions SET precision = 'private'", "UPDATE party_sessions SET precision = 'exact'"),
        (
            "UPDATE party_sessions SET ttl_hours = 1",
            "UPDATE party_sessions SET ttl_hours = 168",
        ),
        ("UPDATE party_positions SET ttl_expired = true", "UPDATE party_positions SET ttl_expired = false"),
    ):
        await superuser.execute(hide)
        assert await there() == set(), hide
        await superuser.execute(show)
        assert await there() == {party.host, party.guest}
    await sessions.erase_user(gateway, party.guest)
    assert await there() == {party.host}


async def tell(pool, writer, gateway, name, rows, trip):
    """All that a summary says of a party whose exact rows were tightened to rough afterwards."""
    party = await make_party(gateway, name=name)
    await store(writer, party, *(fix(party, at, lat=lat, acc=acc) for at, lat, acc in rows))
    connection = await asyncpg.connect(trip[1])
    await connection.execute("UPDATE party_sessions SET trip_id = $1 WHERE id = $2", trip[0], party.id)
    await connection.close()
    assert (await only(pool, party)).distance_m > 0
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    did, delays = await summary_of(pool, party)
    return [(m.fixes, m.first_at_ms, m.last_at_ms, m.live_s, m.gaps_ms, m.mean_accuracy_m, m.distance_m, m.spots)
            for m in did], delays  # fmt: skip


async def test_exact_rows_tell_a_rough_summary_no_more_than_their_beats(
    pool, writer, gateway, trip, migrated_database
):
    start = minute()
    # Different places, accuracies, numbers of windows and moments; the same minutes.
    one = [(start + 1000 * s, 37.5 + s * 1e-5, 5.0) for s in (0, 5, 30, 65, 400)]
    two = [(start + 1000 * s + 333, 37.51 - s * 1e-5, 40.0) for s in (55, 110, 115, 410, 415)]
    first = await tell(pool, writer, gateway, "one", one, (trip, migrated_database))
    assert first == await tell(pool, writer, gateway, "two", two, (trip, migrated_database))
    gap = (start + BEAT_MS + 90_000, start + 6 * BEAT_MS)
    assert first == (
        [(3, start, start + 6 * BEAT_MS, 150 + 90, [gap], None, None, [])],
        Delays(0, None, None, None),
    )


async def test_only_rows_as_coarse_as_the_cells_have_a_place(pool, writer, gateway, superuser, party):
    start = minute()
    await sessions.set_member_precision(gateway, party.id, party.guest, Precision.ROUGH)
    for n, acc in enumerate((ROUGH_M, ROUGH_M, 177.0, None, ROUGH_M)):
        row = fix(party, start + BEAT_MS * n, lat=37.5 + n * A_STEP, acc=acc, precision="rough")
        await store(writer, party, row)
    did = await only(pool, party)
    # The third is of a smaller cell and the fourth of none: they leave a hole of three minutes.
    assert did.distance_m == pytest.approx(A_STEP_M)
    assert did.mean_accuracy_m == pytest.approx(ROUGH_M)
    assert (did.fixes, did.gap_count, did.live_s) == (5, 0, 4 * 60 + 90)
    await superuser.execute("UPDATE party_sessions SET options = options || '{\"rough_cell_m\": 1000}'")
    assert (await only(pool, party)).distance_m is None


# --- who may ask ----------------------------------------------------------------------------------

FOR_THE_GATEWAY = (
    "SELECT * FROM session_spans(1, NULL)",
    "SELECT * FROM session_live_ranges(1, NULL)",
    "SELECT * FROM session_accuracy(1, NULL)",
    "SELECT * FROM session_distances(1, NULL)",
    "SELECT * FROM session_spots(1, NULL)",
    "SELECT * FROM session_delays(1, NULL)",
    "SELECT hold_trip(1, 1)",
)
FOR_THE_ANALYST = (
    "SELECT * FROM metrics.session_liveness_daily",
    "SELECT * FROM metrics.commit_delay_daily",
)
FOR_NOBODY = (
    "SELECT * FROM summary_members",
    "SELECT * FROM session_fixes(1, NULL)",
    "SELECT * FROM day_fixes(current_date)",
    "SELECT * FROM session_beats(1, NULL)",
    "SELECT * FROM day_beats(current_date)",
    "SELECT * FROM session_stretches(1, NULL)",
    "SELECT * FROM delays_of(1, NULL)",
    "SELECT * FROM delays_of_day(current_date)",
)


@pytest.mark.parametrize("name", ["gateway", "writer", "keeper", "reader", "backend", "analyst", "migrator"])
async def test_who_may_ask(name, login):
    connection = await login(name)
    allowed = []
    for statement in FOR_THE_GATEWAY + FOR_THE_ANALYST + FOR_NOBODY:
        try:
            await connection.fetch(statement)
            allowed.append(statement)
        except asyncpg.InsufficientPrivilegeError:
            pass
    assert tuple(allowed) == {"gateway": FOR_THE_GATEWAY, "analyst": FOR_THE_ANALYST}.get(name, ())


async def test_a_trip_is_held_for_whom_it_is(gateway, superuser, party):
    make = "INSERT INTO trips (user_id, duration_min, mode) VALUES ($1, 60, 'walk') RETURNING id"
    recommended, own, foreign = [
        await superuser.fetchval(make, user) for user in (None, party.host, party.guest)
    ]
    held = "SELECT hold_trip($1, $2)"
    for trip, answer in ((recommended, True), (own, True), (foreign, None), (10**9, None)):
        assert await gateway.fetchval(held, trip, party.host) is answer

    async def create(trip):
        made, _ = await sessions.create_session(
            gateway, host_user_id=party.host, display_name="H", sharable_digest=bytes(31) + bytes([trip % 256]),
            member_digest=bytes([trip % 256]) * 32, precision=Precision.EXACT,
            options=Options(ttl_hours=TTL_HOURS), started_at_ms=now_ms(), trip_id=trip,
        )  # fmt: skip
        return await superuser.fetchval("SELECT trip_id FROM party_sessions WHERE id = $1", made.id)

    assert await create(own) == own
    for trip in (foreign, 10**9):
        with pytest.raises(sessions.NoSuchTrip):
            await create(trip)


# --- for analysts ---------------------------------------------------------------------------------


async def test_the_views_count_by_day(login, writer, gateway, superuser, party):
    day = (now_ms() // (24 * HOUR_MS) - 1) * 24 * HOUR_MS
    noon, midnight = day + 12 * HOUR_MS, day + 24 * HOUR_MS
    other = await make_party(gateway, name="other", precision=Precision.ROUGH)
    await store(writer, party, *(fix(party, noon + 1000 * s) for s in (0, 5, 60)))
    await store(
        writer,
        party,
        fix(party, midnight - 10_000, who=party.host),
        fix(party, midnight + 5000, who=party.host),
    )
    await store(writer, other, fix(other, noon, acc=ROUGH_M, precision="rough"))
    analyst = await login("analyst")
    yesterday = await analyst.fetchrow(
        "SELECT * FROM metrics.session_liveness_daily WHERE day = (now() AT TIME ZONE 'UTC')::date - 1"
    )
    # 35 s and 30 s of the guest with a gap between, 10 s of the host up to midnight, 90 s of a rough position.
    assert dict(yesterday) == {"day": yesterday["day"], "sessions": 2, "members": 3, "live_s": 165, "gaps": 1}
    days = await analyst.fetch("SELECT day, members, live_s FROM metrics.session_liveness_daily ORDER BY day")
    assert [tuple(row)[1:] for row in days] == [(3, 165), (1, 30)]
    delay = await analyst.fetchrow("SELECT * FROM metrics.commit_delay_daily ORDER BY day LIMIT 1")
    known = [
        row[0]
        for row in await superuser.fetch(
            f"{COMMITS} WHERE precision = 'exact' AND recorded_at < to_timestamp($1)", midnight / 1000
        )
    ]
    assert delay["fixes"] == len(known) == 4
    assert delay["p50_ms"] == pytest.approx(percentile(known, 0.5), rel=0.005)
    await superuser.execute("UPDATE party_sessions SET precision = 'private'")
    for view in ("session_liveness_daily", "commit_delay_daily"):
        assert await analyst.fetch(f"SELECT * FROM metrics.{view}") == []


async def test_a_day_that_is_asked_for_is_the_only_one_computed(superuser, login, party):
    analyst = await login("analyst")
    plan = await analyst.fetch(
        "EXPLAIN (ANALYZE, TIMING off, COSTS off) SELECT * FROM metrics.commit_delay_daily "
        "WHERE day = (now() AT TIME ZONE 'UTC')::date - 1"
    )
    calls = [line for (line,) in plan if "delay_of_day" in line]
    assert len(calls) == 1
    assert calls[0].endswith("loops=1)"), calls
