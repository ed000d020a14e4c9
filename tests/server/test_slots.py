"""Slots: never longer than one, none for who has more to do than a slot holds, none after a silence."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from server.slots import SLOT_MS, Slots

SLOT_NS = SLOT_MS * 1_000_000


class Loop:
    """An event loop with a clock of its own: what is handed to it comes at its next turn."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns
        self.slept_ns: list[int] = []
        self.waiting: list[Callable[[], None]] = []
        self.slots = Slots(now_ns=lambda: self.now_ns, sleep=self.sleep, after_reads=self.waiting.append)

    def sleep(self, seconds: float) -> None:
        self.slept_ns.append(round(seconds * 1e9))
        self.now_ns += self.slept_ns[-1]

    def turn(self, sockets: int, busy_ns: int) -> int:
        """So many sockets are read, which takes so long; returns how long the loop slept."""
        before = len(self.slept_ns)
        for _ in range(sockets):
            self.slots.read()
        self.now_ns += busy_ns
        waiting, self.waiting[:] = list(self.waiting), []
        for callback in waiting:
            callback()
        return sum(self.slept_ns[before:])


def test_what_comes_after_a_silence_waits_for_nothing() -> None:
    loop = Loop()
    loop.now_ns += 10 * SLOT_NS + 7
    assert loop.turn(1, 0) == 0


def test_sockets_that_are_read_together_share_a_sleep() -> None:
    loop = Loop(3 * SLOT_NS)
    loop.turn(1, 0)
    assert loop.turn(50, 1_000) == SLOT_NS - 1_000
    assert len(loop.slept_ns) == 1


def test_without_reading_nobody_sleeps() -> None:
    loop = Loop()
    loop.turn(0, 5)
    assert loop.slept_ns == []


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3 * SLOT_NS)), min_size=2, max_size=40))
def test_it_looks_once_a_slot_and_never_sleeps_a_whole_one_away(turns: list[tuple[int, int]]) -> None:
    loop = Loop(5)
    for sockets, busy_ns in turns:
        begun = loop.now_ns
        slept = loop.turn(sockets, busy_ns)
        assert slept <= SLOT_NS
        if busy_ns >= SLOT_NS:
            assert slept == 0, "a loop with more to do than a slot holds never sleeps"
        if slept:
            assert loop.now_ns % SLOT_NS == 0, "slots begin together, for sockets and for ticks"
            assert loop.now_ns // SLOT_NS == begun // SLOT_NS + 1


def test_what_is_due_is_done_before_the_sockets_are_looked_at_again() -> None:
    loop, done = Loop(3 * SLOT_NS), list[int]()
    loop.slots.on_wake = lambda: done.append(loop.now_ns)
    loop.turn(1, 0)
    loop.turn(9, 1_000)
    assert done == [3 * SLOT_NS, 4 * SLOT_NS]


def test_nobody_sleeps_while_a_command_is_under_way() -> None:
    loop, commands = Loop(3 * SLOT_NS), set[object]()
    loop.slots.never_while(commands)
    loop.turn(1, 0)
    commands.add("join")
    assert loop.turn(5, 1_000) == 0
    commands.clear()
    assert loop.turn(5, 1_000) > 0


@given(st.integers(0, 10**15))
def test_the_rest_of_a_slot_ends_with_it(now_ns: int) -> None:
    loop = Loop(now_ns)
    left_ns = round(loop.slots.left_s() * 1e9)
    assert 0 < left_ns <= SLOT_NS
    assert (now_ns + left_ns) % SLOT_NS == 0
