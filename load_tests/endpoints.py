"""Where a running `partyline up` is found: the `endpoints.json` of its data folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from load_tests.cannot_start import CannotStart


class Endpoints(msgspec.Struct):
    """What `partyline up` writes once it is ready. The servers' addresses may hold passwords."""

    http: str = ""
    database_url: str = ""
    redis_url: str = ""

    def __repr__(self) -> str:
        return "Endpoints(…)"


def default_data_dir(environment: Mapping[str, str], home: Path) -> Path:
    """`PARTYLINE_DATA_DIR`, or `~/.local/share/partyline`."""
    named = environment.get("PARTYLINE_DATA_DIR", "")
    return Path(named).expanduser() if named else home / ".local" / "share" / "partyline"


def read_endpoints(data_dir: Path) -> Endpoints | None:
    """The endpoints of the data folder; `None` without a file. Raises `CannotStart` for a broken one."""
    try:
        data = (data_dir / "endpoints.json").read_bytes()
    except OSError:
        return None
    try:
        return msgspec.json.decode(data, type=Endpoints)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CannotStart("endpoints.json cannot be read; restart `partyline up`, or give --url.") from None


def find_http(url: str | None, found: Endpoints | None) -> str:
    """The server's address. Raises `CannotStart` when nothing names one."""
    address = url or (found.http if found else "")
    if not address:
        raise CannotStart(
            "No server was found; start one with `partyline up`, or give its address with --url."
        )
    return address
