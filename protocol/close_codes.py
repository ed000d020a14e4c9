"""Close codes as data: the range says what the other side should do next.

4000-4499: come again, after a jittered backoff. 4500-4999: do not come again with the same token.
"""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Why the server closed a connection. The name, in lower case, is the close reason."""

    GOING_AWAY = 4000
    SLOW = 4001
    RATE = 4002
    LEASE = 4003
    UNAVAILABLE = 4004
    BAD_FRAME = 4500
    BAD_TOKEN = 4501
    KICKED = 4502
    ENDED = 4503
    FULL = 4504
    JOIN_TIMEOUT = 4505
    TOO_LARGE = 4506
    REPLACED = 4507
    FORBIDDEN = 4508

    @property
    def reason(self) -> str:
        """The text of the close frame and of the `error` message before it."""
        return self.name.lower()


NORMAL = 1000


def may_come_again(code: int) -> bool:
    """Whether a client should connect again after this close code.

    Codes of the WebSocket protocol itself (1000-2999) mean a cut or a restart, so: come again, but
    for a normal closure and for what a repetition cannot mend (1002, 1003, 1007-1010).
    """
    if 4000 <= code < 4500:
        return True
    if 4500 <= code < 5000:
        return False
    return code not in (NORMAL, 1002, 1003, 1007, 1008, 1009, 1010)
