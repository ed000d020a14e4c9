"""What can go wrong with the embedded stack. Every message names the mend; none holds a password."""

from __future__ import annotations

WAYS_OUT = (
    "Three ways out: on Debian, apt-get install mmdebstrap, and run as root or as a user who may make user "
    "namespaces; or start the two servers with compose.yaml; or name your own with the two URLs "
    "PARTYLINE_DATABASE_URL and PARTYLINE_REDIS_URL."
)


class StackError(RuntimeError):
    """The embedded stack could not do what it was asked."""


class StackUnavailable(StackError):
    """This machine cannot run the embedded stack; the message is one paragraph with the ways out."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} {WAYS_OUT}")


class StackBusy(StackError):
    """Another stack uses the same data directory."""


class StackFailed(StackError):
    """A server did not start or stop; the message names its log file."""
