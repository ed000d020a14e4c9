"""How a gateway leaves: what it has taken is handed on first, and everybody is sent away little by little.

Members are in the party until their own goodbye comes, and are told to come again (4000). What is not
committed then is in the streams or still held by its client, who sends it again (G1): nobody waits long for
a slow database.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from protocol.close_codes import CloseCode

if TYPE_CHECKING:
    from server.flusher import Flusher
    from server.hub import Hub

COMMITS_S = 1.5
"""How long commits are waited for, so that most clients get their acks."""
SPREAD_S = 6.0
"""From the first goodbye to the last, at most: so that thousands do not come back in one instant."""
GOODBYES_A_S = 100
"""As many as others let in without a queue; more a second only when `SPREAD_S` would not do."""
STEP_S = 0.025
HANDED_ON_S = 1.0
"""How long Redis may take for the last batches."""


async def leave(hub: Hub, flusher: Flusher) -> None:
    """Returns when everybody was told and every window is handed on, or Redis did not take it in time."""
    await _hand_on(flusher)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + COMMITS_S
    while len(hub.batches) and loop.time() < until_s:  # noqa: ASYNC110 - once in a process's life
        await asyncio.sleep(STEP_S)
    await _say_goodbye(hub)
    await _hand_on(flusher)  # what came meanwhile


async def _hand_on(flusher: Flusher) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(HANDED_ON_S):
            await flusher.flush(everything=True)


async def _say_goodbye(hub: Hub) -> None:
    """In any order, so that no party loses all its members first."""
    connections = list(hub.connections)
    random.shuffle(connections)
    steps = max(1, round(min(SPREAD_S, len(connections) / GOODBYES_A_S) / STEP_S))
    for step in range(steps):
        hub.say_acks()
        for connection in connections[step::steps]:
            connection.close(CloseCode.GOING_AWAY)
        if step + 1 < steps:
            await asyncio.sleep(STEP_S)
