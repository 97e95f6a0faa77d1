"""Answers a request: whole, or as server-sent events while it comes."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from poolwright.engine.server.answer import Answer
from poolwright.engine.server.asking import Ask
from poolwright.engine.server.choice import Delta
from poolwright.engine.server.dialect import Dialect, Json
from poolwright.engine.server.errors import ApiError, unexpected
from poolwright.engine.server.service import Service

LOG: Final = logging.getLogger(__name__)
STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
"""Of a stream; the last one keeps proxies from collecting it."""
ARRIVED_S: Final = web.RequestKey("arrived_s", float)
"""When a request came [s, monotonic]."""
STALLED_S: Final = 60.0
"""[s] Longest time for which a client may take nothing of its stream: what it does not take is kept in memory."""
STREAM_END: Final = b"data: [DONE]\n\n"


async def answered(
    request: web.Request,
    service: Service,
    ask: Ask,
    dialect: Dialect,
    *,
    model: str,
    streams: bool,
    tells_usage: bool,
) -> web.StreamResponse:
    """Return the response to a request, complete; a client that leaves cancels this, which aborts the generations."""
    head = {"id": ask.name, "created": int(time.time()), "model": model}
    with Answer(service, ask, request[ARRIVED_S]) as answer:
        if streams:
            return await _streamed(request, answer, dialect, head, tells_usage=tells_usage)
        return await _whole(answer, dialect, head)


async def _whole(answer: Answer, dialect: Dialect, head: Json) -> web.Response:
    """Return everything at once."""
    pieces: list[list[Delta]] = [[] for _ in answer.flights]
    async for delta in answer.deltas():
        pieces[delta.index].append(delta)
    choices = [dialect.whole(_joined(each)) for each in pieces]
    return json_response(
        {"object": dialect.whole_object, **head, "choices": choices, "usage": answer.usage}, status=200
    )


def _joined(deltas: list[Delta]) -> Delta:
    """Return one delta that says what several said."""
    scored = tuple(each for delta in deltas for each in delta.scored)
    return replace(deltas[-1], text="".join(delta.text for delta in deltas), scored=scored)


async def _streamed(
    request: web.Request, answer: Answer, dialect: Dialect, head: Json, *, tells_usage: bool
) -> web.StreamResponse:
    """Tell what is new as it comes, for as long as there is somebody to tell."""
    response = web.StreamResponse(headers=STREAM_HEADERS)
    common = {"object": dialect.chunk_object, **head} | ({"usage": None} if tells_usage else {})
    await response.prepare(request)
    try:
        async for event in _events(answer, dialect, common, tells_usage=tells_usage):
            await _written(response, b"data: " + encoded(event) + b"\n\n")
        await _written(response, STREAM_END)
        await response.write_eof()
    except ConnectionError:
        if request.transport is not None:
            request.transport.abort()
    return response


async def _events(answer: Answer, dialect: Dialect, common: Json, *, tells_usage: bool) -> AsyncIterator[Json]:
    """Yield what a stream says; what goes wrong on the way is its last event."""
    try:
        for index in range(len(answer.flights)):
            opening = dialect.opening(index)
            if opening is not None:
                yield common | {"choices": [opening]}
        async for delta in answer.deltas():
            yield common | {"choices": [dialect.chunk(delta)]}
        if tells_usage:
            yield common | {"choices": [], "usage": answer.usage}
    except ApiError as error:
        yield error.body()
    except Exception:
        LOG.exception("a stream failed")
        yield unexpected().body()


async def _written(response: web.StreamResponse, content: bytes) -> None:
    """Send a piece; a client that takes nothing for long is taken to be gone."""
    try:
        async with asyncio.timeout(STALLED_S):
            await response.write(content)
    except TimeoutError:
        raise ConnectionResetError(f"the client took nothing for {STALLED_S:g} s") from None


def encoded(content: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")


def json_response(content: Any, *, status: int, headers: dict[str, str] | None = None) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(body=encoded(content), status=status, content_type="application/json", headers=headers)
