"""A host's changes are changes, named for what they do, and members agree only after a loosening."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from load_tests.crowd.events import End, Loosen, Tighten
from load_tests.crowd.host import answers, host_events, party_end_ms
from load_tests.crowd.traits import Traits
from protocol.precision import Precision, tightens

FICKLE = Traits(host_changes_per_hour=120, ended_share=1, consent_share=1)


@given(st.integers(), st.integers(0, 100), st.sampled_from(Precision))
def test_tighten_tightens_loosen_loosens_and_end_is_last(seed: int, party: int, first: Precision) -> None:
    traits = Traits(host_changes_per_hour=120, precision=first)
    events = list(host_events(seed, party, 3_600_000, True, traits))
    assert isinstance(events[-1], End) and events[-1].at_ms == 3_600_000
    assert all(before.at_ms < after.at_ms for before, after in pairwise(events))
    now = first
    for event in events[:-1]:
        assert isinstance(event, Tighten | Loosen) and event.precision is not now
        assert tightens(now, event.precision) == isinstance(event, Tighten)
        now = event.precision


@given(st.integers(), st.integers(1, 100))
def test_everybody_who_consents_says_so_after_each_loosening_and_the_host_need_not(
    seed: int, member: int
) -> None:
    events = list(host_events(seed, 0, 3_600_000, False, FICKLE))
    loosened = [event for event in events if isinstance(event, Loosen)]
    said = list(answers(seed, 0, member, iter(events), FICKLE))
    assert [share.precision for share in said] == [event.precision for event in loosened]
    assert all(share.at_ms > event.at_ms for share, event in zip(said, loosened, strict=True))
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(said))
    assert list(answers(seed, 0, 0, iter(events), FICKLE)) == []
    assert list(answers(seed, 0, member, iter(events), Traits(consent_share=0))) == []


def test_a_calm_host_does_nothing_and_a_party_ends_as_its_share_says() -> None:
    assert list(host_events(1, 1, 10**9, False, Traits(host_changes_per_hour=0))) == []
    ends = [party_end_ms(1, party, 900_000, Traits(ended_share=0.25)) for party in range(4_000)]
    assert abs(sum(early for _, early in ends) / 4_000 - 0.25) < 0.03
    assert all(600_000 <= end_ms < 900_000 if early else end_ms == 900_000 for end_ms, early in ends)
