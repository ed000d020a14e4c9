"""The file that a replay keeps, so that it can be played again into the same session by the same members.

It holds tokens: it is written with mode 0600, whole or not at all, and shown nowhere.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from load_tests.cannot_start import CannotStart
from load_tests.whole_file import write_whole
from protocol.precision import Precision


class SavedMember(msgspec.Struct):
    """One member of the replay, under the track's name."""

    member_token: str
    delta_ms: int
    windows: list[int] = []
    """The windows of the fixes acked so far, as window numbers (time / 5,000 ms)."""

    def __repr__(self) -> str:
        return "SavedMember(…)"


class SavedParty(msgspec.Struct):
    """A session, its invitation, and who plays in it. Times are epoch milliseconds."""

    session: int
    sharable_token: str
    join_url: str
    host_member_token: str
    precision: Precision
    live_only: bool
    started_at: int
    members: dict[str, SavedMember] = {}

    def __repr__(self) -> str:
        return f"SavedParty(session={self.session}, …)"


def save(path: Path, party: SavedParty) -> None:
    """Keep the party. Raises `CannotStart`."""
    write_whole(path, msgspec.json.encode(party))


def load(path: Path) -> SavedParty:
    """The party of an earlier `save`. Raises `CannotStart`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SavedParty)
    except OSError as error:
        raise CannotStart(
            f"{path.name} cannot be read ({error.strerror}); give the file that `replay --save` wrote."
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CannotStart(f"{path.name} is not a file that `replay --save` wrote.") from None
