"""G3 in woven worlds: see `fence_world.py`. A failure names its token for `DETANGLE_REPLAY`."""

from __future__ import annotations

import pytest

from tests.weave.exploring import FAST, SLOW, explore
from tests.weave.fence_world import Counts, woven


def test_nothing_finer_is_sent_once_a_tightening_has_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts()
    assert explore(woven(monkeypatch, counts), FAST).runs == FAST
    assert counts.sent > FAST and counts.returned > FAST // 2, "too little happened"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_finer_is_sent_in_many_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts()
    stats = explore(woven(monkeypatch, counts), SLOW)
    print(counts.__dict__)  # noqa: T201
    assert stats.runs == SLOW
    assert stats.distinct_schedules > SLOW * 0.9
    assert counts.sent > SLOW and counts.returned > SLOW // 2, "too little happened"
