"""Commands: the rare messages of a connection that need PostgreSQL or Redis. One task a command.

Nothing more is read of the connection meanwhile, which keeps the order without a queue. Every failure ends
in a close code; none of them repeats what the client sent.
"""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from protocol.close_codes import CloseCode
from protocol.messages import ClientMessage, End, Join, Kick, Resume, SetPrecision, Share
from protocol.server import Refused, Step
from server.announcer import Unconfirmed
from server.connection import Connection
from server.entrance import Entrance
from server.steering import Steering

logger = logging.getLogger("partyline.gateway")


class Commands:
    """Carries them out."""

    def __init__(self, *, entrance: Entrance, steering: Steering) -> None:
        self._entrance = entrance
        self._steering = steering
        self.running: set[asyncio.Task[None]] = set()
        self.draining = False
        """Whether nobody is let in any more."""

    def begin(self, connection: Connection, step: Step, message: ClientMessage) -> None:
        """What the hub calls."""
        task = asyncio.ensure_future(self._carry_out(connection, step, message))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _carry_out(self, connection: Connection, step: Step, message: ClientMessage) -> None:
        try:
            await self._act(connection, step, message)
        except Refused as refused:
            connection.fail(refused.code)
        except LookupError:
            logger.info("a command named what is not there any more", extra={"step": step.name})
        except Unconfirmed:
            logger.warning("a command is not confirmed by every gateway", extra={"step": step.name})
            connection.fail(CloseCode.UNAVAILABLE)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            logger.warning("a command failed: the database is away", extra={"error": type(error).__name__})
            connection.fail(CloseCode.UNAVAILABLE)
        except Exception as error:  # our mistake; its text may hold what the client sent
            logger.error("a command failed", extra={"error": type(error).__name__, "step": step.name})
            connection.fail(CloseCode.UNAVAILABLE)
        finally:
            connection.resume_reading()

    async def _act(self, connection: Connection, step: Step, message: ClientMessage) -> None:
        if isinstance(message, Join | Resume):
            if self.draining:
                raise Refused(CloseCode.GOING_AWAY)
            await self._entrance.enter(connection, message)
            return
        member = connection.member
        if member is None:
            return
        session = member.session
        match message:
            case Share():
                await self._steering.share(session, member, message.precision)
            case SetPrecision():
                await self._steering.set_session_precision(session.id, message.precision)
            case Kick():
                await self._steering.kick(session.id, message.m)
            case End():
                await self._steering.end(session.id, "ended by the host")
            case _:
                await self._steering.leave(session, member)
