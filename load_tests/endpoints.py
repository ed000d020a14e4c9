"""Where a running `partyline up` is found: the `endpoints.json` of its data folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from load_tests.cannot_start import CannotStart
from load_tests.party_http import base_url


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


def find_http(urls: Sequence[str] | None, found: Endpoints | None) -> list[str]:
    """The gateways' addresses, as `base_url` gives them. Raises `CannotStart` when nothing names one."""
    addresses = urls or ([found.http] if found and found.http else [])
    if not addresses:
        raise CannotStart(
            "No server was found; start one with `partyline up`, or give its address with --url."
        )
    return [base_url(address) for address in addresses]
