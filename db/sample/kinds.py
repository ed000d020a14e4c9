"""The order of the load: kinds of rows, how many batches of each, and which function draws one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from db.sample import places, posts, trips
from db.sample.draw import Lines, Plan, batches


class Kind(msgspec.Struct, frozen=True):
    """Rows that are drawn, copied and committed together."""

    name: str
    """As the queries of `sample.sql` call it: there_<name>."""
    weight: int
    """About how long a batch takes, beside the others: for the time that is left."""
    count: Callable[[Plan], int]
    draw: Callable[[Plan, int], Lines]


KINDS = (
    Kind("tags", 1, lambda plan: 1, places.tags),
    Kind("missions", 1, lambda plan: 1, trips.missions),
    Kind("users", 1, lambda plan: batches(plan.users), trips.users),
    Kind("places", 4, lambda plan: batches(plan.places), places.places),
    Kind("trips", 4, lambda plan: batches(plan.trips), trips.trips),
    Kind("posts", 3, lambda plan: batches(plan.posts), posts.posts),
    Kind("doodles", 1, posts.doodle_batches, posts.doodles),
)


def drawn(plan: Plan, kind: str) -> Iterator[Lines]:
    """Every batch of a kind."""
    chosen = next(one for one in KINDS if one.name == kind)
    return (chosen.draw(plan, number) for number in range(chosen.count(plan)))
