"""What a worker counts in a second, and how the seconds of several workers add up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from load_tests.run import notes
from load_tests.run.histogram import bucket, merge
from load_tests.run.notes import Tally
from protocol.client_events import Account
from protocol.close_codes import CloseCode

CUT = 1006
_COUNTED = ("offered", "acked", "sent_again", "frames", "deliveries", "tightenings", "tightenings_returned")
_LEVELS = ("connected", "wanted", "held")
_BY_NAME = ("rejected", "closes", "delay_ms", "ack_ms", "join_ms", "tighten_ms")


def close_name(code: int) -> str:
    """A close code with its name: `1006 cut`, `4001 slow`."""
    if code in list(CloseCode):
        return f"{code} {CloseCode(code).reason}"
    names = {1000: "normal", 1001: "going away", 1002: "protocol error", CUT: "cut", 1011: "server error"}
    return f"{code} {names.get(code, 'closed')}"


def account_of(accounts: Iterable[Account]) -> notes.Account:
    """The accounts of phones added up."""
    total = notes.Account()
    for one in accounts:
        total.offered += one.offered
        total.acked += one.acked
        total.held += one.held
        total.lost += one.lost
        total.sent_again += one.sent_again
        for reason, count in one.rejected.items():
            total.rejected[reason.value] = total.rejected.get(reason.value, 0) + count
    return total


def add_accounts(into: notes.Account, other: notes.Account) -> None:
    """Adds `other`."""
    for name in ("offered", "acked", "held", "lost", "sent_again"):
        setattr(into, name, getattr(into, name) + getattr(other, name))
    add_counts(into.rejected, other.rejected)


def add_counts(into: dict[str, int], other: Mapping[str, int]) -> None:
    """Adds the counts of `other`, name by name."""
    for name, count in other.items():
        into[name] = into.get(name, 0) + count


class Counter:
    """The second that is being counted."""

    def __init__(self) -> None:
        self.tally = Tally(at_s=0)
        self._before = notes.Account()

    def close(self, code: int) -> None:
        """A connection ended without the phone wanting it."""
        self.trouble(close_name(code))

    def trouble(self, name: str) -> None:
        """Something else went wrong, such as a call over HTTP."""
        self.tally.closes[name] = self.tally.closes.get(name, 0) + 1

    def took(self, histogram: str, ms: float) -> None:
        """A time for `ack_ms`, `join_ms`, `delay_ms` or `tighten_ms`."""
        counts = getattr(self.tally, histogram)
        index = bucket(ms)
        counts[index] = counts.get(index, 0) + 1

    def returned(self, ms: float) -> None:
        """A tightening holds, after so long."""
        self.tally.tightenings_returned += 1
        self.took("tighten_ms", ms)

    def end(self, at_s: int, account: notes.Account, *, connected: int, wanted: int) -> Tally:
        """The second is over: its tally, and a fresh one from here on."""
        tally, before = self.tally, self._before
        self.tally, self._before = Tally(at_s=0), account
        tally.at_s, tally.connected, tally.wanted, tally.held = at_s, connected, wanted, account.held
        tally.offered = account.offered - before.offered
        tally.acked = account.acked - before.acked
        tally.sent_again = account.sent_again - before.sent_again
        for reason, count in account.rejected.items():
            if more := count - before.rejected.get(reason, 0):
                tally.rejected[reason] = more
        return tally


def together(workers: Sequence[Sequence[Tally]]) -> list[Tally]:
    """One tally a second over all workers. A worker that missed a second keeps its levels in it; of one that
    told twice of a second both count."""
    seconds = [tally.at_s for tallies in workers for tally in tallies]
    if not seconds:
        return []
    by_second = [_by_second(tallies) for tallies in workers]
    levels = [Tally(at_s=0) for _ in workers]
    merged = []
    for at_s in range(min(seconds), max(seconds) + 1):
        total = Tally(at_s=at_s)
        for index, tallies in enumerate(by_second):
            for tally in tallies.get(at_s, ()):
                levels[index] = tally
                _add_counted(total, tally)
            for name in _LEVELS:
                setattr(total, name, getattr(total, name) + getattr(levels[index], name))
        merged.append(total)
    return merged


def _by_second(tallies: Sequence[Tally]) -> dict[int, list[Tally]]:
    found: dict[int, list[Tally]] = {}
    for tally in tallies:
        found.setdefault(tally.at_s, []).append(tally)
    return found


def summed(tallies: Iterable[Tally]) -> Tally:
    """What was counted in several seconds; the levels are sums too, for shares."""
    total = Tally(at_s=0)
    for tally in tallies:
        _add_counted(total, tally)
        for name in _LEVELS:
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    return total


def _add_counted(into: Tally, tally: Tally) -> None:
    for name in _COUNTED:
        setattr(into, name, getattr(into, name) + getattr(tally, name))
    for name in _BY_NAME:
        merge(getattr(into, name), getattr(tally, name))


assert {*_COUNTED, *_LEVELS, *_BY_NAME, "at_s"} == {field.name for field in msgspec.structs.fields(Tally)}  # noqa: S101
