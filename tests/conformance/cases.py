"""Autobahn's cases, run by kosoku against a WebSocket server. Run as a process: kosoku changes the interpreter.

    python -m tests.conformance.cases URL INCLUDE EXCLUDE

INCLUDE and EXCLUDE are lists of case ids or `*` globs with commas between. Prints a JSON object: for each
case `[verdict of the exchange, verdict of the close]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from kosoku import FailureError, run_fuzzingclient

AT_ONCE = 8


async def verdicts(url: str, include: str, exclude: str) -> dict[str, tuple[str, str]]:
    wanted, unwanted = ([case for case in text.split(",") if case] for text in (include, exclude))
    try:
        results = await run_fuzzingclient(url, wanted, unwanted or None, concurrency=AT_ONCE)
    except FailureError as failure:  # it carries all results, those that passed too
        results = failure.results
    return {one.case_id: (one.behavior.value, one.behavior_close.value) for one in results}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(verdicts(*sys.argv[1:4]))), flush=True)  # noqa: T201
    os._exit(0)  # on a busy machine kosoku's threads may abort an interpreter that ends in order
