"""The gateway's HTTP: sessions, members, tracks, erasure. Steering goes the same way as over WebSocket.

Handlers read, ask, answer; what may be done is decided in `bearers`, `choices` and `steering`. Every
answer of a session says `no-store`; no token is ever in a path or a query.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db import sessions as store
from db.fence import transaction
from db.sessions import MemberRow, SessionRow
from protocol.messages import MemberState, Role
from protocol.precision import Precision
from server import bodies
from server.bearers import Bearers, Standing, bearer_of
from server.choices import changed, chosen
from server.http_limits import AddressLimits
from server.masking import MaskKey
from server.problems import Kind, Problem, Shield, on_http_exception, on_problem
from server.readback import DEFAULT_POINTS, MOST_POINTS, Readback, Wanted, allowed
from server.requests import body_of, origin_of, session_id, whole
from server.site import Handler, site_routes
from server.summary import Summaries
from server.tokens import digest, new_member_token, new_sharable_token
from server.track import GEOJSON, GPX_XML, geojson, gpx, prefers_gpx

if TYPE_CHECKING:
    from server.gateway import Gateway

_LAST_MS = 253_402_300_800_000 - 1
"""The end of the year 9999."""
_NO_STORE = {"Cache-Control": "no-store"}


def answer(body: msgspec.Struct, status: int = 200) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(msgspec.json.encode(body), status, _NO_STORE, "application/json")


def make_app(gateway: Gateway) -> Starlette:
    """The ASGI application of a gateway."""
    api = Api(gateway)
    one = "/v1/sessions/{id:int}"
    app = Starlette(
        routes=[
            _route("/v1/sessions", POST=api.create),
            _route(one, GET=api.show, PATCH=api.change, DELETE=api.end),
            _route(f"{one}/token", POST=api.rotate),
            _route(f"{one}/members", GET=api.members),
            _route(f"{one}/members/{{m:int}}", DELETE=api.kick),
            _route(f"{one}/track", GET=api.track),
            _route(f"{one}/summary", GET=api.summary),
            _route("/v1/me", DELETE=api.erase),
            *site_routes(gateway),
        ],
        middleware=[Middleware(Shield), Middleware(AddressLimits, doors=gateway.doors)],
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception},
    )
    app.router.redirect_slashes = False
    return app


def _route(path: str, **calls: Handler) -> Route:
    """One route a path, so that a wrong method is told all of the right ones."""

    async def call(request: Request) -> Response:
        return await calls["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, call, methods=[*calls])


class Api:
    """The calls under `/v1`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._bearers = Bearers(pool=gateway.pool, users=gateway.users)
        self._readback = Readback(
            pool=gateway.pool,
            mask_key=MaskKey(bytes.fromhex(gateway.settings.mask_key)),
            ttl_hours=gateway.settings.ttl_hours,
        )
        self._summaries = Summaries(gateway.pool)
        self._changing = asyncio.Lock()
        """Changes of options read first and write then: one at a time."""

    # --- a session's life ---------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """`POST /v1/sessions`: whoever asks is the host; without a bearer a new guest, if allowed."""
        settings = self._gateway.settings
        token = bearer_of(request.headers)
        if token is None and not settings.allow_guests:
            raise Problem(Kind.UNAUTHORIZED, "Guests may not host here: send a user's JWT.")
        if len(self._gateway.hub.sessions) >= settings.max_sessions:
            raise Problem(Kind.UNAVAILABLE, "This gateway carries as many sessions as it may.")
        who = self._bearers.user if settings.allow_guests else self._bearers.account
        user_id = None if token is None else await who(token)
        wanted = await body_of(request, bodies.NewSession)
        origin = origin_of(request, settings.public_url)
        options = chosen(wanted.options, ttl_hours=settings.ttl_hours, now_ms=self._gateway.hub.clock())
        sharable, member_token = new_sharable_token(), new_member_token()
        try:
            async with transaction(self._gateway.pool) as tx:
                row, host = await store.create_session(
                    tx,
                    host_user_id=await store.create_guest(tx) if user_id is None else user_id,
                    display_name=wanted.display_name,
                    sharable_digest=digest(sharable),
                    member_digest=digest(member_token),
                    precision=wanted.precision,
                    options=options,
                    started_at_ms=options.started_at or 0,
                    trip_id=wanted.trip_id,
                )
        except store.NoSuchTrip:
            raise Problem(
                Kind.INVALID,
                "`trip_id` must be a recommended trip or your own: leave it out, or ask for another.",
            ) from None
        created = bodies.Created(
            session=row.id,
            sharable_token=sharable,
            join_url=f"{origin}/j#{sharable}",
            host=bodies.Host(m=host.member_no, member_token=member_token),
            precision=row.precision,
            revision=row.revision,
        )
        made = answer(created, 201)
        made.headers["Location"] = f"/v1/sessions/{row.id}"
        return made

    async def show(self, request: Request) -> Response:
        """`GET /v1/sessions/{id}`: any member."""
        return answer(await self._view(await self._standing(request)))

    async def change(self, request: Request) -> Response:
        """`PATCH /v1/sessions/{id}`: the host. Nothing is changed unless all of it may be."""
        standing = await self._host_of_live(request)
        wanted = await body_of(request, bodies.Change)
        steering, session = self._gateway.steering, standing.row.id
        async with self._changing:
            options = None
            if isinstance(wanted.options, msgspec.Struct):
                row = await store.find_session(self._gateway.pool, session)
                before = standing.row.options if row is None else row.options
                options = changed(before, wanted.options)
            if isinstance(wanted.precision, Precision):
                await steering.set_session_precision(session, wanted.precision)
            if options is not None:
                await steering.set_options(session, options)
        row = await store.find_session(self._gateway.pool, session)
        return answer(await self._view(Standing(row or standing.row, standing.member)))

    async def end(self, request: Request) -> Response:
        """`DELETE /v1/sessions/{id}`: the host. Doing it twice does no harm."""
        standing = await self._standing(request)
        standing.must_host()
        if standing.row.status == "live":
            await self._gateway.steering.end(standing.row.id, "ended by the host")
        return _nothing()

    async def rotate(self, request: Request) -> Response:
        """`POST …/token`: the host. The old invitation is dead when it returns."""
        standing = await self._host_of_live(request)
        origin = origin_of(request, self._gateway.settings.public_url)
        sharable = new_sharable_token()
        await self._gateway.steering.rotate(standing.row.id, digest(sharable))
        return answer(bodies.Invitation(sharable, f"{origin}/j#{sharable}"))

    # --- members ------------------------------------------------------------------------------------

    async def members(self, request: Request) -> Response:
        """`GET …/members`: any member."""
        standing = await self._standing(request)
        return answer(bodies.PartyMembers(await self._party(standing.row)))

    async def kick(self, request: Request) -> Response:
        """`DELETE …/members/{m}`: the host removes somebody for good."""
        standing = await self._host_of_live(request)
        number: int = request.path_params["m"]
        members = await store.members(self._gateway.pool, standing.row.id)
        found = next((member for member in members if member.member_no == number), None)
        if found is None:
            raise Problem(Kind.NOT_FOUND, "There is no member of that number in this session.")
        if found.role is Role.HOST:
            raise Problem(Kind.CONFLICT, "The host cannot be removed: end the session.")
        await self._gateway.steering.kick(standing.row.id, number)
        return _nothing()

    async def erase(self, request: Request) -> Response:
        """`DELETE /v1/me`: the bearer's user is erased, everywhere (G7)."""
        user_id = await self._bearers.user(bearer_of(request.headers))
        try:
            receipt = await self._gateway.erasures.erase(user_id)
        except store.NoSuchUser:  # another call was faster
            raise Problem(Kind.UNAUTHORIZED) from None
        return answer(bodies.erasure_of(receipt), 200 if receipt.finished_at_ms is not None else 202)

    # --- tracks -------------------------------------------------------------------------------------

    async def track(self, request: Request) -> Response:
        """`GET …/track`: any member; GeoJSON, or GPX by `Accept`."""
        standing = await self._standing(request)
        query = request.query_params
        points = whole(query.get("points"), "points", low=2, high=MOST_POINTS)
        wanted = Wanted(
            members=_numbers(request),
            from_ms=whole(query.get("from"), "from", low=0, high=_LAST_MS),
            to_ms=whole(query.get("to"), "to", low=0, high=_LAST_MS),
            points=DEFAULT_POINTS if points is None else points,
        )
        tracks = await self._readback.tracks(standing.row.id, wanted, self._gateway.hub.clock())
        headers = {**_NO_STORE, "Vary": "Accept"}
        if prefers_gpx(request.headers.get("accept", "")):
            text = await asyncio.to_thread(gpx, tracks)  # slow, and pure Python: the ticks go on meanwhile
            return Response(text, headers=headers, media_type=GPX_XML)
        return Response(geojson(tracks), headers=headers, media_type=GEOJSON)

    async def summary(self, request: Request) -> Response:
        """`GET …/summary`: the host."""
        standing = await self._standing(request)
        standing.must_host()
        return answer(await self._summaries.summary(standing.row.id, _numbers(request)))

    # --- shared steps -------------------------------------------------------------------------------

    async def _standing(self, request: Request) -> Standing:
        return await self._bearers.standing(bearer_of(request.headers), session_id(request))

    async def _host_of_live(self, request: Request) -> Standing:
        standing = await self._standing(request)
        standing.must_host()
        if standing.row.status != "live":
            raise Problem(Kind.CONFLICT, "The session has ended: make a new one.")
        return standing

    async def _party(self, row: SessionRow) -> list[bodies.PartyMember]:
        await self._gateway.hold(row)
        members = await store.members(self._gateway.pool, row.id)
        return [
            bodies.PartyMember(member.member_no, member.display_name, member.role, self._state(row, member))
            for member in members
        ]

    def _state(self, row: SessionRow, member: MemberRow) -> MemberState:
        """As this gateway sees it, which hears of those who are connected to others."""
        if member.left_at_ms is not None:
            return MemberState.LEFT
        session = self._gateway.hub.sessions.get(row.id)
        here = session.members.get(member.member_no) if session is not None else None
        state = MemberState.OFFLINE if here is None else here.state_at(self._gateway.hub.clock())
        private = state is MemberState.OFFLINE and allowed(row, member) is Precision.PRIVATE
        return MemberState.PRIVATE if private else state

    async def _view(self, standing: Standing) -> bodies.SessionView:
        row = standing.row
        return bodies.SessionView(
            session=row.id,
            status=row.status,
            precision=row.precision,
            options=row.options,
            revision=row.revision,
            started_at=row.started_at_ms,
            ended_at=row.ended_at_ms,
            you=standing.member.member_no,
            role=standing.member.role,
            members=await self._party(row),
        )


def _numbers(request: Request) -> frozenset[int]:
    """The member numbers that a query names. Raises `INVALID`."""
    named = (whole(text, "member", low=1, high=2**31 - 1) for text in request.query_params.getlist("member"))
    return frozenset(number for number in named if number is not None)


def _nothing() -> Response:
    return Response(status_code=204, headers=_NO_STORE)
