"""The writer's path: what is packed is what is stored, once, and only what is allowed at the commit."""

from __future__ import annotations

import asyncio
import itertools
import struct

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import positions, sessions
from db.positions import commit_rows, pack_row
from protocol.messages import Reject
from protocol.options import Options
from protocol.precision import Precision
from tests import chunks
from tests.db.conftest import HOUR_MS, TTL_HOURS, make_party, now_ms, window


def row(party, *, at=None, who=None, lat=37.5, lon=127.0, acc=8.0, precision="exact", offset=0):
    return pack_row(
        party.id, who or party.guest, window() if at is None else at, offset, lat, lon, acc, precision
    )


async def commit(writer, party, *rows, ttl_hours=TTL_HOURS):
    return await commit_rows(writer, rows, shard=party.shard, ttl_hours=ttl_hours)


async def count(superuser):
    return await superuser.fetchval("SELECT count(*) FROM party_positions")


async def reasons(writer, party, *rows, **how):
    return [reason for *_, reason in (await commit(writer, party, *rows, **how)).refused]


latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
accuracies = st.none() | st.floats(0, 40_000_000, width=32)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(
        st.tuples(latitudes, longitudes, accuracies, st.integers(0, 4999)), min_size=1, max_size=9
    )
)
def test_what_is_packed_is_what_is_stored(places, database_loop):
    async def check(writer, superuser, party):
        await superuser.execute("DELETE FROM party_positions")
        at = window(10 * 60_000)
        rows = [
            row(party, at=at + 5000 * n, lat=lat, lon=lon, acc=acc, offset=offset)
            for n, (lat, lon, acc, offset) in enumerate(places)
        ]
        assert await commit(writer, party, *rows) == positions.CommitResult(len(places))
        stored = await superuser.fetch(
            "SELECT ST_Y(loc), ST_X(loc), accuracy_m, fix_offset_ms, ST_SRID(loc), precision::text, "
            "(extract(epoch FROM recorded_at) * 1000)::bigint FROM party_positions ORDER BY recorded_at"
        )
        assert [tuple(found) for found in stored] == [
            (*place, 4326, "exact", at + 5000 * n) for n, place in enumerate(places)
        ]

    database_loop(check)


@pytest.fixture
def database_loop(role_url, migrated_database):
    """Runs a coroutine with a writer, a superuser and a party, from a test that hypothesis repeats."""
    with asyncio.Runner() as runner:

        async def begin():
            gateway = await asyncpg.connect(role_url("gateway"))
            party = await make_party(gateway)
            await gateway.close()
            return await asyncpg.connect(role_url("writer")), await asyncpg.connect(migrated_database), party

        writer, superuser, party = runner.run(begin())
        yield lambda check: runner.run(check(writer, superuser, party))
        runner.run(writer.close())
        runner.run(superuser.close())


WRONG = (
    ("lat", 90.1),
    ("lat", float("nan")),
    ("lat", float("inf")),
    ("lon", -180.1),
    ("lon", float("nan")),
    ("acc", -1.0),
    ("acc", float("nan")),
    ("acc", float("inf")),
    ("acc", 1e39),
    ("precision", "private"),
    ("precision", "Exact"),
    ("offset", 5000),
    ("offset", -1),
    ("at", 1_790_000_000_001),
    ("at", -5000),
    ("at", 10**18),
    ("who", 2**63),
)


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_what_cannot_be_stored_is_not_packed(key, value):
    party = type("P", (), {"id": 8, "guest": 2})
    with pytest.raises(ValueError, match=r".") as caught:
        row(party, **({"at": 1_790_000_000_000} | {key: value}))
    assert str(value) not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_the_same_rows_again_are_not_one_more(writer, superuser, party):
    rows = [row(party, at=window(5000 * n)) for n in range(50)]
    assert (await commit(writer, party, *rows)).inserted == 50
    assert await commit(writer, party, *rows) == positions.CommitResult(0)
    assert (await commit(writer, party, *rows, row(party, at=window(5000 * 60)))).inserted == 1
    assert await count(superuser) == 51


async def test_a_window_has_one_row_and_the_first_stays(writer, superuser, party):
    at = window()
    result = await commit(writer, party, row(party, at=at, lat=1.0), row(party, at=at, lat=2.0, offset=9))
    assert result.inserted == 1
    assert (await commit(writer, party, row(party, at=at, lat=3.0))).inserted == 0
    assert await superuser.fetchval("SELECT ST_Y(loc) FROM party_positions") == 1.0


