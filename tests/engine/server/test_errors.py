"""Requests that cannot be served are told so in OpenAI's shape, with the field at fault; the engine goes on."""

import asyncio
import json
import socket
from typing import Any

import pytest

COMPLETION = "/v1/completions"
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        (COMPLETION, {}, "prompt", "Field required"),
        (COMPLETION, {"prompt": 3}, "prompt", "a string, strings, token ids, or lists of token ids"),
        (COMPLETION, {"prompt": ""}, "prompt", "no tokens"),
        (COMPLETION, {"prompt": []}, "prompt", "0 prompts"),
        (COMPLETION, {"prompt": ["a"] * 129}, "prompt", "129 prompts; there must be 1 to 128"),
        (COMPLETION, {"prompt": ["a"] * 50, "n": 3}, "n", "3 answers to 50 prompts are more than 128"),
        (COMPLETION, {"prompt": [1, 99999]}, "prompt", "token 99999 is none of this model's 320"),
        (COMPLETION, {"prompt": [-1]}, "prompt.0", "greater than or equal to 0"),
        (COMPLETION, {"prompt": "a", "max_tokens": 0}, "max_tokens", "at least 1"),
        (COMPLETION, {"prompt": "a", "max_tokens": "5"}, "max_tokens", "valid integer"),
        (COMPLETION, {"prompt": "a", "temperature": 2.5}, "temperature", "0 to 2"),
        (COMPLETION, {"prompt": "a", "top_p": 0}, "top_p", "above 0"),
        (COMPLETION, {"prompt": "a", "n": True}, "n", "valid integer"),
        (COMPLETION, {"prompt": "a", "stop": ["x"] * 17}, "stop", "up to 16"),
        (COMPLETION, {"prompt": "a", "stop": ""}, "stop", "1 to 1000 characters"),
        (COMPLETION, {"prompt": "a", "logprobs": 21}, "logprobs", "0 to 20"),
        (COMPLETION, {"prompt": "a", "seed": 2**63}, "seed", "64-bit"),
        (COMPLETION, {"prompt": "a", "priority": 10**7}, "priority", "lower is served first"),
        (COMPLETION, {"prompt": "a", "stream": "yes"}, "stream", "valid boolean"),
        (
            COMPLETION,
            {"prompt": "a", "stream_options": {}},
            "stream_options",
            "stream_options is only for stream: true",
        ),
        (COMPLETION, {"prompt": "a", "logit_bias": {"3": 1}}, "logit_bias", "logit_bias is not supported"),
        (COMPLETION, {"prompt": "a", "echo": True, "logprobs": 1}, "echo", "echo together with logprobs"),
        (CHAT, {"messages": []}, "messages", "at least one message"),
        (CHAT, {"messages": [{"content": "hi"}]}, "messages.0.role", "Field required"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0.content.0.type",
            "should be 'text'",
        ),
        (CHAT, {"messages": HELLO, "tools": [{"type": "function"}]}, "tools", "tools is not supported"),
        (
            CHAT,
            {"messages": HELLO, "response_format": {"type": "json_object"}},
            "response_format",
            "response_format is not supported",
        ),
        (CHAT, {"messages": HELLO, "top_logprobs": 2}, "top_logprobs", "top_logprobs is only for logprobs: true"),
        (CHAT, {"messages": HELLO, "max_tokens": 2, "max_completion_tokens": 3}, "max_tokens", "differ; give one"),
        (CHAT, {"messages": HELLO, "chat_template_kwargs": {"messages": 1}}, "messages", "may not set messages"),
        ("/tokenize", {}, None, "give either prompt or messages"),
        ("/detokenize", {"tokens": [320]}, "tokens", "token 320 is none of this model's 320"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:40],
)
async def test_a_senseless_field_is_named(path: str, body: Any, param: str | None, words: str, serve: Any) -> None:
    api = await serve()
    status, told = await api.post(path, body)
    assert (400, "invalid_request_error", param) == (status, told["error"]["type"], told["error"]["param"]), told
    assert words in told["error"]["message"]
    assert told["error"]["code"]


