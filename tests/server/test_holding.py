"""What is taken while batches are held: never a fix above one that was left out, and never nothing for ever."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from server.holding import HoldGate


def test_without_a_hold_everything_is_taken() -> None:
    gate = HoldGate()
    assert all(gate.takes(seq, holding=False, refused=False) for seq in (0, 1, 5, 9))


def test_after_a_hold_nothing_is_taken_until_the_client_goes_back() -> None:
    gate = HoldGate()
    assert not gate.takes(3, holding=True, refused=False)
    assert not gate.takes(4, holding=True, refused=False)
    assert not gate.takes(5, holding=False, refused=False), "sent before the client knew"
    assert gate.takes(3, holding=False, refused=False)
    assert gate.takes(4, holding=False, refused=False)


def test_a_second_hold_in_the_middle_of_going_back_leaves_no_gap() -> None:
    gate = HoldGate()
    assert not any(gate.takes(seq, holding=True, refused=False) for seq in range(1, 11))
    assert all(gate.takes(seq, holding=False, refused=False) for seq in range(1, 6))
    assert not any(gate.takes(seq, holding=True, refused=False) for seq in (6, 7))
    assert not gate.takes(8, holding=False, refused=False), "6 and 7 were left out"
    assert all(gate.takes(seq, holding=False, refused=False) for seq in range(6, 11))


def test_a_fix_refused_during_a_hold_does_not_close_the_gate() -> None:
    gate = HoldGate()
    assert gate.takes(1, holding=True, refused=True)
    assert gate.takes(2, holding=False, refused=False)


class Honest(RuleBasedStateMachine):
    """A client that follows `Policy`, with messages on their way in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = HoldGate()
        self.holding = False
        self.told = False
        self.policies: list[bool] = []
        self.to_server: list[tuple[int, bool]] = []
        self.seq = 0
        self.kept: dict[int, bool] = {}
        self.last_taken = 0
        self.rejected: set[int] = set()

    @rule(refused=st.sampled_from([False, False, False, True]))
    def new_fix(self, refused: bool) -> None:
        self.seq += 1
        self.kept[self.seq] = refused
        self.to_server.append((self.seq, refused))

    @rule()
    def backlog_changes(self) -> None:
        self.holding = not self.holding
        self.policies.append(self.holding)

    @precondition(lambda self: self.policies)
    @rule()
    def client_hears(self) -> None:
        before, self.told = self.told, self.policies.pop(0)
        if before and not self.told:
            self.to_server += sorted(self.kept.items())

    @precondition(lambda self: self.to_server)
    @rule(count=st.integers(1, 6))
    def server_reads(self, count: int) -> None:
        for _ in range(min(count, len(self.to_server))):
            seq, refused = self.to_server.pop(0)
            if seq <= self.last_taken:
                continue
            if self.gate.takes(seq, holding=self.holding, refused=refused):
                left_out = [s for s in range(self.last_taken + 1, seq) if s not in self.rejected]
                assert not left_out
                self.last_taken = seq
            if refused:
                self.rejected.add(seq)
                self.kept.pop(seq, None)

    @rule()
    def calm(self) -> None:
        """No hold any more and everything heard: all that is not refused is taken."""
        if self.holding:
            self.backlog_changes()
        for _ in range(2):
            while self.policies:
                self.client_hears()
            if self.to_server:
                self.server_reads(len(self.to_server))
        self.new_fix(refused=False)
        self.server_reads(1)
        assert self.last_taken == self.seq


TestHonest = Honest.TestCase
