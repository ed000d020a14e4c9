"""One sentence, with the mend, on a close code that a phone got in place of a welcome. Pure."""

from __future__ import annotations

from load_tests.run.counting import close_name
from protocol.close_codes import CloseCode


def why_refused(code: int) -> str:
    """Why the crowd cannot come in."""
    name = close_name(code)
    match code:
        case CloseCode.BAD_TOKEN:
            return (
                f"The server refuses the token of a session that it has just made ({name}); check that --url "
                "leads to one deployment alone, and that it lets guests in."
            )
        case CloseCode.FULL:
            return (
                f"A session is full before its party is in ({name}); give a smaller --party-size, or a "
                "larger max_members under [session] in the scenario."
            )
        case CloseCode.ENDED | CloseCode.KICKED | CloseCode.REPLACED:
            return (
                f"Somebody else steers the sessions that this crowd made ({name}); run it where nobody does."
            )
        case 1002 | CloseCode.BAD_FRAME | CloseCode.JOIN_TIMEOUT:
            return (
                f"What answers at /v1/stream is no Partyline, or another version of it ({name}); check --url."
            )
        case _:
            return f"The server closed a phone for good ({name}); check --url, and look at the server's log."
