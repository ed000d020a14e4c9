"""Logs: one JSON object a line on stderr, of events and numbers. Never a token, a name or a coordinate.

Libraries are kept at WARNING; uvicorn's access log, which prints query strings, is off.
"""

from __future__ import annotations

import logging
import sys
from traceback import extract_tb
from typing import Any

from pythonjsonlogger.json import JsonFormatter


class _Formatter(JsonFormatter):
    def formatException(self, ei: Any) -> str:
        """Where it happened and its type. Not its text, which may hold what a client sent."""
        kind, _, trace = ei
        frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(trace)]
        return "\n".join([*frames, kind.__name__ if kind else ""])


def set_up_logs(*, process: str, level: str, worker: int = 0) -> None:
    """Sends everything that is logged to stderr as JSON. `worker`: its number, where there are several."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            timestamp="at",
            static_fields={"process": process} | ({"worker": worker} if worker else {}),
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("partyline").setLevel(level)
