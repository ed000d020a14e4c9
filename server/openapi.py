"""The HTTP API's description (OpenAPI 3.1), made from the Structs of `bodies` and one table of calls. Pure.

`python -m server.openapi > docs/openapi.yaml` writes it; a test compares it with the file, and the table
with the routes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from server import bodies
from server.problems import MEDIA_TYPE, Kind, ProblemDocument
from server.readback import DEFAULT_POINTS, MAX_DAYS, MOST_POINTS
from server.track import GEOJSON, GPX_XML

JSON = "application/json"
_REF = "#/components/schemas/{name}"
_ANSWER_TEXT = {200: "Done.", 201: "Made.", 202: "Begun.", 204: "Done; no body.", 503: "Not now."}


@dataclass(frozen=True)
class Call:
    """One method of one path."""

    method: str
    path: str
    id: str
    summary: str
    answers: dict[int, dict[str, type[msgspec.Struct] | None]]
    """By status: a Struct for each media type; `None` is text."""
    body: type[msgspec.Struct] | None = None
    bearer: str = "required"
    """`required`, `optional` or `none`."""
    problems: tuple[Kind, ...] = ()
    query: tuple[tuple[str, str, dict[str, Any]], ...] = ()


_ONE = "/v1/sessions/{id}"
_SEEN = (Kind.UNAUTHORIZED, Kind.NOT_FOUND, Kind.TOO_MANY, Kind.UNAVAILABLE)
_STEERED = (Kind.FORBIDDEN, Kind.CONFLICT, *_SEEN)
_READ = (Kind.BAD_REQUEST, Kind.TIMEOUT, Kind.TOO_LARGE, Kind.UNSUPPORTED, Kind.INVALID)
_MILLIS = {"type": "integer", "minimum": 0}
_MEMBER = (
    "member",
    "Member numbers; may stand several times. Absent: everybody.",
    {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}},
)

CALLS = (
    Call(
        "post", "/v1/sessions", "createSession",
        "Makes a session. Whoever asks is the host: a user by JWT; where guests are allowed, a guest by a "
        "member token, or somebody new.",
        {201: {JSON: bodies.Created}},
        body=bodies.NewSession, bearer="optional",
        problems=(*_READ, Kind.UNAUTHORIZED, Kind.TOO_MANY, Kind.UNAVAILABLE),
    ),
    Call("get", _ONE, "showSession", "The session, for any of its members.",
         {200: {JSON: bodies.SessionView}}, problems=_SEEN),
    Call(
        "patch", _ONE, "changeSession",
        "The host changes the precision or options. A tightening holds everywhere when this returns.",
        {200: {JSON: bodies.SessionView}}, body=bodies.Change, problems=(*_READ, *_STEERED),
    ),
    Call("delete", _ONE, "endSession", "The host ends the session; ending it twice does no harm.",
         {204: {}}, problems=(*_SEEN, Kind.FORBIDDEN)),
    Call("post", f"{_ONE}/token", "rotateToken",
         "The host makes a new invitation. The old one lets nobody in once this returns.",
         {200: {JSON: bodies.Invitation}}, problems=(Kind.BAD_REQUEST, *_STEERED)),
    Call("get", f"{_ONE}/members", "listMembers", "Everybody who is, or was, in the party.",
         {200: {JSON: bodies.PartyMembers}}, problems=_SEEN),
    Call("delete", f"{_ONE}/members/{{m}}", "removeMember", "The host removes a member for good.",
         {204: {}}, problems=_STEERED),
    Call(
        "get", f"{_ONE}/track", "readTracks",
        "Tracks of the members, never finer than is allowed now; of private members nothing. Points beyond "
        "`points` are thinned evenly; many members share 50,000.",
        {200: {GEOJSON: bodies.FeatureCollection, GPX_XML: None}},
        problems=(*_SEEN, Kind.INVALID),
        query=(
            _MEMBER,
            ("from", "Epoch milliseconds, included.", _MILLIS),
            ("to", f"Epoch milliseconds, included. At most {MAX_DAYS} days after `from`.", _MILLIS),
            ("points", "At most so many points a member.",
             {"type": "integer", "minimum": 2, "maximum": MOST_POINTS, "default": DEFAULT_POINTS}),
        ),
    ),
    Call(
        "get", f"{_ONE}/summary", "readSummary",
        "What the members did, for the host: when each stream was live and where its gaps are, mean "
        "accuracy, distance, stops of the trip, and the delay from fix to commit. Never finer than is "
        "allowed now; of who is private, or has no stored position, nothing.",
        {200: {JSON: bodies.Summary}}, problems=(*_SEEN, Kind.FORBIDDEN, Kind.INVALID), query=(_MEMBER,),
    ),
    Call("delete", "/v1/me", "eraseMe",
         "Erases the bearer's user everywhere: positions, names, tokens, what only they could see. Sessions "
         "they host end. 202: a part of the server was not to be reached, and is cleared as soon as it is.",
         {200: {JSON: bodies.ErasureReceipt}, 202: {JSON: bodies.ErasureReceipt}},
         problems=(Kind.UNAUTHORIZED, Kind.TOO_MANY, Kind.UNAVAILABLE)),
    Call("get", "/healthz", "health", "200 as long as the process answers.", {200: {"text/plain": None}},
         bearer="none"),
    Call("get", "/readyz", "readiness", "Whether this gateway should get connections.",
         {200: {JSON: bodies.Readiness}, 503: {JSON: bodies.Readiness}}, bearer="none"),
    Call("get", "/metrics", "metrics", "Counts and levels, for Prometheus.", {200: {"text/plain": None}},
         bearer="none"),
    *(
        Call("get", path, name, summary, {200: {media: None}}, bearer="none")
        for path, name, summary, media in (
            ("/", "page", "The web page.", "text/html"),
            ("/j", "joinPage", "The same, for an invitation; its token is in the fragment.", "text/html"),
            ("/docs", "docs", "This description, to read.", "text/html"),
            ("/docs/openapi.yaml", "docsOpenapi", "This description.", "application/yaml"),
            ("/docs/asyncapi.yaml", "docsAsyncapi", "The description of `/v1/stream`.", "application/yaml"),
        )
    ),
)  # fmt: skip

_PARAMETERS = {
    "id": ("The session.", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}),
    "m": ("The member's number.", {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}),
}


def document() -> dict[str, Any]:
    """The whole description as plain values."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Partyline: the HTTP API",
            "version": "1",
            "description": "Sessions, members, tracks. Positions are live on the WebSocket "
            "`/v1/stream`, which `/docs/asyncapi.yaml` describes. Times are epoch milliseconds.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(_schemas().items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A member token (of `welcome`, or of a new session), or a user's JWT.",
                }
            },
        },
    }