async def test_two_writers_with_the_same_rows_store_them_once(login, superuser, party):
    rows = [row(party, at=window(5000 * n)) for n in range(400)]
    writers = [await login("writer") for _ in range(4)]
    done = await asyncio.gather(*(commit(one, party, *rows) for one in writers))
    assert sum(result.inserted for result in done) == 400
    assert await count(superuser) == 400


async def test_order_does_not_matter(writer, superuser, party):
    rows = [row(party, at=window(5000 * n)) for n in range(30)]
    assert (await commit(writer, party, *rows[10:20])).inserted == 10
    assert (await commit(writer, party, *rows[::-1], *rows)).inserted == 20
    assert await count(superuser) == 30


async def test_nothing_to_store_is_no_transaction(writer, party):
    assert await commit(writer, party) == positions.CommitResult(0)


async def test_nobody_unknown_is_stored(writer, gateway, superuser, party):
    other = await make_party(gateway, name="other")
    stranger = await sessions.create_guest(gateway)
    at = window()
    unknown = pack_row(party.id + 8 * 1000, party.guest, at, 0, 1.0, 1.0, None, "exact")
    result = await commit(
        writer,
        party,
        row(party, at=at, who=stranger),
        row(party, at=at, who=other.guest),
        unknown,
        row(party, at=at),
    )
    assert result.inserted == 1
    assert sorted(result.refused) == sorted(
        [
            (party.id, stranger, at, Reject.GONE),
            (party.id, other.guest, at, Reject.GONE),
            (party.id + 8 * 1000, party.guest, at, Reject.GONE),
        ]
    )
    assert await count(superuser) == 1


async def test_who_left_or_was_kicked_or_ended_keeps_earlier_rows(writer, gateway, party):
    await sessions.leave(gateway, party.id, party.guest)
    assert (await commit(writer, party, row(party, at=window(5000)))).inserted == 1
    await sessions.kick(gateway, party.id, 2)
    assert (await commit(writer, party, row(party, at=window(10_000)))).inserted == 1
    await sessions.end_session(gateway, party.id)
    assert (await commit(writer, party, row(party, at=window(15_000)))).inserted == 1


async def test_only_what_all_three_allow_is_stored(writer, gateway, superuser):
    party = await make_party(gateway)
    levels = ("exact", "rough", "private", "not opted in")
    last = window()
    for n, (session, own, level) in enumerate(itertools.product(Precision, Precision, levels)):
        await superuser.execute("UPDATE party_sessions SET precision = $1", session.value)
        await superuser.execute("UPDATE party_members SET precision = $1", own.value)
        await superuser.execute(
            "UPDATE users SET privacy_level = $1, location_opt_in = $2",
            "exact" if level == "not opted in" else level,
            level != "not opted in",
        )
        coarsest = max(session.coarseness, own.coarseness, {"exact": 0, "rough": 1}.get(level, 2))
        for precision, allowed in ((Precision.EXACT, coarsest == 0), (Precision.ROUGH, coarsest <= 1)):
            at = last - 5000 * (2 * n + precision.coarseness)
            result = await commit(writer, party, row(party, at=at, precision=precision.value))
            assert result.inserted == allowed, (session, own, level, precision)
            assert [why for *_, why in result.refused] == ([] if allowed else [Reject.PRECISION])


async def test_a_session_that_is_only_live_stores_nothing(writer, gateway, superuser):
    party = await make_party(gateway, options=Options(ttl_hours=1, live_only=True))
    assert await reasons(writer, party, row(party), row(party, precision="rough")) == [Reject.PRECISION] * 2
    assert await count(superuser) == 0


async def test_what_is_too_old_is_refused(writer, gateway, superuser):
    party = await make_party(gateway, options=Options(ttl_hours=2), started_ago_ms=3 * HOUR_MS)
    assert await reasons(writer, party, row(party, at=window(2 * HOUR_MS + 5000))) == [Reject.TOO_OLD]
    assert await reasons(writer, party, row(party, at=window(2 * HOUR_MS - 10_000))) == []
    # The server keeps less than the session asks for.
    assert await reasons(writer, party, row(party, at=window(90 * 60_000)), ttl_hours=1) == [Reject.TOO_OLD]
    before = await chunks.count(superuser)
    assert await reasons(writer, party, row(party, at=window(40 * 24 * HOUR_MS))) == [Reject.TOO_OLD]
    assert await chunks.count(superuser) == before


