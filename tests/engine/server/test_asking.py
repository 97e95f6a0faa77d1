"""What reaches the engine is what was asked: sampling, defaults of the model, seeds, priorities."""

import asyncio
from typing import Any

import pytest


async def asked(api: Any, body: dict[str, Any], **headers: str) -> list[Any]:
    """Return the generations that a request became; the engine waits long before it says anything."""
    heard: list[Any] = []
    submit = api.engine.submit

    def noting(generation: Any, *listeners: Any) -> None:
        heard.append(generation)
        submit(generation, *listeners)

    api.engine.submit = noting
    status, answer = await api.post("/v1/completions", {"prompt": "ab", "max_tokens": 1} | body, **headers)
    assert 200 == status, answer
    return heard


async def test_sampling_is_passed_on(serve: Any) -> None:
    api = await serve()
    body = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "presence_penalty": 1.0,
        "frequency_penalty": -1.0,
        "repetition_penalty": 1.1,
        "seed": 11,
        "logprobs": 3,
    }
    (generation,) = await asked(api, body)
    assert body == {name: getattr(generation.sampling, name) for name in body}


async def test_a_request_that_is_silent_gets_what_the_makers_recommend(serve: Any) -> None:
    api = await serve(defaults={"temperature": 0.6, "top_k": 20})
    (silent,) = await asked(api, {})
    (loud,) = await asked(api, {"temperature": 0.0, "top_k": -1})
    assert (0.6, 20, 1.0) == (silent.sampling.temperature, silent.sampling.top_k, silent.sampling.top_p)
    assert (0.0, 0) == (loud.sampling.temperature, loud.sampling.top_k)


async def test_each_of_several_answers_has_a_seed_of_its_own(serve: Any) -> None:
    api = await serve()
    assert [5, 6, 7] == [each.sampling.seed for each in await asked(api, {"n": 3, "seed": 5})]
    assert [None, None] == [each.sampling.seed for each in await asked(api, {"n": 2})]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({}, {}, 0),
        ({"priority": 3}, {}, 3),
        ({}, {"x_poolwright_priority": "-2"}, -2),
        ({"priority": 3}, {"X_Poolwright_Priority": "1"}, 1),
    ],
    ids=["nobody says", "the body says", "the header says", "the header counts more"],
)
async def test_priority(body: dict[str, Any], headers: dict[str, str], expected: int, serve: Any) -> None:
    (generation,) = await asked(await serve(), body, **headers)
    assert expected == generation.priority


async def test_a_request_of_lower_number_overtakes_those_that_wait(serve: Any) -> None:
    api = await serve(max_num_seqs=1, pace_s=0.05)

    def ask(prompt: str, priority: int) -> Any:
        return asyncio.ensure_future(
            api.post("/v1/completions", {"prompt": prompt, "max_tokens": 4, "priority": priority})
        )

    first = ask("first", 0)
    await api.until(lambda: len(api.engine.running) == 1)
    later = ask("later", 5)
    await api.until(lambda: len(api.engine.waiting) == 1)
    sooner = ask("sooner", -5)
    names = [(await answer)[1]["id"] for answer in (first, sooner, later)]
    assert names == [name.rsplit("-", 2)[0] for name in api.engine.order]
