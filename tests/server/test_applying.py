"""What an entry does, at once: nothing that it may have taken away is sent from there on (G3). Pure."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.close_codes import CloseCode
from protocol.messages import Ended, MemberState, Positions
from protocol.messages import Member as MemberMessage
from server.applying import Applier, doubt, release
from server.control_entry import Changed, Entry, Erased, Gone, Over, Tightened
from server.session import Session
from tests.server.parties import NOW, Party, RecordingSocket, make_session


class Scene:
    """A party of two on a hub with another session, and who is told what."""

    def __init__(self) -> None:
        self.party = Party()
        self.hub, self.session = self.party.hub, self.party.session
        self.other = make_session(2)
        self.hub.sessions[2] = self.other
        self.ana, self.phone = self.party.enter(1)
        _, self.seen = self.party.enter(2)
        self.phone.said()
        self.steps: list[Any] = []
        self.hub.relay.released = self.released  # type: ignore[method-assign]
        self.applier = Applier(
            self.hub,
            touched=lambda session_id: self.steps.append(("touched", session_id)),
            reread=lambda session_id: self.steps.append(("reread", session_id)),
        )
        self.sent = 0

    def released(self, session: Session) -> None:
        self.steps.append(("released", session.id))

    def walk(self) -> None:
        """The phone sends where it is, and a tick is due."""
        self.sent += 1
        self.party.fix(self.phone, self.sent, lat=50.0 + self.sent)
        self.party.later(1_100)

    def positions(self, socket: RecordingSocket | None = None) -> list[float]:
        """The latitudes that were said to the one who looks on."""
        said = (self.seen if socket is None else socket).said()
        return [row[2] for message in said if isinstance(message, Positions) for row in message.p]


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- what takes something away ------------------------------------------------------------------------


def test_a_tightened_session_is_withheld_and_read_again(scene: Scene) -> None:
    scene.walk()
    assert scene.positions() == [51.0]
    scene.applier.apply(Tightened(1))
    assert (scene.session.withheld, scene.session.doubts, scene.other.withheld) == (True, 1, False)
    assert scene.steps == [("touched", 1), ("reread", 1)]
    for _ in range(5):
        scene.walk()
    assert scene.positions() == []


def test_what_was_held_back_is_due_when_it_is_released(scene: Scene) -> None:
    scene.applier.apply(Tightened(1))
    scene.walk()
    release(scene.hub, scene.session)
    assert scene.steps[-1] == ("released", 1)
    scene.party.later(1_100)
    assert scene.positions() == [51.0]


def test_what_changed_before_it_was_withheld_is_due_when_it_is_released(scene: Scene) -> None:
    scene.party.fix(scene.phone, 1, lat=51.0)
    scene.applier.apply(Tightened(1))
    scene.party.later(5_000)
    assert scene.positions() == []
    release(scene.hub, scene.session)
    scene.party.later(1_100)
    assert scene.positions() == [51.0]


def test_a_slow_connection_is_given_nothing_while_it_is_withheld(scene: Scene) -> None:
    scene.seen.stuck(unsent_bytes=0)
    scene.walk()
    scene.applier.apply(Tightened(1))
    scene.seen.moves()
    scene.party.later(5_000)
    assert scene.positions() == []
    release(scene.hub, scene.session)
    scene.party.later(1_100)
    assert scene.positions() == [51.0]


def test_bytes_that_wait_in_this_process_are_cut(scene: Scene) -> None:
    scene.seen.stuck()
    scene.applier.apply(Tightened(1))
    assert scene.seen.aborted
    assert not scene.phone.aborted, "nothing waited there"


def test_each_doubt_counts(scene: Scene) -> None:
    """Whoever reads meanwhile releases nothing that came after."""
    for times in range(1, 4):
        scene.applier.apply(Tightened(1))
        assert scene.session.doubts == times


# --- what takes nothing away --------------------------------------------------------------------------


def test_a_changed_session_is_read_again_and_goes_on_meanwhile(scene: Scene) -> None:
    scene.seen.stuck()
    scene.applier.apply(Changed(1))
    assert (scene.session.withheld, scene.session.doubts) == (False, 0)
    assert scene.steps == [("touched", 1), ("reread", 1)]
    assert not scene.seen.aborted


# --- who goes -------------------------------------------------------------------------------------------


def test_who_was_removed_goes_at_once(scene: Scene) -> None:
    scene.party.fix(scene.phone, 1)
    scene.applier.apply(Gone(1, 1, CloseCode.KICKED))
    assert scene.phone.closed_with == CloseCode.KICKED
    assert 1 not in scene.session.members
    assert [message for message in scene.seen.said() if isinstance(message, MemberMessage)] == [
        MemberMessage(m=1, name="member 1", role=scene.ana.role, state=MemberState.LEFT)
    ]
    scene.party.later(1_100)
    assert scene.positions() == [], "nothing of them is shown any more"
    assert scene.steps == [("touched", 1), ("reread", 1)]


def test_who_was_removed_gets_not_even_what_waits(scene: Scene) -> None:
    scene.phone.stuck()
    scene.applier.apply(Gone(1, 1, CloseCode.KICKED))
    assert scene.phone.aborted


def test_who_is_not_here_goes_without_a_word(scene: Scene) -> None:
    scene.applier.apply(Gone(1, 77, CloseCode.KICKED))
    assert (set(scene.session.members), scene.seen.said()) == ({1, 2}, [])


def test_a_code_that_a_newer_gateway_knows_closes_too(scene: Scene) -> None:
    scene.applier.apply(Gone(1, 1, 4999))
    assert scene.phone.closed_with == CloseCode.BAD_TOKEN


def test_a_session_that_is_over_is_over_for_everybody(scene: Scene) -> None:
    scene.party.fix(scene.phone, 1)
    scene.applier.apply(Over(1, "ended by the host"))
    assert set(scene.hub.sessions) == {2}
    assert (scene.phone.closed_with, scene.seen.closed_with) == (CloseCode.ENDED, CloseCode.ENDED)
    assert [message for message in scene.seen.said() if isinstance(message, Ended)] == [
        Ended(reason="ended by the host")
    ]
    assert scene.steps == [("touched", 1)]
    scene.party.later(1_100)
    assert scene.positions() == []


# --- what is not known ----------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [Tightened(9), Changed(9), Gone(9, 1, 4502), Over(9, "ended")])
def test_a_session_that_is_not_here_may_be_read_at_this_moment(scene: Scene, entry: Entry) -> None:
    """Whoever loads it reads it once more; nothing else happens."""
    scene.applier.apply(entry)
    assert scene.steps == [("touched", 9)]
    assert set(scene.hub.sessions) == {1, 2}
    assert not any(session.withheld for session in scene.hub.sessions.values())
    assert not {scene.phone.closed_with, scene.seen.closed_with} - {None}


def test_an_entry_of_a_newer_version_may_mean_anything(scene: Scene) -> None:
    scene.seen.stuck()
    scene.applier.apply(None)
    assert scene.session.withheld
    assert scene.other.withheld
    assert scene.seen.aborted
    assert scene.steps == [("touched", None), ("reread", 1), ("reread", 2)]


def test_who_may_have_missed_something_withholds_everything(scene: Scene) -> None:
    scene.applier.doubt_all()
    assert scene.session.withheld
    assert scene.other.withheld
    assert scene.steps == [("touched", None)], "what is read again is not for the applier to say"
    scene.walk()
    assert scene.positions() == []


def test_whom_an_erasure_means_is_asked_elsewhere(scene: Scene) -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        scene.applier.apply(Erased("a receipt"))


# --- released ---------------------------------------------------------------------------------------------


def test_a_release_of_what_did_not_change_makes_no_tick(scene: Scene) -> None:
    doubt(scene.hub, scene.session)
    release(scene.hub, scene.session)
    scene.party.later(5_000)
    assert scene.hub.stats.ticks == 0
    assert not scene.session.waiting


def test_what_waits_while_it_is_withheld_is_the_newest_of_each(scene: Scene) -> None:
    doubt(scene.hub, scene.session)
    for _ in range(10):
        scene.walk()
    release(scene.hub, scene.session)
    scene.party.later(1_100)
    assert scene.positions() == [60.0]
    assert scene.party.clock() > NOW
