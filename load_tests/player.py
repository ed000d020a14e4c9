"""One member of a replay: what it has seen of the session, and its part of the account. No network here."""

from __future__ import annotations

from dataclasses import dataclass, field

from load_tests.account import MemberAccount
from load_tests.phone import Phone
from load_tests.readings import Track
from load_tests.shift import Shift, Timing
from protocol.client_events import Acked, Event, PrecisionSeen, Welcomed
from protocol.close_codes import CloseCode
from protocol.limits import MAX_NAME, WINDOW_MS
from protocol.precision import Precision, coarsest


@dataclass(slots=True)
class Player:
    """A track, how it is moved, the phone that plays it, and what was seen of its session."""

    track: Track
    timing: Timing
    shift: Shift
    phone: Phone = field(init=False)
    windows: set[int] = field(default_factory=set)
    precision: Precision = Precision.EXACT
    m: int | None = None

    def seen(self, event: Event) -> None:
        if isinstance(event, Acked):
            self.windows.update(at // WINDOW_MS for at in event.times)
        elif isinstance(event, Welcomed):
            self.m = event.welcome.you
            self.precision = coarsest(self.precision, event.welcome.precision)
        elif isinstance(event, PrecisionSeen):
            self.precision = coarsest(self.precision, event.precision)


def account_of(track: Track, player: Player | None) -> MemberAccount:
    """The account of one track; `player` is `None` for a track that has no usable fix at all."""
    if player is None:
        return MemberAccount(track.member, None, 0, 0, dict(track.unusable), 0, 0, {}, 0, 0, 0, 0, 0, 0)
    one = player.phone.session.account
    held = {at // WINDOW_MS for at in player.phone.session.held_times()}
    return MemberAccount(
        member=track.member,
        m=player.m,
        delta_ms=player.shift.delta_ms,
        read=len(track.readings),
        unusable=dict(track.unusable),
        offered=one.offered,
        acked=one.acked,
        rejected={reason.value: count for reason, count in one.rejected.items()},
        held=one.held,
        lost=one.lost,
        sent_again=one.sent_again,
        connections=player.phone.connections,
        windows=len(player.windows),
        held_windows=len(held - player.windows) + one.lost,
        gave_up=player.phone.gave_up,
    )


def display_name(label: str) -> str:
    """A name that the wire takes, of whatever a file calls its track."""
    shown = "".join(letter for letter in label if letter.isprintable()).strip()
    return shown[:MAX_NAME].strip() or "track"


def why_not(code: int) -> str:
    """One sentence on a close code that a member got instead of a welcome, with the mend."""
    match code:
        case CloseCode.BAD_TOKEN:
            return (
                "The server does not know the party's tokens; replay without --resume to make a new session."
            )
        case CloseCode.ENDED:
            return "The session has ended; replay without --resume to make a new one."
        case CloseCode.FULL:
            return "The session is full; replay fewer tracks, or without --resume to make a new session."
        case CloseCode.KICKED:
            return "A member was removed from the session; replay without --resume to make a new one."
        case _:
            name = CloseCode(code).reason if code in list(CloseCode) else "not a Partyline server"
            return f"The server closed the connection ({code}, {name}); check --url and its log."