async def test_nothing_from_before_the_session_is_stored_but_its_first_minute_is(writer, gateway):
    party = await make_party(gateway, started_ago_ms=HOUR_MS)
    started = (await sessions.find_session(gateway, party.id)).started_at_ms
    first = started // 60_000 * 60_000  # the beat of a rough position may lie before the start
    assert await reasons(writer, party, row(party, at=first)) == []
    assert await reasons(writer, party, row(party, at=first - 5000)) == [Reject.TOO_OLD]


async def test_the_far_future_makes_no_chunk(writer, superuser, party):
    assert await reasons(writer, party, row(party, at=window(-30 * 24 * HOUR_MS))) == [Reject.FUTURE]
    assert await count(superuser) == 0
    assert await reasons(writer, party, row(party, at=window(-60_000))) == []


async def test_one_refused_row_takes_no_other_with_it(writer, superuser, party):
    good = [row(party, at=window(5000 * n)) for n in range(20)]
    bad = [row(party, at=window(40 * 24 * HOUR_MS)), row(party, who=404)]
    result = await commit(writer, party, *good[:10], *bad, *good[10:])
    assert result.inserted == 20
    assert {reason for *_, reason in result.refused} == {Reject.TOO_OLD, Reject.GONE}
    assert await count(superuser) == 20


async def test_a_row_of_another_shard_is_an_error_and_nothing_is_stored(writer, superuser, party):
    with pytest.raises(ValueError, match="not of shard"):
        await commit_rows(
            writer, [row(party)], shard=(party.shard + 1) % sessions.SHARDS, ttl_hours=TTL_HOURS
        )
    assert await count(superuser) == 0
    with pytest.raises(ValueError, match="a shard is"):
        await commit_rows(writer, [row(party)], shard=sessions.SHARDS, ttl_hours=TTL_HOURS)
    with pytest.raises(ValueError, match="ttl_hours"):
        await commit_rows(writer, [row(party)], shard=party.shard, ttl_hours=0)


async def test_inside_a_transaction_is_an_error(writer, party):
    async with writer.transaction():
        with pytest.raises(ValueError, match="not in a transaction"):
            await commit(writer, party, row(party))


def unaligned(party):
    packed = bytearray(row(party))
    (at,) = struct.unpack_from(">q", packed, 30)
    struct.pack_into(">q", packed, 30, at + 1_000_000)
    return bytes(packed)


POISON = {
    "empty tuple": lambda party: b"\x00\x00",
    "cut": lambda party: row(party)[:-3],
    "garbage": lambda party: b"\xff" * 90,
    "an early end": lambda party: positions.COPY_TRAILER,
    "text": lambda party: b"DROP TABLE users",
    "private": lambda party: row(party)[:-9] + struct.pack(">i7s", 7, b"private"),
    "another SRID": lambda party: row(party).replace(struct.pack(">I", 4326), struct.pack(">I", 3857)),
    "not a window": unaligned,
}


@pytest.mark.parametrize("kind", sorted(set(POISON) - {"private"}))
async def test_poison_is_postgresqls_error_and_the_connection_lives(writer, superuser, party, kind):
    with pytest.raises(asyncpg.PostgresError):
        await commit(writer, party, row(party, at=window(5000)), POISON[kind](party), row(party))
    assert await count(superuser) == 0
    assert (await commit(writer, party, row(party))).inserted == 1


async def test_private_is_never_stored_however_it_is_packed(writer, superuser, gateway, party):
    await sessions.set_session_precision(gateway, party.id, Precision.PRIVATE)
    with pytest.raises(asyncpg.CheckViolationError):
        await commit(writer, party, POISON["private"](party))
    assert await count(superuser) == 0


# --- the short way: what may surely be stored is not staged -------------------------------------


async def parties_of_one_shard(gateway, many):
    found = [await make_party(gateway, name=f"p{n}") for n in range(8 * many)]
    return [party for party in found if party.shard == found[0].shard][:many]


