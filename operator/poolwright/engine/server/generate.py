"""Answers a request: whole, or as server-sent events while it comes."""

import asyncio
import json
import logging
import time
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
    """Tell what is new as it comes."""
    response = web.StreamResponse(headers=STREAM_HEADERS)
    common = {"object": dialect.chunk_object, **head} | ({"usage": None} if tells_usage else {})

    async def tell(content: Json) -> None:
        await response.write(b"data: " + encoded(content) + b"\n\n")

    await response.prepare(request)
    try:
        for index in range(len(answer.flights)):
            opening = dialect.opening(index)
            if opening is not None:
                await tell(common | {"choices": [opening]})
        async for delta in answer.deltas():
            await tell(common | {"choices": [dialect.chunk(delta)]})
        if tells_usage:
            await tell(common | {"choices": [], "usage": answer.usage})
    except ApiError as error:
        await tell(error.body())
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        LOG.exception("a stream failed")
        await tell(unexpected().body())
    await response.write(STREAM_END)
    await response.write_eof()
    return response


def encoded(content: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")


def json_response(content: Any, *, status: int, headers: dict[str, str] | None = None) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(body=encoded(content), status=status, content_type="application/json", headers=headers)
