"""The agenda acts upon every event once, in the order of time, never before it is due."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from load_tests.run.agenda import Agenda


@dataclass(frozen=True)
class Due:
    at_ms: int
    stream: int
    number: int


streams = st.lists(st.lists(st.integers(0, 50), max_size=8).map(sorted), max_size=6)


@given(streams, st.lists(st.integers(0, 60), max_size=20).map(sorted), st.integers(1, 5))
def test_all_is_done_once_in_order_and_not_too_early(
    times: list[list[int]], looks: list[int], most: int
) -> None:
    agenda, done, now = Agenda(), [], -1
    for stream, ats in enumerate(times):
        agenda.add([Due(at, stream, number) for number, at in enumerate(ats)], done.append)
    for now in looks:
        before = len(done)
        late = agenda.act(now, most)
        assert len(done) - before <= most
        assert all(one.at_ms <= now for one in done[before:])
        assert late == max((now - one.at_ms for one in done[before:]), default=0)
    while agenda.next_ms is not None:
        agenda.act(100, most)
    assert [one.at_ms for one in done] == sorted(at for ats in times for at in ats)
    for stream, ats in enumerate(times):
        assert [one.number for one in done if one.stream == stream] == list(range(len(ats)))


def test_a_stream_is_not_read_ahead() -> None:
    read: list[int] = []

    def events():  # type: ignore[no-untyped-def]
        for at in (1, 5, 9):
            read.append(at)
            yield Due(at, 0, at)

    agenda = Agenda()
    agenda.add(events(), lambda _: None)
    assert (read, agenda.next_ms) == ([1], 1)
    agenda.act(5, 10)
    assert (read, agenda.next_ms) == ([1, 5, 9], 9)
    agenda.act(9, 10)
    assert agenda.next_ms is None
