"""What an entry of the control stream does to the sessions of this gateway, at once (G3). Pure.

Applied means: nothing that the entry may have taken away is sent, relayed or cached from here on. What is
true instead is read from PostgreSQL afterwards; until then the session is withheld.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.close_codes import CloseCode
from protocol.messages import Ended
from server.control_entry import Changed, Entry, Erased, Gone, Over, Tightened
from server.hub import Hub
from server.session import Session


class Applier:
    """Applies entries to a hub."""

    def __init__(
        self, hub: Hub, *, touched: Callable[[int | None], None], reread: Callable[[int], None]
    ) -> None:
        """`touched`: a session (or all of them) is not as it was read before. `reread`: asks for it anew."""
        self._hub = hub
        self._touched = touched
        self._reread = reread

    def apply(self, entry: Entry | None) -> None:
        """One entry; `None` is one of a newer version, which may mean anything. Erasures are not for here."""
        match entry:
            case None:
                self.doubt_all()
                for session_id in self._hub.sessions:
                    self._reread(session_id)
            case Tightened() | Changed():
                self._new(entry.session, doubtful=isinstance(entry, Tightened))
            case Gone():
                self._touched(entry.session)
                session = self._hub.sessions.get(entry.session)
                if session is not None:
                    self._hub.remove(session, entry.member, _code(entry.code))
                    self._reread(entry.session)
            case Over():
                self._touched(entry.session)
                session = self._hub.sessions.get(entry.session)
                if session is not None:
                    end(self._hub, session, entry.reason)
            case Erased():
                raise ValueError("whom an erasure means is asked elsewhere")

    def doubt_all(self) -> None:
        """This gateway may have missed something: every session is withheld."""
        self._touched(None)
        for session in self._hub.sessions.values():
            doubt(self._hub, session)

    def _new(self, session_id: int, *, doubtful: bool) -> None:
        self._touched(session_id)
        session = self._hub.sessions.get(session_id)
        if session is not None:
            if doubtful:
                doubt(self._hub, session)
            self._reread(session_id)


def doubt(hub: Hub, session: Session) -> None:
    """Withholds the session until it was read again; bytes that wait in this process are cut."""
    session.withheld = True
    session.doubts += 1
    hub.cut_unsent(session)


def release(hub: Hub, session: Session) -> None:
    """The session is as it was read: what was held back is due."""
    session.withheld = False
    hub.relay.released(session)
    if session.changed and not session.waiting:
        hub.want_tick(session, hub.clock())


def end(hub: Hub, session: Session, reason: str) -> None:
    """The session is over for everybody on this gateway."""
    hub.broadcast(session, Ended(reason=reason))
    hub.end(session)


def _code(number: int) -> CloseCode:
    """A newer gateway may know more of them."""
    try:
        return CloseCode(number)
    except ValueError:
        return CloseCode.BAD_TOKEN
