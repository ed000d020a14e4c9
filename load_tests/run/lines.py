"""What a worker and its parent say to each other: one JSON object a line, over the worker's own pipes.

The parent says `Plan`, `Go`, `Stop`, and the end of its pipe means `Stop` too. The worker says `Second` every
second, `Ready` when its crowd is in, and `Ended`, `CannotGo` or `Broke` at last. What it says holds no token
and no coordinate; a plan holds the database's address and is never shown.
"""

from __future__ import annotations

import msgspec

from load_tests.run.notes import Ended, Tally
from load_tests.run.scenario import Scenario

LONGEST = 64 * 1024 * 1024
"""Bytes of a line: an `Ended` with many violations."""


class Plan(msgspec.Struct, frozen=True, tag_field="kind", tag="plan"):
    """The whole crowd; a worker plays the parties whose number is `worker`, modulo `workers`."""

    worker: int
    workers: int
    seed: int
    members: int
    party_size: int
    rate: float
    minutes: float
    scenario: Scenario
    bases: list[str]
    """The gateways; each phone begins at one, and tries the next when it is gone or refuses."""
    database_url: str
    codec: str
    audit: bool
    tracks: list[str]
    """Files of `--replay`."""

    def __repr__(self) -> str:
        return f"Plan(worker={self.worker}, …)"


class Go(msgspec.Struct, frozen=True, tag_field="kind", tag="go"):
    """The crowd's time 0, epoch milliseconds."""

    begin_ms: int


class Stop(msgspec.Struct, frozen=True, tag_field="kind", tag="stop"):
    """Offer nothing more, settle, and end."""


class Second(msgspec.Struct, frozen=True, tag_field="kind", tag="second"):
    """One second of a worker: what it counted, and how the load itself is."""

    tally: Tally
    cpu_s: float
    """The worker's CPU time in it, seconds."""
    lag_ms: float
    """How late the latest event was, against its time."""
    phase: str
    """`joining`, `playing`, `settling` or `looking up`."""


class Ready(msgspec.Struct, frozen=True, tag_field="kind", tag="ready"):
    """Everybody who is there from the start has joined."""


class CannotGo(msgspec.Struct, frozen=True, tag_field="kind", tag="cannot_go"):
    """The crowd cannot start; one sentence for the person."""

    why: str


class Broke(msgspec.Struct, frozen=True, tag_field="kind", tag="broke"):
    """The worker met a mistake of its own; where, without any value."""

    where: str


ToWorker = Plan | Go | Stop
FromWorker = Second | Ready | Ended | CannotGo | Broke

decode_to_worker = msgspec.json.Decoder(ToWorker).decode
decode_from_worker = msgspec.json.Decoder(FromWorker).decode


def line(message: ToWorker | FromWorker) -> bytes:
    """One line, its end included."""
    return msgspec.json.encode(message) + b"\n"