async def test_a_session_in_doubt_holds_up_nobody_of_its_batch(writer, gateway, superuser):
    open_one, tightened = await parties_of_one_shard(gateway, 2)
    await sessions.set_session_precision(gateway, tightened.id, Precision.ROUGH)
    at = window()
    result = await commit(
        writer,
        open_one,
        row(tightened, at=at),
        row(open_one, at=at),
        row(tightened, at=at - 5000, precision="rough", acc=None),
        row(open_one, at=at - 5000, acc=None),
    )
    assert result == positions.CommitResult(3, [(tightened.id, tightened.guest, at, Reject.PRECISION)])
    stored = await superuser.fetch("SELECT session_id, precision::text FROM party_positions ORDER BY 1")
    assert [tuple(found) for found in stored] == [
        (open_one.id, "exact"),
        (open_one.id, "exact"),
        (tightened.id, "rough"),
    ]
    assert await writer.fetchval("SHOW enable_seqscan") == "on"


async def test_of_a_doubtful_window_the_first_row_stays_too(writer, superuser, party):
    at = window()
    rows = [row(party, at=at, lat=lat) for lat in (2.0, 1.0)]
    result = await commit(writer, party, *rows, row(party, who=404))
    assert (result.inserted, len(result.refused)) == (1, 1)
    assert await superuser.fetchval("SELECT ST_Y(loc) FROM party_positions") == 2.0


