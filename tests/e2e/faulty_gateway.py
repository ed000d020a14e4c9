"""A gateway with one planted fault: what the audit of crowd runs must convict. Run as a process:

    python -m tests.e2e.faulty_gateway FAULT --host HOST --port PORT

Each fault replaces one function of the real gateway, and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from protocol.precision import Precision
from server import batches, cli, connection, registry, session
from server.acks import AckLedger
from server.position import Position

NTH = 6
"""Which fix, position or row of a member is treated wrongly, counted from 1."""


def _nth(keep: dict[Any, int], who: Any) -> bool:
    keep[who] = keep.get(who, 0) + 1
    return keep[who] == NTH


def ack_early() -> None:
    """A fix is acked when it is taken, not when its row is committed."""
    note, take = AckLedger.note, connection.Connection._take

    def note_nothing(self: AckLedger, window: Any, seq: int) -> None:
        note(self, None, seq)

    def take_and_ack(self: connection.Connection, fix: Any, now_ms: int) -> Any:
        refusal = take(self, fix, now_ms)
        self._hub.want_ack(self)
        return refusal

    AckLedger.note = note_nothing  # type: ignore[method-assign]
    connection.Connection._take = take_and_ack  # type: ignore[method-assign]


def lose_a_row() -> None:
    """One row of a batch is left out, and its window counts as committed with the others."""
    pack, lost = batches._pack, list[int]()

    def pack_but_one(window: Any) -> bytes:
        if not lost and window.position.precision is Precision.EXACT:
            lost.append(window.start)
        return b"" if window.start in lost else pack(window)

    batches._pack = pack_but_one


def _leak(of: Precision, how: Callable[[Any, Any], Any]) -> None:
    mask, seen = connection.mask, dict[int, int]()

    def leaky(precision: Precision, masks: Any, side: int, fix: Any) -> Any:
        shown = mask(precision, masks, side, fix)
        return how(fix, shown) if precision is of and _nth(seen, id(masks)) else shown

    connection.mask = leaky  # type: ignore[assignment]


def _exact(fix: Any, shown: Any) -> Position:
    return Position(fix.at, fix.lat, fix.lon, fix.acc, fix.spd, fix.hdg, Precision.EXACT)


def leak_rough() -> None:
    """One position of each rough member is shown as it is."""
    _leak(Precision.ROUGH, _exact)


def leak_private() -> None:
    """One position of each private member is shown as it is."""
    _leak(Precision.PRIVATE, _exact)


def show_the_raw_place() -> None:
    """The mask forgets to mask the place; all else is as it should be."""
    mask = connection.mask

    def forgetful(precision: Precision, masks: Any, side: int, fix: Any) -> Any:
        shown = mask(precision, masks, side, fix)
        if precision is Precision.ROUGH and isinstance(shown, Position):
            return Position(shown.at, fix.lat, fix.lon, shown.acc, None, None, Precision.ROUGH)
        return shown

    connection.mask = forgetful  # type: ignore[assignment]


def tighten_nobody() -> None:
    """A host's tightening changes the session and leaves its members as they were."""
    session.Session.restrict = lambda self: []  # type: ignore[method-assign]


def show_an_old_one() -> None:
    """Late in the party everybody's first position is shown once again."""
    take, first, ticks = session.Session.take_tick, dict[Any, Any](), dict[int, int]()

    def take_and_repeat(self: session.Session, now_ms: int) -> list[Any]:
        rows = take(self, now_ms)
        for row in rows:
            first.setdefault((self.id, row[0]), row)
        if rows and _nth(ticks, self.id):
            rows += [row for (number, _), row in first.items() if number == self.id]
        return rows

    session.Session.take_tick = take_and_repeat  # type: ignore[method-assign]


def loosen_for_others() -> None:
    """When the host loosens, everybody else is loosened too."""
    put = registry.Registry.put

    def put_loose(self: Any, party: Any, row: Any) -> Any:
        member = put(self, party, row)
        member.own = party.precision
        return member

    registry.Registry.put = put_loose  # type: ignore[method-assign]


def mix_up() -> None:
    """One position goes out under another member's number."""
    row_of, seen = session.Member.row, dict[int, int]()

    def row_of_another(self: session.Member, position: Position) -> Any:
        row = row_of(self, position)
        others = [other for other in self.session.members if other != self.number]
        return (min(others), *row[1:]) if _nth(seen, self.session.id) and others else row

    session.Member.row = row_of_another  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        ack_early,
        lose_a_row,
        leak_rough,
        leak_private,
        show_the_raw_place,
        tighten_nobody,
        show_an_old_one,
        loosen_for_others,
        mix_up,
    )
} | {"none": lambda: None}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.argv = ["partyline", "gateway", *sys.argv[2:]]
    cli.main()
