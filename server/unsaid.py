"""What a gateway has still to tell the others of one session. Pure.

It names members; what is told of them is read when it is told. So the newest replaces what was not told, and
what waits is bounded by the members, however slow Redis is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from server.peers import Hello, Message, Moved, Presence, Shown, present, shown_rows
from server.session import Session


class Unsaid:
    """Of one session."""

    __slots__ = ("ask", "hello", "moved", "shown")

    def __init__(self) -> None:
        self.hello = False
        self.ask = False
        """Whether the hello asks the others for theirs."""
        self.moved: set[int] = set()
        self.shown: set[int] = set()

    def add(self, other: Unsaid) -> None:
        """What could not be told is to be told again."""
        self.hello |= other.hello
        self.ask |= other.ask
        self.moved |= other.moved
        self.shown |= other.shown

    def messages(self, session: Session, gateway: str) -> Iterator[Message]:
        """As the session is now."""
        if self.hello:
            yield Hello(gateway, session.revision, self.ask, present(session))
        elif self.moved:
            yield Moved(gateway, session.revision, _presences(session, self.moved))
        rows = shown_rows(session, self.shown)
        if rows:
            yield Shown(gateway, rows)


def _presences(session: Session, numbers: Iterable[int]) -> list[Presence]:
    """Who is connected elsewhere by now is the other gateway's to tell of."""
    members = (session.members.get(number) for number in numbers)
    return [
        (member.number, member.state, member.since_ms)
        for member in members
        if member is not None and member.number not in session.elsewhere
    ]
