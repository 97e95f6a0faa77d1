"""``/v1/completions`` and ``/v1/chat/completions`` against an engine that says its prompt back."""

import json
from typing import Any

import pytest

PROMPT = "the pool serves, h\u00e9llo \u20ac \U0001f600 "


def events(body: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def streamed(api: Any, path: str, body: dict[str, Any]) -> list[Any]:
    async with api.client.post(path, json=body | {"stream": True}) as response:
        assert (200, "text/event-stream; charset=utf-8") == (response.status, response.headers["Content-Type"])
        return events(await response.text())


async def test_a_completion_is_what_the_engine_says_with_its_usage(serve: Any, codec: Any) -> None:
    api = await serve(cached_tokens=2)
    tokens = codec.encode(PROMPT, adds_special=True)
    status, body = await api.post("/v1/completions", {"model": "echo", "prompt": PROMPT, "max_tokens": len(tokens)})
    assert 200 == status
    assert ("text_completion", "echo", "cmpl-") == (body["object"], body["model"], body["id"][:5])
    assert [{"index": 0, "text": PROMPT, "logprobs": None, "finish_reason": "length"}] == body["choices"]
    assert {
        "prompt_tokens": len(tokens),
        "completion_tokens": len(tokens),
        "total_tokens": 2 * len(tokens),
        "prompt_tokens_details": {"cached_tokens": 2},
    } == body["usage"]


async def test_a_stream_says_the_same_as_the_whole_and_splits_no_character(serve: Any) -> None:
    api = await serve()
    asked = {"prompt": PROMPT, "max_tokens": 60, "stream_options": {"include_usage": True}}
    *chunks, last, done = await streamed(api, "/v1/completions", asked)
    _, whole = await api.post("/v1/completions", {"prompt": PROMPT, "max_tokens": 60})
    assert "[DONE]" == done
    assert whole["choices"][0]["text"] == "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert not any("\ufffd" in chunk["choices"][0]["text"] for chunk in chunks)
    assert [*[None] * (len(chunks) - 1), "length"] == [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert ([], whole["usage"]) == (last["choices"], last["usage"])
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_without_stream_options_a_stream_tells_no_usage(serve: Any) -> None:
    api = await serve()
    chunks = await streamed(api, "/v1/completions", {"prompt": "a", "max_tokens": 2})
    assert not any("usage" in chunk for chunk in chunks[:-1])


async def test_a_chat_answer_has_a_role_and_ends_where_the_context_does(serve: Any, codec: Any) -> None:
    api = await serve()
    _, body = await api.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
    (choice,) = body["choices"]
    # The echo of the template's prompt begins with <|im_start|>, which is special and no text, and stops at <|im_end|>,
    # which stands for nothing here: the tokenizer's end is <|end|>.
    assert ("assistant", "length") == (choice["message"]["role"], choice["finish_reason"])
    assert choice["message"]["content"].startswith("user\nhi\nassistant\n")
    assert 256 == body["usage"]["total_tokens"]
    prompt = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert len(codec.encode(prompt, adds_special=False)) == body["usage"]["prompt_tokens"]


async def test_a_chat_stream_begins_with_the_role_and_ends_with_the_reason(serve: Any) -> None:
    api = await serve()
    asked = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "max_completion_tokens": 5}
    first, *chunks, done = await streamed(api, "/v1/chat/completions", asked)
    assert {"role": "assistant", "content": ""} == first["choices"][0]["delta"]
    assert ("chat.completion.chunk", "[DONE]") == (first["object"], done)
    assert "length" == chunks[-1]["choices"][0]["finish_reason"]
    assert 1 == len({chunk["id"] for chunk in (first, *chunks)})


@pytest.mark.parametrize("streams", [False, True])
async def test_a_stop_string_ends_the_answer_before_it_and_the_generation_too(serve: Any, streams: bool) -> None:  # noqa: FBT001
    api = await serve(pace_s=0.01)
    asked = {"prompt": "one two three ", "max_tokens": 200, "stop": ["two", "zebra"]}
    if streams:
        chunks = (await streamed(api, "/v1/completions", asked))[:-1]
        text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        reason = chunks[-1]["choices"][0]["finish_reason"]
    else:
        _, body = await api.post("/v1/completions", asked)
        text, reason = body["choices"][0]["text"], body["choices"][0]["finish_reason"]
    assert ("one ", "stop") == (text, reason)
    await api.until(lambda: len(api.engine.aborted) == 1 and not api.engine.running)
    assert 1 == api.service.metrics.finished["stop"]._value.get()


async def test_a_stop_token_ends_the_answer_and_is_not_told(serve: Any, codec: Any) -> None:
    api = await serve()
    stop = codec.encode("b", adds_special=False)
    asked = {"prompt": "abc", "max_tokens": 9, "stop_token_ids": list(stop), "logprobs": 0}
    _, body = await api.post("/v1/completions", asked)
    (choice,) = body["choices"]
    assert ("a", "stop", ["a"]) == (choice["text"], choice["finish_reason"], choice["logprobs"]["tokens"])
    assert 2 == body["usage"]["completion_tokens"]


async def test_the_models_own_end_counts_unless_it_is_to_be_ignored(serve: Any) -> None:
    api = await serve()
    asked = {"prompt": "a<|end|>b", "max_tokens": 6}
    _, ended = await api.post("/v1/completions", asked)
    _, ignored = await api.post("/v1/completions", asked | {"ignore_eos": True, "skip_special_tokens": False})
    assert ("a", "stop") == (ended["choices"][0]["text"], ended["choices"][0]["finish_reason"])
    assert "a<|end|>ba<|end|>b" == ignored["choices"][0]["text"]


async def test_prompts_times_answers_are_choices_in_order_and_a_prompt_counts_once(serve: Any) -> None:
    api = await serve()
    _, body = await api.post("/v1/completions", {"prompt": ["x", "yy"], "n": 2, "max_tokens": 2, "seed": 5})
    assert [(0, "xx"), (1, "xx"), (2, "yy"), (3, "yy")] == [
        (choice["index"], choice["text"]) for choice in body["choices"]
    ]
    assert (3, 8) == (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"])


async def test_a_stream_of_several_answers_keeps_them_apart(serve: Any) -> None:
    api = await serve()
    chunks = await streamed(api, "/v1/completions", {"prompt": ["ab", "cd"], "max_tokens": 4})
    texts = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert {0: "abab", 1: "cdcd"} == texts


async def test_the_prompt_is_echoed_on_request(serve: Any) -> None:
    api = await serve()
    asked = {"prompt": "ab", "max_tokens": 2, "echo": True}
    _, body = await api.post("/v1/completions", asked)
    chunks = await streamed(api, "/v1/completions", asked)
    assert "abab" == body["choices"][0]["text"]
    assert "abab" == "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1])


async def test_prompts_may_be_tokens(serve: Any, codec: Any) -> None:
    api = await serve()
    tokens = list(codec.encode("queue", adds_special=False))
    _, one = await api.post("/v1/completions", {"prompt": tokens, "max_tokens": len(tokens)})
    _, two = await api.post("/v1/completions", {"prompt": [tokens, tokens], "max_tokens": len(tokens)})
    assert ["queue"] == [choice["text"] for choice in one["choices"]]
    assert ["queue", "queue"] == [choice["text"] for choice in two["choices"]]


async def test_log_probabilities_come_with_every_token_of_a_completion(serve: Any) -> None:
    api = await serve()
    _, body = await api.post("/v1/completions", {"prompt": "ab", "max_tokens": 3, "logprobs": 2})
    logprobs = body["choices"][0]["logprobs"]
    assert (["a", "b", "a"], [0, 1, 2]) == (logprobs["tokens"], logprobs["text_offset"])
    assert [-0.5] * 3 == logprobs["token_logprobs"]
    assert {"a": -0.5, "b": -1.5} == logprobs["top_logprobs"][0]


async def test_log_probabilities_of_a_chat_have_bytes_and_survive_held_back_text(serve: Any) -> None:
    api = await serve()
    asked = {
        "messages": [{"role": "user", "content": "\u20ac"}],
        "max_tokens": 12,
        "logprobs": True,
        "top_logprobs": 1,
        "stop": "never",
    }
    _, whole = await api.post("/v1/chat/completions", asked)
    chunks = await streamed(api, "/v1/chat/completions", asked)
    scored = whole["choices"][0]["logprobs"]["content"]
    assert 12 == len(scored)
    euro = next(place for place, each in enumerate(scored) if each["bytes"] == [0xE2])
    assert [[0xE2], [0x82], [0xAC]] == [each["bytes"] for each in scored[euro : euro + 3]]
    assert {"token", "logprob", "bytes"} == set(scored[0]["top_logprobs"][0])
    in_chunks = [
        each
        for chunk in chunks[:-1]
        if chunk["choices"][0]["logprobs"]
        for each in chunk["choices"][0]["logprobs"]["content"]
    ]
    assert scored == in_chunks


async def test_parts_of_characters_have_names_of_their_own_in_completions(serve: Any) -> None:
    api = await serve()
    _, body = await api.post("/v1/completions", {"prompt": "\u20ac", "max_tokens": 3, "logprobs": 0})
    assert [r"bytes:\xe2", r"bytes:\x82", r"bytes:\xac"] == body["choices"][0]["logprobs"]["tokens"]


async def test_tokens_and_text_go_there_and_back(serve: Any, codec: Any) -> None:
    api = await serve()
    _, tokens = await api.post("/tokenize", {"prompt": PROMPT, "return_token_strs": True})
    assert (list(codec.encode(PROMPT, adds_special=True)), 256) == (tokens["tokens"], tokens["max_model_len"])
    assert tokens["count"] == len(tokens["tokens"]) == len(tokens["token_strs"])
    assert (200, {"prompt": PROMPT}) == await api.post("/detokenize", {"tokens": tokens["tokens"]})
    _, chat = await api.post("/tokenize", {"messages": [{"role": "user", "content": "hi"}]})
    assert (200, {"prompt": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"}) == await api.post(
        "/detokenize", {"tokens": chat["tokens"]}
    )


async def test_every_served_name_is_a_model(serve: Any) -> None:
    api = await serve()
    async with api.client.get("/v1/models") as response:
        listed = await response.json()
    async with api.client.get("/v1/models/parrot") as response:
        one = await response.json()
    assert ["echo", "parrot"] == [row["id"] for row in listed["data"]]
    assert (one, 256, "model") == (listed["data"][1], one["max_model_len"], one["object"])
