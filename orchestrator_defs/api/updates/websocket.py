"""Live updates over a WebSocket: they tell a client what to read again."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from orchestrator_defs.api.security.problems import problem
from orchestrator_defs.api.updates.broadcaster import Client
from orchestrator_defs.api.updates.cancelling import cancelled
from orchestrator_defs.api.updates.live_updates import LiveUpdates
from orchestrator_defs.api.updates.messages import Kind, Message
from orchestrator_defs.processes.processes import Processes
from resources import clock
from resources.processes import pause

router = APIRouter()

PING, PONG = "__ping__", "__pong__"
BEARER_PROTOCOL = "base64.bearer.token"
"""The sub-protocol of a client whose token is the second one: a browser can send no header."""
LONGEST_TEXT = 1000
"""Characters that a client may send at once; it needs to send only pings."""
SEND_SECONDS = 30.0
"""A client that receives nothing for so long is gone."""
CLOSE_SECONDS = 1.0

PROTOCOL_ERROR, LOGIN_EXPIRED, TOO_LONG, TOO_SLOW = 1002, 1008, 1009, 1013

Format = Callable[[Message | str], Awaitable[str]]
"""The format of messages on a channel."""


@router.websocket("/ws/events")
async def events(websocket: WebSocket) -> None:
    """All updates, for the web client."""
    await _serve(websocket, None, _as_it_is)


@router.websocket("/processes/all/")
async def of_processes(websocket: WebSocket) -> None:
    """Deprecated: only updates about processes."""
    await _serve(websocket, (Kind.PROCESSES,), _as_it_is)


@router.websocket("/settings/ws-status/")
async def of_engine(websocket: WebSocket) -> None:
    """Deprecated: the engine's status, at once and after each change."""
    processes: Processes = websocket.app.state.processes

    async def engine_status(_message: Message | str) -> str:
        return await asyncio.to_thread(_engine_status, processes)

    await _serve(websocket, (Kind.ENGINE_STATUS,), engine_status, first=Message(Kind.ENGINE_STATUS))


async def _serve(
    websocket: WebSocket, kinds: Collection[Kind] | None, format_: Format, *, first: Message | None = None
) -> None:
    live: LiveUpdates = websocket.app.state.live
    if not live.is_enabled:
        await websocket.send_denial_response(problem(404, "Live updates are switched off (ENABLE_WEBSOCKETS)."))
        return
    with live.broadcaster.client(kinds) as client:  # before it is accepted, because from then on it relies on updates
        if not await _accept(websocket):
            code: int | None = PROTOCOL_ERROR
        else:
            if first is not None:
                client.put(first)
            code = await _exchange(websocket, client, format_)
    if code is not None:
        await _close(websocket, code)


async def _accept(websocket: WebSocket) -> bool:
    """Accept the connection; False when it must be closed at once, for its sub-protocols."""
    offered = websocket.scope["subprotocols"]
    # A browser fails a connection without one of its sub-protocols, and then sees no code.
    await websocket.accept(subprotocol=offered[0] if offered else None)
    return not offered or (len(offered) == 2 and offered[0] == BEARER_PROTOCOL)


async def _exchange(websocket: WebSocket, client: Client, format_: Format) -> int | None:
    """Receive and send until one of them ends, or the login. Returns the code to close with, if it must."""
    receiving = asyncio.create_task(_receive(websocket))
    sending = asyncio.create_task(_send_messages(websocket, client, format_))
    try:
        done, _ = await asyncio.wait(
            (receiving, sending), timeout=_seconds_of_login(websocket), return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        await cancelled(receiving, sending)
    if not done:
        return LOGIN_EXPIRED
    return (receiving if receiving in done else sending).result()


async def _receive(websocket: WebSocket) -> int | None:
    while True:
        received = await websocket.receive()
        if received["type"] == "websocket.disconnect":
            return None
        text = received.get("text")
        if len(text if text is not None else received.get("bytes") or b"") > LONGEST_TEXT:
            return TOO_LONG
        if text == PING and not await _send(websocket, PONG):
            return TOO_SLOW


async def _send_messages(websocket: WebSocket, client: Client, format_: Format) -> int | None:
    while True:
        for message in await client.take():
            if not await _send(websocket, await format_(message)):
                return TOO_SLOW
        if client.is_lost:
            return TOO_SLOW


async def _send(websocket: WebSocket, text: str) -> bool:
    """Send a text; False when the client does not receive it, or is gone."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await websocket.send_text(text)
    except (TimeoutError, WebSocketDisconnect):
        return False
    return True


async def _close(websocket: WebSocket, code: int) -> None:
    """Close the connection of a client that may be gone."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.close(code)
    except (TimeoutError, WebSocketDisconnect):
        pass


def _seconds_of_login(websocket: WebSocket) -> float | None:
    expiry = websocket.scope["user"].claims.get("exp")
    if not isinstance(expiry, int | float):
        return None
    return max(0.0, expiry - clock.now().timestamp())


async def _as_it_is(message: Message | str) -> str:
    return message if isinstance(message, str) else message.text


def _engine_status(processes: Processes) -> str:
    with processes.database.transaction(read_only=True):
        state = pause.state()
    status = {
        "global_lock": state.is_paused,
        "global_status": state.status.value,
        "running_processes": state.running,
    }
    return json.dumps({"engine-status": status})