@pytest.mark.parametrize(
    "extra",
    [{"user": "u", "metadata": {"a": "b"}, "store": False}, {"logit_bias": {}, "best_of": 1}, {"unheard_of": 1}],
)
async def test_fields_that_ask_for_nothing_are_let_be(extra: dict[str, Any], serve: Any) -> None:
    status, _ = await (await serve()).post(COMPLETION, {"prompt": "a", "max_tokens": 1} | extra)
    assert 200 == status


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"prompt": "ab", "max_tokens": 255}, "max_tokens", "has 2 and asks for 255 more"),
        ({"prompt": [7] * 256}, "prompt", "has 256 and asks for 16 more"),
    ],
)
async def test_what_does_not_fit_the_context_is_refused_with_the_numbers(
    body: Any, param: str, message: str, serve: Any
) -> None:
    status, told = await (await serve()).post(COMPLETION, body)
    assert (400, "context_length_exceeded", param) == (status, told["error"]["code"], told["error"]["param"])
    assert f"the context of this model is 256 tokens; the prompt {message}" == told["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"prompt": NaN}', b"[1]", b'"text"'])
async def test_a_body_that_is_no_object_is_refused(body: bytes, serve: Any) -> None:
    api = await serve()
    async with api.client.post(COMPLETION, data=body) as response:
        told = await response.json()
        assert (400, "invalid_request_error") == (response.status, told["error"]["type"])


async def test_a_model_that_is_not_served_is_not_found(serve: Any) -> None:
    api = await serve()
    status, told = await api.post(COMPLETION, {"model": "gpt-9", "prompt": "a"})
    assert (404, "model", "model_not_found") == (status, told["error"]["param"], told["error"]["code"])
    assert "there is echo, parrot" in told["error"]["message"]
    async with api.client.get("/v1/models/gpt-9") as response:
        assert 404 == response.status


async def test_paths_and_methods_that_are_not_there_have_the_same_shape(serve: Any) -> None:
    api = await serve()
    async with api.client.get("/v2/everything") as response:
        assert (404, "not_found_error") == (response.status, (await response.json())["error"]["type"])
    async with api.client.get(COMPLETION) as response:
        assert (405, "POST") == (response.status, response.headers["Allow"])
        assert "Method Not Allowed" in (await response.json())["error"]["message"]


async def test_a_body_that_is_too_large_is_refused(serve: Any) -> None:
    api = await serve(flags={"max_request_bytes": 1000})
    status, told = await api.post(COMPLETION, {"prompt": "a" * 1000})
    assert (413, "too_large") == (status, told["error"]["code"])
    assert 200 == (await api.post(COMPLETION, {"prompt": "a" * 100}))[0]


@pytest.mark.parametrize("written", ["high", "1.5", "", "9" * 20])
async def test_a_priority_header_that_is_no_number_is_refused(written: str, serve: Any) -> None:
    status, told = await (await serve()).post(COMPLETION, {"prompt": "a"}, x_poolwright_priority=written)
    assert (400, "x-poolwright-priority") == (status, told["error"]["param"])


async def test_a_full_queue_answers_503_and_when_to_come_again(serve: Any) -> None:
    api = await serve(max_num_seqs=1, max_queued_requests=1, pace_s=0.02)
    asked = {"prompt": "ab", "max_tokens": 30}
    running = asyncio.ensure_future(api.post(COMPLETION, asked))
    await api.until(lambda: len(api.engine.running) == 1)
    waiting = asyncio.ensure_future(api.post(COMPLETION, asked))
    await api.until(lambda: len(api.engine.waiting) == 1)
    async with api.client.post(COMPLETION, json=asked | {"stream": True}) as response:
        told = await response.json()
        assert (503, "1", "queue_full") == (response.status, response.headers["Retry-After"], told["error"]["code"])
        assert "overloaded_error" == told["error"]["type"]
    assert [200, 200] == [(await each)[0] for each in (running, waiting)]
    assert 1 == api.service.metrics.refused["queue_full"]._value.get()


async def test_of_several_answers_all_or_none_are_queued(serve: Any) -> None:
    api = await serve(max_num_seqs=1, max_queued_requests=2, pace_s=0.05)
    status, _ = await api.post(COMPLETION, {"prompt": "ab", "max_tokens": 100, "n": 8})
    assert 503 == status
    await api.until(lambda: not api.engine.waiting and not api.engine.running)
    metrics = api.service.metrics
    ended = sum(counter._value.get() for counter in (*metrics.finished.values(), metrics.refused["queue_full"]))
    assert 8 == metrics.arrived._value.get() == ended


async def test_an_answer_that_takes_too_long_is_ended(serve: Any) -> None:
    api = await serve(pace_s=0.02, flags={"request_timeout_seconds": 0.2})
    asked = {"prompt": "ab", "max_tokens": 200}
    async with api.client.post(COMPLETION, json=asked) as response:
        told = await response.json()
        assert (504, "false") == (response.status, response.headers["x-should-retry"])
        assert ("timeout_error", "the answer took longer than 0.2 s") == (
            told["error"]["type"],
            told["error"]["message"],
        )
    async with api.client.post(COMPLETION, json=asked | {"stream": True}) as response:
        body = await response.text()
    assert 'data: {"error":{"message":"the answer took longer than 0.2 s"' in body
    assert body.endswith("data: [DONE]\n\n")
    await api.until(lambda: len(api.engine.aborted) == 2 and not api.engine.running)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_client_that_leaves_ends_its_generations(serve: Any, streams: bool) -> None:  # noqa: FBT001 - a parameter
    api = await serve(pace_s=0.02)
    asked = {"prompt": "ab", "max_tokens": 250, "n": 2, "stream": streams}
    leaving = asyncio.ensure_future(api.client.post(COMPLETION, json=asked))
    await api.until(lambda: len(api.engine.running) == 2)
    if streams:
        (await leaving).close()
    else:
        leaving.cancel()
    await api.until(lambda: api.service.metrics.finished["abort"]._value.get() == 2)
    assert (2, 0) == (len(api.engine.aborted), len(api.engine.running))


async def test_a_client_that_takes_nothing_of_its_stream_ends_its_generations(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("poolwright.engine.server.generate.STALLED_S", 0.3)
    api = await serve(max_num_seqs=128, pace_s=0.03)
    body = json.dumps({"prompt": "ab", "max_tokens": 250, "n": 128, "stream": True, "logprobs": 1}).encode()
    with socket.create_connection((api.client.host, api.client.port)) as client:
        head = f"POST {COMPLETION} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        await api.until(lambda: api.service.metrics.finished["abort"]._value.get() > 0)
    await api.until(lambda: not api.engine.running)
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_an_engine_that_failed_says_so(serve: Any) -> None:
    api = await serve()
    api.engine.fails_with = "out of memory"
    async with api.client.get("/health") as response:
        assert (503, {"status": "failed"}) == (response.status, await response.json())
    status, told = await api.post(COMPLETION, {"prompt": "a"})
    assert (500, "engine_failed") == (status, told["error"]["code"])
    async with api.client.get("/metrics") as response:
        assert 200 == response.status


async def test_mistakes_of_ours_are_logged_and_not_told(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    api = await serve()

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    api.engine.submit = broken
    status, told = await api.post(COMPLETION, {"prompt": "a"})
    assert (500, "the engine failed to answer") == (status, told["error"]["message"])
    assert "secret detail" in caplog.text
