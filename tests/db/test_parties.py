"""A batch is taken apart as it was packed, or not at all: PostgreSQL must read the same rows from it."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from db.parties import take_apart
from db.positions import pack_row

AT_MS = 1_790_000_000_000
SINCE_2000_US = (AT_MS - 946_684_800_000) * 1000


def numbers(array: str) -> list[int]:
    return json.loads(array.replace("{", "[").replace("}", "]"))


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.floats(-90, 90), st.none() | st.floats(0, 40_000_000, width=32),
            st.sampled_from(["exact", "rough"]),
        ),
        max_size=6,
    ),
    at=st.integers(0, 600),
    byte=st.none() | st.binary(max_size=3),
)  # fmt: skip
def test_bytes_are_taken_apart_as_packed_or_not_at_all(rows, at, byte):
    packed = [
        pack_row(session, user, AT_MS, 7, lat, 127.0, acc, precision)
        for session, user, lat, acc, precision in rows
    ]
    batch = b"".join(packed)
    taken = take_apart(batch)
    assert (taken.rows if taken else []) == packed
    if byte is not None:
        changed = batch[:at] + byte + batch[at + 1 :]
        found = take_apart(changed)
        assert found is None or (
            b"".join(found.rows) == changed and {len(one) for one in found.rows} <= {86, 90}
        )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 4), st.integers(1, 6), st.integers(0, 9), st.sampled_from(["exact", "rough"])
        ),
        min_size=1,
        max_size=30,
    )
)
def test_every_session_with_its_people_and_its_first_time(rows):
    """Law: what is looked up is what the rows say, for each label."""
    packed = [pack_row(s, u, AT_MS + 5000 * n, 0, 1.0, 2.0, None, label) for s, u, n, label in rows]
    taken = take_apart(b"".join(packed))
    assert taken.ordered == sorted(packed)
    assert [one.label for one in taken.parties] == sorted({label for *_, label in rows})
    for one in taken.parties:
        mine = [row for row in rows if row[3] == one.label]
        users, spans = numbers(one.users), list(zip(numbers(one.begins), numbers(one.ends), strict=True))
        found = {
            session: (sorted(users[begin - 1 : end]), first)
            for session, first, (begin, end) in zip(
                numbers(one.sessions), numbers(one.firsts), spans, strict=True
            )
        }
        assert found == {
            session: (
                sorted({u for s, u, *_ in mine if s == session}),
                SINCE_2000_US + 5_000_000 * min(n for s, _, n, _ in mine if s == session),
            )
            for session in {row[0] for row in mine}
        }
        assert one.different_users == len({row[1] for row in mine})
        assert one.last == SINCE_2000_US + 5_000_000 * max(n for _, _, n, _ in rows)


def test_times_before_2000_and_nothing_are_left_to_postgresql():
    old = pack_row(1, 1, 900_000_000_000, 0, 1.0, 2.0, None, "exact")
    assert take_apart(old + pack_row(1, 1, AT_MS, 0, 1.0, 2.0, None, "exact")) is None
    assert take_apart(b"") is None