CHANGES = st.tuples(
    st.integers(0, 2),
    st.sampled_from(
        [
            "UPDATE party_sessions SET precision = 'rough' WHERE id = $1 AND $2 > 0",
            "UPDATE party_sessions SET options = options || '{\"live_only\": true}' WHERE id = $1 AND $2 > 0",
            "UPDATE party_members SET precision = 'rough' WHERE session_id = $1 AND user_id = $2",
            "UPDATE party_members SET precision = 'private' WHERE session_id = $1 AND user_id = $2",
            "UPDATE users SET privacy_level = 'rough' WHERE id = $2 AND $1 > 0",
            "UPDATE users SET location_opt_in = false WHERE id = $2 AND $1 > 0",
        ]
    ),
)
RESET = """
    UPDATE party_sessions SET precision = 'exact', options = options - 'live_only';
    UPDATE party_members SET precision = 'exact';
    UPDATE users SET privacy_level = 'exact', location_opt_in = true;
    DELETE FROM party_positions
"""
AGES_MS = (0, 5000, 50_000, 30 * 60_000, 90 * 60_000, 3 * HOUR_MS, 30 * 24 * HOUR_MS, -2 * HOUR_MS, None)
"""None: before 2000."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(CHANGES, max_size=2),
    hours=st.sampled_from([1, TTL_HOURS, TTL_HOURS]),
    rows=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 1, 2, 2, 3]),
            st.sampled_from([True, True, False]),
            st.sampled_from(AGES_MS) | st.sampled_from(AGES_MS[:3]),
            st.sampled_from(["exact", "exact", "rough"]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_the_short_way_decides_as_row_by_row(changes, hours, rows, shard_loop):
    """Law: whatever is allowed, and whatever comes, the same rows are stored and refused on both ways."""

    async def check(writer, superuser, parties):
        await superuser.execute(RESET)
        for n, change in changes:
            await superuser.execute(change, parties[n].id, parties[n].guest)
        now = window()
        batch = [
            pack_row(
                parties[n].id if n < 3 else parties[0].id,
                (parties[n].guest if guest else parties[n].host) if n < 3 else parties[1].guest,
                900_000_000_000 if ago is None else now - ago, 0, 1.0, 2.0, None, precision,
            )
            for n, guest, ago, precision in rows
        ]  # fmt: skip
        outcomes = []
        shard = parties[0].shard
        for way in (
            commit_rows(writer, batch, shard=shard, ttl_hours=hours),
            positions._commit_staged(writer, b"".join(batch), None, shard, hours),
        ):
            result = await way
            stored = await superuser.fetch("SELECT * FROM party_positions ORDER BY 1, 2, 3")
            outcomes.append((result.inserted, sorted(result.refused), stored))
            await superuser.execute("DELETE FROM party_positions")
        assert outcomes[0] == outcomes[1]

    shard_loop(check)


@pytest.fixture
def shard_loop(role_url, migrated_database):
    """As `database_loop`, with three parties of one shard; the third began an hour ago."""
    with asyncio.Runner() as runner:

        async def begin():
            gateway = await asyncpg.connect(role_url("gateway"))
            parties = await parties_of_one_shard(gateway, 3)
            await gateway.close()
            superuser = await asyncpg.connect(migrated_database)
            await superuser.execute(
                "UPDATE party_sessions SET started_at = now() - interval '1 hour' WHERE id = $1",
                parties[2].id,
            )
            return await asyncpg.connect(role_url("writer")), superuser, parties

        writer, superuser, parties = runner.run(begin())
        yield lambda check: runner.run(check(writer, superuser, parties))
        runner.run(writer.close())
        runner.run(superuser.close())


# --- the fence -------------------------------------------------------------------------------


async def open_batch(writer, party, *rows):
    """A writer between its verdict and its commit."""
    transaction = writer.transaction(isolation="read_committed")
    await transaction.start()
    await writer.execute("SELECT pg_advisory_xact_lock_shared($1, $2)", positions.FENCE_CLASS, party.shard)
    return transaction


TIGHTENINGS = {
    "session": lambda gateway, party: sessions.set_session_precision(gateway, party.id, Precision.ROUGH),
    "member": lambda gateway, party: sessions.set_member_precision(
        gateway, party.id, party.guest, Precision.ROUGH
    ),
    "live_only": lambda gateway, party: sessions.set_options(
        gateway, party.id, Options(ttl_hours=TTL_HOURS, live_only=True)
    ),
    "erasure": lambda gateway, party: sessions.erase_user(gateway, party.guest),
}


@pytest.mark.parametrize("kind", sorted(TIGHTENINGS))
async def test_a_tightening_waits_for_an_open_writer_and_none_comes_after(
    login, gateway, superuser, party, kind
):
    early, late = await login("writer"), await login("writer")
    transaction = await open_batch(early, party)
    tightening = asyncio.create_task(TIGHTENINGS[kind](gateway, party))
    done, _ = await asyncio.wait([tightening], timeout=0.3)
    assert not done
    # A batch that comes while the tightening waits is judged after it, although the old state is still there.
    behind = asyncio.create_task(commit(late, party, row(party)))
    done, _ = await asyncio.wait([behind], timeout=0.3)
    assert not done
    await transaction.commit()
    await tightening
    reason = Reject.GONE if kind == "erasure" else Reject.PRECISION
    assert [why for *_, why in (await behind).refused] == [reason]
    assert await reasons(early, party, row(party)) == [reason]
    assert await count(superuser) == 0


async def test_other_shards_go_on_meanwhile(login, gateway, party):
    others = [await make_party(gateway, name=f"o{n}") for n in range(3)]
    other = next(one for one in others if one.shard != party.shard)
    transaction = await open_batch(await login("writer"), party)
    await asyncio.wait_for(sessions.set_session_precision(gateway, other.id, Precision.ROUGH), 1.5)
    await transaction.rollback()


async def test_a_writer_that_stopped_loses_its_connection_not_the_tightening(
    login, gateway, superuser, party
):
    stopped = await login("writer")
    await open_batch(stopped, party)
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    with pytest.raises(
        (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)
    ):
        await stopped.execute("COMMIT")
    assert await count(superuser) == 0


async def test_the_sql_and_the_python_agree_on_the_shard(superuser):
    for session_id in (1, 7, 8, 9, 2**62 + 5):
        in_sql = await superuser.fetchval("SELECT ($1::bigint & 7)", session_id)
        assert in_sql == sessions.shard_of(session_id) == sessions.shard_of(session_id, sessions.SHARDS)
    source = await superuser.fetch(
        "SELECT prosrc FROM pg_proc WHERE proname IN ('take_fence', 'drop_oldest_expired_chunk')"
    )
    assert all(f"({positions.FENCE_CLASS}, " in record["prosrc"] for record in source)
    with pytest.raises(ValueError, match="shard"):
        sessions.shard_of(1, 0)


async def test_a_tightening_between_many_batches_holds_when_it_returns(login, gateway, superuser, party):
    stop = asyncio.Event()
    started = now_ms()

    async def write(connection, step):
        n = step
        while not stop.is_set():
            n += 2
            await commit(connection, party, *(row(party, at=window(5000 * (n * 20 + k))) for k in range(20)))

    tasks = [asyncio.create_task(write(await login("writer"), step)) for step in (0, 1)]
    await asyncio.sleep(0.2)
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    at_return = await count(superuser)
    await asyncio.sleep(0.2)
    stop.set()
    await asyncio.gather(*tasks)
    assert await count(superuser) == at_return > 0
    assert now_ms() > started
