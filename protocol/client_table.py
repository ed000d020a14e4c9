"""The client's protocol as a table: where a session stands, what can happen, and what follows.

Pure data. What is not in `TABLE` is a mistake: `LocalMistake` when the caller did it, `PeerMistake`
when the server did.
"""

from __future__ import annotations

from enum import Enum


class LocalMistake(Exception):
    """The caller did what the session's state does not allow."""


class PeerMistake(Exception):
    """The server sent what the protocol does not allow. The text repeats nothing of its bytes."""


class State(Enum):
    """Where the session stands."""

    OFFLINE = "offline"
    JOINING = "joining"
    """The first message is on its way; no `welcome` yet."""
    LIVE = "live"
    HOLDING = "holding"
    """The server shares fixes but does not store them."""
    CLOSING = "closing"
    """The server said `ended` or `error`: a close follows."""
    OVER = "over"
    """Given up: nothing may be sent with this token again."""


class Input(Enum):
    """What can happen to the session."""

    OFFER = "a fix is offered"
    CONNECT = "the socket is open"
    CUT = "closed, may come again"
    REFUSED = "closed for good"
    WELCOME = "welcome"
    NEWS = "positions, member or precision"
    SETTLED = "ack or reject"
    HOLD = "policy with hold"
    RELEASE = "policy without hold"
    LAST = "ended or error"


_CONNECTED = (State.JOINING, State.LIVE, State.HOLDING, State.CLOSING)

TABLE: dict[tuple[State, Input], State] = {
    (State.OFFLINE, Input.CONNECT): State.JOINING,
    (State.JOINING, Input.WELCOME): State.LIVE,
    (State.LIVE, Input.HOLD): State.HOLDING,
    (State.LIVE, Input.RELEASE): State.LIVE,
    (State.HOLDING, Input.HOLD): State.HOLDING,
    (State.HOLDING, Input.RELEASE): State.LIVE,
    # What was under way when the server said its last is still true.
    (State.CLOSING, Input.HOLD): State.CLOSING,
    (State.CLOSING, Input.RELEASE): State.CLOSING,
    **{(state, what): state for state in _CONNECTED[1:] for what in (Input.NEWS, Input.SETTLED)},
    **{(state, Input.LAST): State.CLOSING for state in _CONNECTED},
    # A connection that never opened is a cut too.
    **{(state, Input.CUT): State.OFFLINE for state in (State.OFFLINE, *_CONNECTED)},
    **{(state, Input.REFUSED): State.OVER for state in (State.OFFLINE, *_CONNECTED)},
    **{(state, Input.OFFER): state for state in (State.OFFLINE, *_CONNECTED)},
}
