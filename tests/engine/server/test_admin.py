"""Limits change while requests run, for holders of the token only."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from poolwright.engine.server.admin import admin_application

TOKEN = {"Authorization": "Bearer hunter2"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("hunter2\n")
    return path


@pytest.fixture
async def api(serve: Any) -> Any:
    return await serve(max_num_seqs=1, pace_s=0.01)


@pytest.fixture
async def admin(api: Any, token_file: Path) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(admin_application(api.service, token_file))) as client:
        yield client


async def test_limits_are_told(admin: Any) -> None:
    async with admin.get("/limits", headers=TOKEN) as response:
        assert {"max_num_seqs": 1, "max_num_batched_tokens": 64, "max_queued_requests": None} == await response.json()


async def test_a_limit_changes_while_requests_run_and_none_is_dropped(admin: Any, api: Any) -> None:
    asked = {"prompt": "ab", "max_tokens": 60}
    answers = [asyncio.ensure_future(api.post("/v1/completions", asked)) for _ in range(4)]
    await api.until(lambda: len(api.engine.running) == 1 and len(api.engine.waiting) == 3)
    async with admin.put("/limits", headers=TOKEN, json={"max_num_seqs": 3}) as response:
        assert {"max_num_seqs": 3, "max_num_batched_tokens": 64, "max_queued_requests": None} == await response.json()
    await api.until(lambda: len(api.engine.running) == 3)
    assert [(200, "ab" * 30)] * 4 == [
        (status, body["choices"][0]["text"]) for status, body in await asyncio.gather(*answers)
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"max_queued_requests": -1}, "max_queued_requests"),
        ({"max_num_sequences": 3}, "max_num_sequences"),
        ({"max_num_seqs": "3"}, "max_num_seqs"),
        ({}, None),
    ],
)
async def test_a_senseless_limit_is_refused_and_changes_nothing(
    body: Any, param: str | None, admin: Any, api: Any
) -> None:
    async with admin.put("/limits", headers=TOKEN, json=body) as response:
        assert (400, param) == (response.status, (await response.json())["error"]["param"])
    assert (1, 64, None) == (api.engine.max_num_seqs, api.engine.max_num_batched_tokens, api.engine.max_queued_requests)


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "Basic hunter2", "hunter2", "Bearer h\u00e9"])
async def test_without_the_token_nobody_is_let_in(given: str | None, admin: Any) -> None:
    headers = {} if given is None else {"Authorization": given}
    for call in (admin.get, admin.put):
        async with call("/limits", headers=headers) as response:
            assert (401, "Bearer") == (response.status, response.headers["WWW-Authenticate"])


async def test_a_new_token_counts_at_once_and_an_empty_file_lets_nobody_in(admin: Any, token_file: Path) -> None:
    await asyncio.to_thread(token_file.write_text, "changed")
    async with admin.get("/limits", headers=TOKEN) as response:
        assert 401 == response.status
    async with admin.get("/limits", headers={"Authorization": "bearer changed"}) as response:
        assert 200 == response.status
    await asyncio.to_thread(token_file.write_text, "\n")
    async with admin.get("/limits", headers={"Authorization": "Bearer "}) as response:
        assert 401 == response.status
