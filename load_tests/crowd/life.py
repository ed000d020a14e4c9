"""A phone's life beside its way: when it joins and leaves, sleeps, is killed, has no network. Pure, lazy.

Spells come without memory, at the traits' rates, and never overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from load_tests.crowd.draw import Draw
from load_tests.crowd.traits import Traits

HOUR_MS = 3_600_000.0
MIN_STAY_MS = 1_000
"""A member who leaves was there for at least so long, if the crowd is."""


class Kind(StrEnum):
    """What keeps a phone from sending."""

    TUNNEL = "tunnel"
    SLEEP = "sleep"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Spell:
    """From `start_ms` to before `end_ms`."""

    kind: Kind
    start_ms: int
    end_ms: int
    live_first: bool
    """After a tunnel: the first fresh fix goes out before the late ones."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A member takes part from `join_ms` to before `end_ms`; `leaves` if it goes before the party ends."""

    join_ms: int
    end_ms: int
    leaves: bool


def membership(seed: int, party: int, member: int, end_ms: int, traits: Traits) -> Membership:
    """When a member of a party that ends at `end_ms` is there. Member 0 is the host: there throughout."""
    draw = Draw(seed, "membership", party, member)
    late, leaves = draw.chance(traits.late_joiner_share), draw.chance(traits.leaver_share)
    joins, goes = draw.between(0.05, 0.6), draw.between(0.3, 0.95)
    if member == 0:
        return Membership(0, end_ms, False)
    join_ms = int(joins * end_ms) if late else 0
    leave_ms = join_ms + max(MIN_STAY_MS, int(goes * (end_ms - join_ms)))
    if leaves and leave_ms < end_ms:
        return Membership(join_ms, leave_ms, True)
    return Membership(join_ms, end_ms, False)


def spells(seed: int, party: int, member: int, there: Membership, traits: Traits) -> Iterator[Spell]:
    """What happens to a member's phone while it is there, one after another, the last one cut at the end."""
    kinds = tuple(Kind)
    rates = (traits.tunnels_per_hour, traits.sleeps_per_hour, traits.kills_per_hour)
    lasts_s = {Kind.TUNNEL: traits.tunnel_s, Kind.SLEEP: traits.sleep_s, Kind.KILL: traits.killed_s}
    if (total := sum(rates)) <= 0:
        return
    clock_ms, number = there.join_ms, 0
    while True:
        draw = Draw(seed, "spell", party, member, number)  # afresh for each: nothing is kept meanwhile
        start_ms = clock_ms + 1 + int(draw.after(HOUR_MS / total))
        kind = draw.pick(kinds, rates)
        end_ms = min(there.end_ms, start_ms + max(1, int(1000 * draw.between(*lasts_s[kind]))))
        if start_ms >= there.end_ms - 1:
            return
        yield Spell(kind, start_ms, end_ms, draw.chance(traits.live_first_share))
        clock_ms, number = end_ms, number + 1
