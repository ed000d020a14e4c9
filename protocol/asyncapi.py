"""The WebSocket's description (AsyncAPI 3.0), made from the message Structs. Pure: Structs in, text out.

`python -m protocol.asyncapi > docs/asyncapi.yaml` writes it; a test compares. Close codes and reject codes
stand in it with what each means, because a client decides by them.
"""

from __future__ import annotations

import sys
from typing import Any, get_args

import msgspec
import yaml

from protocol import limits
from protocol import messages as wire
from protocol.close_codes import CloseCode, may_come_again

CLOSE_MEANINGS: dict[CloseCode, str] = {
    CloseCode.GOING_AWAY: "The gateway stops or restarts.",
    CloseCode.SLOW: "The control messages that wait for this connection are too many.",
    CloseCode.RATE: "Too many connections or fixes from this sender.",
    CloseCode.LEASE: "The gateway lost its right to send positions.",
    CloseCode.UNAVAILABLE: "The gateway cannot do this now: it is full, or its database is away.",
    CloseCode.BAD_FRAME: "Not a message of this protocol, or not one that may come now.",
    CloseCode.BAD_TOKEN: "The token is mistyped, expired, used up, rotated, or was given up by leaving.",
    CloseCode.KICKED: "The host removed this member.",
    CloseCode.ENDED: "The session is over.",
    CloseCode.FULL: "The party has as many members as it may have.",
    CloseCode.JOIN_TIMEOUT: f"No `join` or `resume` within {limits.JOIN_TIMEOUT_S:.0f} s.",
    CloseCode.TOO_LARGE: f"A frame over {limits.MAX_FRAME_BYTES} bytes, or over {limits.MAX_FIXES} fixes.",
    CloseCode.REPLACED: "The same member connected again elsewhere.",
    CloseCode.FORBIDDEN: "Only the host may do this, or only somebody who shares.",
}

REJECT_MEANINGS: dict[wire.Reject, str] = {
    wire.Reject.RANGE: "Not a place on Earth, not a finite number, or an accuracy below zero.",
    wire.Reject.FUTURE: f"More than {limits.FUTURE_MS // 1000} s ahead of the server's clock.",
    wire.Reject.TOO_OLD: "Before the session's `started_at`, or past its time-to-live.",
    wire.Reject.LATE: "Of a rough member, older than what the mask remembers: it could not be hidden.",
    wire.Reject.PRECISION: "The session was tightened before the row was committed.",
    wire.Reject.GONE: "The member was erased, or the session is no longer there.",
}

CLIENT: tuple[type[msgspec.Struct], ...] = get_args(wire.ClientMessage)
SERVER: tuple[type[msgspec.Struct], ...] = get_args(wire.ServerMessage)

_LAW = f"""\
One connection is one member of one party. Subprotocols: `{limits.SUBPROTOCOL_JSON}` (text frames) and
`{limits.SUBPROTOCOL_MSGPACK}` (binary frames, the same shapes); permessage-deflate is not offered.

The first message is `join` or `resume`, within {limits.JOIN_TIMEOUT_S:.0f} s; the answer is `welcome`. Tokens
travel in that message or in `Authorization: Bearer`, never in the URL. Every message has the tag `t`.
Unknown keys are ignored, an unknown tag is an error. Times are epoch milliseconds, places degrees (WGS 84),
lengths metres, speeds metres per second.

A client keeps each fix until it is acked or rejected, and sends what is left again after a cut. `ack` is
cumulative for the connection and means: committed.
"""


def document() -> dict[str, Any]:
    """The whole description as plain values."""
    everything = [*CLIENT, *SERVER]
    _, schemas = msgspec.json.schema_components(everything, ref_template="#/components/schemas/{name}")
    names = {kind: _tag(kind) for kind in everything}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Partyline: the stream",
            "version": "1",
            "description": _LAW,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "description": "One WebSocket a member.",
                "messages": {tag: {"$ref": f"#/components/messages/{tag}"} for tag in names.values()},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
                "x-subprotocols": [limits.SUBPROTOCOL_JSON, limits.SUBPROTOCOL_MSGPACK],
                "x-close-codes": _close_codes(),
                "x-reject-codes": {code.value: REJECT_MEANINGS[code] for code in wire.Reject},
            }
        },
        "operations": {
            "fromClient": _operation("receive", "What a client may say.", CLIENT),
            "fromServer": _operation("send", "What the server says.", SERVER),
        },
        "components": {
            "messages": {
                tag: {
                    "name": tag,
                    "title": kind.__name__,
                    "summary": _first_sentence(kind),
                    "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
                }
                for kind, tag in names.items()
            },
            "schemas": {name: _draft_7(schema) for name, schema in sorted(schemas.items())},
        },
    }


def document_yaml() -> str:
    """The description as it stands in `docs/asyncapi.yaml`."""
    return str(yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110))


def _operation(action: str, summary: str, kinds: tuple[type[msgspec.Struct], ...]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/stream"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/stream/messages/{_tag(kind)}"} for kind in kinds],
    }


def _close_codes() -> dict[int, dict[str, Any]]:
    return {
        code.value: {
            "reason": code.reason,
            "meaning": CLOSE_MEANINGS[code],
            "comeAgain": may_come_again(code),
        }
        for code in CloseCode
    }


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _first_sentence(kind: type[msgspec.Struct]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _draft_7(schema: Any) -> Any:
    """AsyncAPI's schemas are JSON Schema draft 07, which writes a tuple as `items` and `additionalItems`."""
    if isinstance(schema, list):
        return [_draft_7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _draft_7(part) for key, part in schema.items()}
    if "prefixItems" in plain:
        plain["additionalItems"] = plain.pop("items", True)
        plain["items"] = plain.pop("prefixItems")
    if "description" in plain and isinstance(plain["description"], str):
        plain["description"] = " ".join(plain["description"].split())
    return plain


if __name__ == "__main__":
    sys.stdout.write(document_yaml())
