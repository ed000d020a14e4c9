"""How each subject is spoken to: its path, what is said to enter a party, how a fix is put.

Pure. A dialect is a value; what waits and sends is `load`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from load_tests.bench.frames import (
    BINARY,
    client_frame,
    mqtt_connect,
    mqtt_publish,
    mqtt_subscribe,
)
from protocol.limits import SUBPROTOCOL_JSON

Step = tuple[bytes, bytes]
"""What is sent (nothing, where only the other side speaks), and what then must be in the answer."""


@dataclass(frozen=True)
class Place:
    """A phone's place in the load."""

    phone: int
    party: int
    token: str = ""
    """Partyline's: what it enters with."""
    is_host: bool = False


@dataclass(frozen=True)
class Dialect:
    """A subject's tongue."""

    path: Callable[[Place, bool], str]
    """Of a place, and whether the party is to be told in ticks."""
    enter: Callable[[Place], list[Step]] = lambda place: []
    frame: Callable[[Place, bytes], bytes] = lambda place, fix: client_frame(fix)
    subprotocol: str = ""
    echoes: bool = False
    """Whether who sends hears it too."""
    invites: bool = False
    """Whether parties are made over HTTP first."""
    acks: bool = False


def _by_path(place: Place, ticks: bool) -> str:
    return f"/{'tick' if ticks else 'relay'}/{place.party}"


def _enter_partyline(place: Place) -> list[Step]:
    message = (
        {"t": "resume", "token": place.token}
        if place.is_host
        else {"t": "join", "token": place.token, "name": f"phone {place.phone}"}
    )
    return [(client_frame(json.dumps(message).encode()), b'"welcome"')]


def _topic(place: Place) -> bytes:
    return b"p/%d" % place.party


def _enter_mqtt(place: Place) -> list[Step]:
    return [
        (client_frame(mqtt_connect(b"phone-%d" % place.phone), BINARY), b"\x20"),
        (client_frame(mqtt_subscribe(_topic(place)), BINARY), b"\x90"),
    ]


DIALECTS: dict[str, Dialect] = {
    "partyline": Dialect(
        path=lambda place, ticks: "/v1/stream",
        enter=_enter_partyline,
        subprotocol=SUBPROTOCOL_JSON,
        invites=True,
        acks=True,
    ),
    "plain": Dialect(path=_by_path),
    "socket.io": Dialect(
        path=lambda place, ticks: f"/socket.io/?EIO=4&transport=websocket&party={place.party}",
        enter=lambda place: [(b"", b"0{"), (client_frame(b"40"), b"40{")],
        frame=lambda place, fix: client_frame(b'42["fix",' + fix + b"]"),
    ),
    "mqtt": Dialect(
        path=lambda place, ticks: "/mqtt",
        enter=_enter_mqtt,
        frame=lambda place, fix: client_frame(mqtt_publish(_topic(place), fix), BINARY),
        subprotocol="mqtt",
    ),
    "nchan": Dialect(path=_by_path, echoes=True),
}
