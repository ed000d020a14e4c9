"""Arbitrary bytes and wrong frames against codecs, protocol class and connection: nobody but their sender notices.

No exception comes out of `data_received`, what the server says stays well formed, nothing is left of connections
that are over, and two witnesses in the same party keep getting their positions and acks. The slow runs print
their seed; `PARTYLINE_TEST_FUZZ_SEED` repeats it, `PARTYLINE_TEST_FUZZ_INPUTS` says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.client import ClientSession
from protocol.client_table import PeerMistake
from protocol.codec import CODECS, BadFrame, decode_client, decode_server
from tests.fuzz.mutator import Mutator, framed, parts
from tests.fuzz.recorded import client_frames
from tests.fuzz.world import SUBPROTOCOLS, World

ROOT = Path(__file__).parent.parent.parent
INPUTS = int(os.environ.get("PARTYLINE_TEST_FUZZ_INPUTS", "1000000"))
GUIDED = INPUTS // 40
PROCESSES = 2


def drawn_seed() -> int:
    return int(os.environ.get("PARTYLINE_TEST_FUZZ_SEED", secrets.randbelow(2**31)))


subprotocols = st.sampled_from(SUBPROTOCOLS)
frames = st.builds(
    framed,
    st.one_of(st.sampled_from([0x81, 0x82, 0x88, 0x89, 0x8A, 0x00, 0x01, 0x80]), st.integers(0, 255)),
    st.one_of(st.just(b"\x01\x02\x03\x04"), st.none(), st.binary(min_size=4, max_size=4)),
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from([b"{}", b'{"t":"leave"}', b"\x03\xe8", b"\x81\xa1t\xa5leave"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(subprotocols, st.booleans(), st.lists(st.one_of(st.binary(max_size=300), frames), max_size=12))
def test_whatever_comes_in_whatever_pieces_harms_nobody_else(
    name: str, joins: bool, pieces: list[bytes]
) -> None:
    async def throw() -> None:
        world = World()
        thrown = world.open(name)
        if joins:
            thrown.feed(client_frames(name)[0])
            world.carry_out()
        for piece in pieces:
            thrown.feed(piece)
            world.carry_out()
            world.glance()
        thrown.end()
        world.carry_out()
        await world.breathe()
        assert world.is_empty()

    asyncio.run(throw())


@settings(max_examples=300, deadline=None)
@given(subprotocols, st.binary(max_size=400))
def test_arbitrary_bytes_decode_or_are_refused(name: str, payload: bytes) -> None:
    for decode in (decode_client, decode_server):
        try:
            decode(CODECS[name], payload)
        except BadFrame as refused:
            assert refused.args == ("not a message of this protocol",), (
                "it repeats nothing of the sender's bytes"
            )
    phone = ClientSession(CODECS[name])
    phone.connect(0.0)
    with contextlib.suppress(PeerMistake):
        phone.receive(payload)


@pytest.mark.parametrize("name", SUBPROTOCOLS)
def test_the_mutator_repeats_itself_and_takes_frames_apart_rightly(name: str) -> None:
    real = client_frames(name)
    assert [framed(*parts(frame)) for frame in real] == real
    one, other = (Mutator(real, 7, CODECS[name]) for _ in range(2))
    made = [one.next() for _ in range(500)]
    assert made == [other.next() for _ in range(500)]
    assert len({*made} - {*real}) > 250
    assert all(b"".join(one.cuts(data)) == data for data in made)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_wrong_inputs() -> None:
    seed = drawn_seed()
    print(f"PARTYLINE_TEST_FUZZ_SEED={seed}")  # noqa: T201
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.fuzz.mass", str(seed + n), str(INPUTS // PROCESSES)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(PROCESSES)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES
    found = [json.loads(text) for text in said]
    print(*found, sep="\n")  # noqa: T201
    assert sum(one["inputs"] for one in found) >= INPUTS - PROCESSES


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_guided_by_coverage(tmp_path: Path) -> None:
    seed = drawn_seed()
    print(f"PARTYLINE_TEST_FUZZ_SEED={seed}")  # noqa: T201
    options = [f"-atheris_runs={GUIDED}", "-max_len=8192", f"-seed={seed}", f"-artifact_prefix={tmp_path}/"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", str(tmp_path / "corpus"), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:]
    assert f"Done {GUIDED}" in ran.stdout
    print(ran.stdout.splitlines()[-2:])  # noqa: T201
