"""Throws a mass of inputs at protocol class, connection and codecs. Run as a process:

    python -m tests.fuzz.mass SEED INPUTS

Half of the inputs are thrown at the endpoint, the other half are payloads for the codecs of both sides and for the
phone's session. Prints what was done as JSON. Whatever goes wrong ends it with a traceback; the seed repeats it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from protocol.client import ClientSession
from protocol.client_table import PeerMistake
from protocol.codec import CODECS, BadFrame, decode_client, decode_server
from tests.fuzz.mutator import Mutator, parts
from tests.fuzz.recorded import answers, client_frames
from tests.fuzz.world import SUBPROTOCOLS, World

GLANCE = 250
"""Inputs between two looks at the witnesses."""
OBJECTS = 3_000
"""Objects more than after the first tenth: less than one for a hundred inputs of the smallest run."""
GROWTH_BYTES = 24 * 1024 * 1024


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Mass:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.world = World()
        self._random = Random(seed)
        self._client = {name: Mutator(client_frames(name), seed, CODECS[name]) for name in SUBPROTOCOLS}
        self._answers = {name: answers(self.world, name) for name in SUBPROTOCOLS}
        self._server = {
            name: Mutator(frames, seed + 1, CODECS[name]) for name, frames in self._answers.items()
        }
        self._good = {name: client_frames(name)[0] for name in SUBPROTOCOLS}
        self.counts: Counter[str] = Counter()

    async def endpoint(self, inputs: int) -> None:
        """Connection after connection, each until it is closed and a little longer."""
        random, world = self._random, self.world
        thrown, left, mutator = None, 0, self._client[SUBPROTOCOLS[0]]
        for count in range(inputs):
            if thrown is None:
                subprotocol = random.choice(SUBPROTOCOLS)
                mutator, left = self._client[subprotocol], random.randint(1, 40)
                thrown = world.open(subprotocol)
                self.counts["connections"] += 1
                if random.random() < 0.8:
                    thrown.feed(self._good[subprotocol])
                    world.carry_out()
            for piece in mutator.cuts(mutator.next()):
                thrown.feed(piece)
            world.carry_out()
            left -= 1
            if not thrown.socket.open:
                left = min(left, 2)
            if thrown.wire.closing or left <= 0:
                thrown.end()
                thrown = None
            if count % GLANCE == 0:
                world.glance()
                await world.breathe()
        if thrown is not None:
            thrown.end()
        world.carry_out()
        world.glance()
        await world.breathe()

    def codecs(self, inputs: int) -> None:
        """Payloads of either direction, decoded by the side they are for, and heard by a phone."""
        for count in range(inputs):
            name = SUBPROTOCOLS[count & 1]
            codec = CODECS[name]
            try:
                if count % 4 < 2:
                    decode_client(codec, self._client[name].payload())
                else:
                    decode_server(codec, self._server[name].payload())
                self.counts["decoded"] += 1
            except BadFrame:
                pass

    def phone(self, inputs: int) -> None:
        """A phone's session hears wrong frames: a `PeerMistake` or an event, and its account holds."""
        for count in range(inputs):
            name = SUBPROTOCOLS[count & 1]
            if count % 64 < 2:
                phone = ClientSession(CODECS[name], member_token="a-member-token")
                phone.connect(0.0)
                phone.offer(1, 37.0, 127.0)
                phone.receive(parts(self._answers[name][0])[2])
                phone.next_frame()
            try:
                phone.receive(self._server[name].payload())
                phone.next_frame()
                self.counts["heard"] += 1
            except PeerMistake:
                pass
            account = phone.account
            assert (
                account.offered
                == account.acked + sum(account.rejected.values()) + account.held + account.lost
            )

    async def all(self, inputs: int) -> None:
        await self.endpoint(inputs // 2)
        self.codecs(inputs // 4)
        self.phone(inputs // 4)


async def run(seed: int, inputs: int) -> dict[str, float]:
    """The first tenth warms up; then nothing may be left of what comes and goes."""
    started = time.monotonic()
    mass = Mass(seed)
    await mass.all(inputs // 10)
    assert mass.world.is_empty()
    gc.collect()
    objects, resident = len(gc.get_objects()), resident_bytes()
    await mass.all(inputs - inputs // 10)
    assert mass.world.is_empty()
    gc.collect()
    more, grown = len(gc.get_objects()) - objects, resident_bytes() - resident
    assert more < OBJECTS, f"{more} objects were left"
    assert grown < GROWTH_BYTES, f"{grown} bytes were left"
    assert mass.counts["decoded"] and mass.counts["heard"], "nothing got through"
    return {
        "inputs": inputs,
        "seconds": round(time.monotonic() - started, 1),
        "glances": mass.world.glances,
        "objects": more,
        "bytes": grown,
        **mass.counts,
        "fixes": mass.world.party.hub.stats.fixes_in,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))))  # noqa: T201
