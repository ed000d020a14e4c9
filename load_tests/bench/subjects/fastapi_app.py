"""FastAPI as its tutorial has it: a list of connections, here one a party, and a message sent to each other.

It only relays. Run by uvicorn, in an environment of its own: nothing of Partyline imports it.
"""

from __future__ import annotations

from fastapi import FastAPI, WebSocket, WebSocketDisconnect  # type: ignore[import-not-found]


class Connections:
    """Who is in a party."""

    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accepts, and takes in."""
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Forgets."""
        self.active.remove(websocket)

    async def broadcast(self, message: str, sender: WebSocket) -> None:
        """To everybody but the sender, one after the other."""
        for connection in list(self.active):
            if connection is not sender:
                await connection.send_text(message)


parties: dict[int, Connections] = {}
app = FastAPI()


async def relay(websocket: WebSocket, party: int) -> None:
    """One member's connection."""
    connections = parties.setdefault(party, Connections())
    await connections.connect(websocket)
    try:
        while True:
            await connections.broadcast(await websocket.receive_text(), websocket)
    except WebSocketDisconnect:
        connections.disconnect(websocket)


app.add_api_websocket_route("/relay/{party}", relay)
