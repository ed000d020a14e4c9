"""What a party's host does: tightens, loosens, ends; and how members answer a loosening. Pure, lazy."""

from __future__ import annotations

from collections.abc import Iterator

from load_tests.crowd.draw import Draw
from load_tests.crowd.events import End, HostEvent, Loosen, Share, Tighten
from load_tests.crowd.life import HOUR_MS
from load_tests.crowd.traits import Traits
from protocol.precision import Precision, tightens

ANSWER_S = (2.0, 30.0)
"""How long a member takes to agree."""


def party_end_ms(seed: int, party: int, minutes_ms: int, traits: Traits) -> tuple[int, bool]:
    """When the party is over, and whether its host ends it before the crowd's time is up."""
    draw = Draw(seed, "end", party)
    if draw.chance(traits.ended_share):
        return int(minutes_ms * draw.between(2 / 3, 0.95)), True
    return minutes_ms, False


def host_events(seed: int, party: int, end_ms: int, ends: bool, traits: Traits) -> Iterator[HostEvent]:
    """Changes of the session's precision, each to another one, and the end."""
    precision, clock_ms, number = traits.precision, 0, 0
    while traits.host_changes_per_hour > 0:
        draw = Draw(seed, "host", party, number)
        clock_ms += 1 + int(draw.after(HOUR_MS / traits.host_changes_per_hour))
        if clock_ms >= end_ms:
            break
        others = [one for one in Precision if one is not precision]
        chosen = draw.pick(others, (1,) * len(others))
        yield Tighten(clock_ms, chosen) if tightens(precision, chosen) else Loosen(clock_ms, chosen)
        precision, number = chosen, number + 1
    if ends:
        yield End(end_ms)


def answers(
    seed: int, party: int, member: int, events: Iterator[HostEvent], traits: Traits
) -> Iterator[Share]:
    """A member's yes to a host's loosenings, in order of time. The host (member 0) has said so already."""
    last_ms = 0
    for number, event in enumerate(events):
        draw = Draw(seed, "answer", party, member, number)
        if member and isinstance(event, Loosen) and draw.chance(traits.consent_share):
            last_ms = max(last_ms, event.at_ms + int(1000 * draw.between(*ANSWER_S)))
            yield Share(last_ms, event.precision)
