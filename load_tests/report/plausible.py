"""Whether a run that was read from a file can have happened: bounds that keep all sums finite. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from load_tests.run.notes import Run, Tally

MOST_S = 1e10
"""Seconds since the epoch, or of a run: some three hundred years."""
MOST = 2**53
"""Of anything that is counted."""
MOST_BUCKET = 400
"""A histogram's: some hundred years of milliseconds."""


def is_plausible(run: Run) -> bool:
    """False for numbers that no run has: negative ones, and those beyond any clock and memory."""
    if not all(0 <= second <= MOST_S for second in (run.started_at_s, run.seconds, run.minutes, run.rate)):
        return False
    if not all(0 <= bucket <= MOST_BUCKET for one in run.tallies for bucket in _buckets(one)):
        return False
    if not all(run.started_at_s - 60 <= at <= run.started_at_s + run.seconds + 3600 for at in _times(run)):
        return False
    return all(0 <= value <= MOST for value in _counts(run))


def _times(run: Run) -> Iterator[float]:
    yield from (one.at_s for one in run.tallies)
    yield from (one.at_s for one in run.samples)


def _buckets(tally: Tally) -> Iterator[int]:
    for histogram in (tally.delay_ms, tally.ack_ms, tally.join_ms):
        yield from histogram


def _counts(run: Run) -> Iterator[float]:
    account, audited = run.account, run.audited
    yield from (run.members, run.party_size, run.workers)
    yield from (account.offered, account.acked, account.held, account.lost, account.sent_again)
    yield from (audited.deliveries, audited.acked_windows, audited.looked_up, audited.rows)
    for counted in (account.rejected, audited.broken, run.gave_up):
        yield from counted.values()
    for violation in audited.violations:
        yield violation.at_ms
    for sample in run.samples:
        yield from sample.figures.values()
    for one in run.tallies:
        yield from (one.connected, one.wanted, one.held, one.offered, one.acked, one.sent_again)
        yield from (one.frames, one.deliveries)
        for counts in (one.rejected, one.closes, one.delay_ms, one.ack_ms, one.join_ms):
            yield from counts.values()
