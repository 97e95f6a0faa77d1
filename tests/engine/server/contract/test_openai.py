"""The official client against a real process on a real (tiny) checkpoint."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest

MODEL = "tiny"
HELLO = [{"role": "user", "content": "what waits in the queue?"}]


@pytest.fixture
def client(engine: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=engine.url + "/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [MODEL] == [model.id for model in client.models.list()]
    assert MODEL == client.models.retrieve(MODEL).id


def test_a_chat_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=12, temperature=0)
    assert ("assistant", "length") == (answer.choices[0].message.role, answer.choices[0].finish_reason)
    assert 12 == answer.usage.completion_tokens
    assert answer.choices[0].message.content


def test_a_chat_stream_says_what_the_whole_says(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert whole.choices[0].message.content == "".join(
        chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
    )
    assert [whole.choices[0].finish_reason] == [
        chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason
    ]
    # The prompt's cached tokens differ: the first request put them into the cache.
    assert whole.usage.total_tokens == chunks[-1].usage.total_tokens


def test_the_same_seed_draws_the_same_and_answers_to_one_prompt_differ(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "a replica", "max_tokens": 16, "n": 2, "seed": 3}
    first, second = (client.completions.create(**asked) for _ in range(2))
    texts = [choice.text for choice in first.choices]
    assert texts == [choice.text for choice in second.choices]
    assert 2 == len(set(texts))


def test_log_probabilities_are_those_of_a_distribution(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=8, temperature=0, logprobs=True, top_logprobs=20
    )
    scored = answer.choices[0].logprobs.content
    assert 8 == len(scored)
    for each in scored:
        # The most probable token is taken; the best come first; together they are not more than certain.
        assert each.logprob == each.top_logprobs[0].logprob == max(top.logprob for top in each.top_logprobs)
        assert each.bytes == each.top_logprobs[0].bytes
        assert 0 < sum(math.exp(top.logprob) for top in each.top_logprobs) <= 1 + 1e-5


def test_log_probabilities_of_completions_stream_too(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "tokens", "max_tokens": 8, "temperature": 0, "logprobs": 2}
    whole = client.completions.create(**asked).choices[0].logprobs
    chunks = [chunk.choices[0].logprobs for chunk in client.completions.create(**asked, stream=True)]
    assert whole.tokens == [token for chunk in chunks for token in chunk.tokens]
    assert whole.text_offset == [offset for chunk in chunks for offset in chunk.text_offset]
    # A prompt that was cached is computed in another shape, so the last digits may differ.
    assert whole.token_logprobs == pytest.approx(
        [logprob for chunk in chunks for logprob in chunk.token_logprobs], abs=1e-4
    )


def test_penalties_change_what_is_drawn(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "demand", "max_tokens": 40, "temperature": 0, "logprobs": 0}
    plain = client.completions.create(**asked).choices[0].logprobs.tokens
    penalised = client.completions.create(**asked, frequency_penalty=2, presence_penalty=2).choices[0].logprobs.tokens
    assert len(set(plain)) < len(set(penalised))


def test_a_stop_string_ends_an_answer(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "served", "max_tokens": 40, "temperature": 0}
    text = client.completions.create(**asked).choices[0].text
    stop = text[20:23]
    answer = client.completions.create(**asked, stop=stop).choices[0]
    assert (text[: text.index(stop)], "stop") == (answer.text, answer.finish_reason)


def test_a_prompt_that_is_known_is_told_as_cached(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": list(range(40, 140)), "max_tokens": 1}
    first, second = (client.completions.create(**asked).usage for _ in range(2))
    # Blocks of 16 tokens, whole ones only, and at least one token is left to compute: 96 of 100.
    assert (0, 96) == (first.prompt_tokens_details.cached_tokens, second.prompt_tokens_details.cached_tokens)


def test_vllms_own_fields_and_headers_pass_through_the_client(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL,
        prompt="weights",
        max_tokens=4,
        extra_body={"top_k": 1, "min_p": 0.1, "repetition_penalty": 1.1, "ignore_eos": True, "priority": 2},
        extra_headers={"x-poolwright-priority": "-1"},
    )
    assert 4 == answer.usage.completion_tokens


def test_errors_are_the_clients_own_and_name_the_field(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt="a", temperature=9)
    assert ("temperature", "invalid_request_error") == (refused.value.param, refused.value.type)
    with pytest.raises(openai.BadRequestError) as too_long:
        client.completions.create(model=MODEL, prompt="a", max_tokens=5000)
    assert ("max_tokens", "context_length_exceeded") == (too_long.value.param, too_long.value.code)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="other", messages=HELLO)
    assert "model" == unknown.value.param


def test_a_client_that_gives_up_ends_its_generation(client: openai.OpenAI, engine: Any) -> None:
    before = engine.metric("vllm:request_success_total")
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.4).completions.create(
            model=MODEL, prompt="a", max_tokens=1000, extra_body={"ignore_eos": True}
        )
    engine.until(lambda: engine.metric("vllm:request_success_total") == before + 1)
    engine.until(lambda: engine.metric("vllm:num_requests_running") == 0)


def test_a_stream_that_is_closed_ends_its_generation(client: openai.OpenAI, engine: Any) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, extra_body={"ignore_eos": True})
    for _ in range(3):
        next(iter(stream))
    assert 1 == engine.metric("vllm:num_requests_running")
    stream.close()
    engine.until(lambda: engine.metric("vllm:num_requests_running") == 0)


async def test_many_requests_at_once_each_get_their_own_answer(engine: Any) -> None:
    async with openai.AsyncOpenAI(base_url=engine.url + "/v1", api_key="none", max_retries=0) as client:

        async def ask(word: str) -> str:
            answer = await client.completions.create(model=MODEL, prompt=word, max_tokens=8, temperature=0)
            return answer.choices[0].text

        words = [f"word {number}" for number in range(24)]
        together = await asyncio.gather(*(ask(word) for word in words))
        alone = [await ask(word) for word in words[:4]]
    assert alone == together[:4]
