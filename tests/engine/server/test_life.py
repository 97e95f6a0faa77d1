"""A process listens from its first moment and ends with a status that says how it went."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from poolwright.engine.server.life import Life, in_thread
from poolwright.engine.server.service import Served
from poolwright.engine.server.settings import Settings

Begin = Callable[..., Any]


class Lived:
    """A life under way in this process."""

    def __init__(self, load: Callable[..., Served], **flags: Any) -> None:
        self.life = Life(Settings(model="m", host="127.0.0.1", port=0, **flags), load)
        self.status = asyncio.ensure_future(self.life.run())

    async def get(self, path: str) -> httpx2.Response:
        while not self.life.ports:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        async with httpx2.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{self.life.ports[0]}{path}")

    async def until(self, health: str) -> None:
        async with asyncio.timeout(20):
            while (await self.get("/health")).json() != {"status": health}:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    lives: list[Lived] = []

    def begun(load: Callable[..., Served], **flags: Any) -> Lived:
        lives.append(Lived(load, **flags))
        return lives[-1]

    yield begun
    for lived in lives:
        lived.status.cancel()
        await asyncio.gather(lived.status, return_exceptions=True)


async def test_a_model_that_cannot_be_loaded_ends_it_with_the_sentence(
    begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    def load(*_: object) -> Served:
        raise ValueError("model.safetensors: tensor lm_head.weight is missing")

    assert 1 == await begin(load).status
    assert "tensor lm_head.weight is missing" in caplog.text


async def test_a_signal_while_loading_ends_it_at_once(begin: Begin) -> None:
    held = threading.Event()

    def load(*_: object) -> Served:
        held.wait(timeout=30)
        raise ValueError("too late")

    lived = begin(load)
    await lived.until("loading")
    assert 503 == (await lived.get("/v1/models")).status_code
    assert b"" == (await lived.get("/metrics")).content
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        assert 0 == await lived.status
    held.set()


async def test_an_engine_that_fails_ends_the_process_so_that_it_is_started_anew(
    begin: Begin, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    served = (await serve()).service.served
    lived = begin(lambda *_: served)
    await lived.until("ready")
    served.engine.fails_with = "a step failed: out of memory"
    async with asyncio.timeout(10):
        assert 1 == await lived.status
    assert "out of memory" in caplog.text


async def test_ports_that_are_taken_end_it_with_an_error(begin: Begin, serve: Any) -> None:
    served = (await serve()).service.served
    first = begin(lambda *_: served)
    await first.until("ready")
    second = begin(lambda *_: served, admin_port=first.life.ports[0], admin_token_file=Path("token"))
    with pytest.raises(OSError, match="address already in use"):
        await second.status


async def test_steps_are_counted_from_the_first(begin: Begin, serve: Any) -> None:
    api = await serve()

    def load(_: Settings, on_step: Any) -> Served:
        api.engine.on_step = on_step
        return api.service.served

    lived = begin(load)
    await lived.until("ready")
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{lived.life.ports[0]}/v1/completions"
        answer = await client.post(url, json={"prompt": [5, 6], "max_tokens": 3})
    assert 3 == answer.json()["usage"]["completion_tokens"]
    # The last step is counted after its token was told.
    async with asyncio.timeout(10):
        while 'sequences_sum{engine="0",model_name="m"} 3.0' not in (await lived.get("/metrics")).text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_a_thread_raises_reaches_whoever_waits() -> None:
    def broken() -> int:
        raise ArithmeticError("from the thread")

    assert 3 == await in_thread(lambda: 3, "three")
    with pytest.raises(ArithmeticError, match="from the thread"):
        await in_thread(broken, "broken")
