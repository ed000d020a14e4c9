"""Coverage-guided fuzzing of the endpoint and the codecs by atheris. Run as a process:

    python -m tests.fuzz.guided CORPUS -atheris_runs=N [libFuzzer's options]

The first byte of an input says the subprotocol and how the rest is cut into reads; the rest is what a client
sends after its first message. What libFuzzer keeps as interesting goes into the folder CORPUS.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["protocol", "server"], enable_loader_override=False):
    from protocol.codec import CODECS, BadFrame, decode_client, decode_server
    from tests.fuzz.recorded import answers, client_frames
    from tests.fuzz.world import SUBPROTOCOLS, Thrown, World

GLANCE = 500
LOOP = asyncio.new_event_loop()


class Target:
    """Holds the world over the inputs."""

    def __init__(self) -> None:
        self.world = World()
        self._good = {name: client_frames(name)[0] for name in SUBPROTOCOLS}
        self._count = 0

    def seeds(self) -> list[bytes]:
        """Inputs to begin with: a real talk, frame by frame and whole."""
        found = []
        for choice, name in enumerate(SUBPROTOCOLS):
            frames = client_frames(name)
            found += [
                bytes((choice,)) + frame for frame in (*frames, b"".join(frames), *answers(self.world, name))
            ]
        return found

    def __call__(self, data: bytes) -> None:
        choice, rest = (data[0] if data else 0), data[1:]
        name = SUBPROTOCOLS[choice & 1]
        LOOP.run_until_complete(self._endpoint(name, choice >> 1, rest))
        for decode in (decode_client, decode_server):
            with contextlib.suppress(BadFrame):
                decode(CODECS[name], rest)

    async def _endpoint(self, name: str, cuts: int, data: bytes) -> None:
        thrown: Thrown = self.world.open(name)
        thrown.feed(self._good[name])
        self.world.carry_out()
        step = len(data) // (1 + cuts % 4) + 1
        for at in range(0, len(data), step):
            thrown.feed(data[at : at + step])
            self.world.carry_out()
        thrown.end()
        self.world.carry_out()
        self._count += 1
        if self._count % GLANCE == 0:
            assert self.world.is_empty()
            self.world.glance()
            await self.world.breathe()


async def prepared() -> tuple[Target, list[bytes]]:
    """A target, and the inputs to begin with."""
    target = Target()
    return target, target.seeds()


if __name__ == "__main__":
    target, seeds = LOOP.run_until_complete(prepared())
    corpus = Path(sys.argv[1])
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