def document_yaml() -> str:
    """The description as it stands in `docs/openapi.yaml`."""
    return str(yaml.dump(document(), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=110))


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _schemas() -> dict[str, Any]:
    kinds: set[type[msgspec.Struct]] = {ProblemDocument}
    for call in CALLS:
        kinds.update(kind for media in call.answers.values() for kind in media.values() if kind)
        kinds.update((call.body,) if call.body else ())
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    return msgspec.json.schema_components(ordered, ref_template=_REF)[1]


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": call.id, "summary": call.summary}
    parameters = [
        {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
        for name, (text, schema) in _PARAMETERS.items()
        if f"{{{name}}}" in call.path
    ]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, text, schema in call.query
    ]
    if parameters:
        operation["parameters"] = parameters
    if call.body:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(call.body)}}}
    operation["responses"] = {
        str(status): _answer(_ANSWER_TEXT[status], media) for status, media in call.answers.items()
    } | {str(kind.status): _answer(kind.meaning, {MEDIA_TYPE: ProblemDocument}) for kind in call.problems}
    bearer: list[dict[str, list[str]]] = [{"bearer": []}]
    operation["security"] = {"required": bearer, "optional": [*bearer, {}], "none": []}[call.bearer]
    return operation


def _answer(text: str, media: dict[str, type[msgspec.Struct] | None]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": text}
    if media:
        answer["content"] = {
            name: {"schema": {"type": "string"} if kind is None else _ref(kind)}
            for name, kind in media.items()
        }
    return answer


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


if __name__ == "__main__":
    sys.stdout.write(document_yaml())
