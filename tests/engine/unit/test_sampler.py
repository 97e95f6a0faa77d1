"""What is drawn from logits."""

import math
from collections import Counter

import pytest
import torch

from poolwright.engine.generation import Sampling
from poolwright.engine.sampler import Draw, drawn, uniform

PROBABILITIES = [0.5, 0.25, 0.15, 0.1]
LOGITS = torch.tensor([PROBABILITIES]).log()
MANY = 4000


def draw(seed: int = 0, prompt: tuple[int, ...] = (), answer: tuple[int, ...] = (), **sampling: object) -> Draw:
    return Draw(sampling=Sampling(**sampling), seed=seed, prompt=prompt, answer=answer)  # type: ignore[arg-type]


def shares(**sampling: object) -> dict[int, float]:
    draws = [draw(seed, **sampling) for seed in range(MANY)]  # type: ignore[arg-type]
    counts = Counter(each.token_id for each in drawn(LOGITS.expand(MANY, -1), draws))
    return {token: count / MANY for token, count in sorted(counts.items())}


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({}, {0: 0.5, 1: 0.25, 2: 0.15, 3: 0.1}),
        ({"top_k": 2}, {0: 0.5 / 0.75, 1: 0.25 / 0.75}),
        ({"top_p": 0.6}, {0: 0.5 / 0.75, 1: 0.25 / 0.75}),  # half is not enough, so the second is in
        ({"top_p": 0.5}, {0: 1.0}),
        ({"top_p": 1e-9}, {0: 1.0}),
        ({"top_k": 3, "top_p": 0.8}, {0: 0.5 / 0.75, 1: 0.25 / 0.75}),  # 0.8 of the 0.9 that three have is 0.72
        ({"min_p": 0.25}, {0: 0.5 / 0.9, 1: 0.25 / 0.9, 2: 0.15 / 0.9}),  # at least 0.125
        ({"min_p": 0.25, "top_k": 2}, {0: 0.5 / 0.75, 1: 0.25 / 0.75}),
        ({"temperature": 0.5}, {0: 0.25 / 0.345, 1: 0.0625 / 0.345, 2: 0.0225 / 0.345, 3: 0.01 / 0.345}),  # squares
        ({"temperature": 0.0}, {0: 1.0}),
        ({"top_k": 99}, {0: 0.5, 1: 0.25, 2: 0.15, 3: 0.1}),
    ],
    ids=str,
)
def test_tokens_come_as_often_as_their_probability_says(
    sampling: dict[str, object], expected: dict[int, float]
) -> None:
    found = shares(**sampling)
    assert expected.keys() == found.keys()
    for token, share in expected.items():
        # four standard deviations of a share of 4000 draws
        assert share == pytest.approx(found[token], abs=4 * math.sqrt(0.25 / MANY))


def test_penalties_are_taken_off_as_the_api_says() -> None:
    # logits 2, 1, -1, 0; the prompt has 2, the answer 0 twice and 3 once
    row = torch.tensor([[2.0, 1.0, -1.0, 0.0]])
    common = {"prompt": (2,), "answer": (0, 0, 3), "temperature": 0.0}
    assert 0 == drawn(row, [draw(**common)])[0].token_id  # type: ignore[arg-type]
    assert 1 == drawn(row, [draw(**common, frequency_penalty=0.6)])[0].token_id  # type: ignore[arg-type]
    assert 0 == drawn(row, [draw(**common, presence_penalty=0.9)])[0].token_id  # type: ignore[arg-type]
    assert 1 == drawn(row, [draw(**common, presence_penalty=1.1)])[0].token_id  # type: ignore[arg-type]
    assert 1 == drawn(row, [draw(**common, repetition_penalty=2.5)])[0].token_id  # type: ignore[arg-type]


def test_a_repetition_penalty_makes_negative_logits_more_negative_in_prompt_and_answer() -> None:
    row = torch.tensor([[-1.0, -1.5]])
    assert 1 == drawn(row, [draw(prompt=(0,), temperature=0.0, repetition_penalty=2.0)])[0].token_id


def test_presence_and_frequency_count_the_answer_only() -> None:
    row = torch.tensor([[1.0, 0.9]])
    assert 0 == drawn(row, [draw(prompt=(0,), temperature=0.0, presence_penalty=2.0)])[0].token_id


def test_log_probabilities_are_those_of_the_model_before_temperature() -> None:
    told = drawn(LOGITS, [draw(temperature=0.0, logprobs=2)])[0]
    assert math.log(0.5) == pytest.approx(told.logprob)
    assert [(0, pytest.approx(math.log(0.5))), (1, pytest.approx(math.log(0.25)))] == list(told.top_logprobs)
    only = drawn(LOGITS, [draw(temperature=0.0, logprobs=0)])[0]
    assert (pytest.approx(math.log(0.5)), ()) == (only.logprob, only.top_logprobs)


def test_a_row_is_drawn_alike_alone_and_among_others() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    before = logits.clone()
    draws = [
        draw(1),
        draw(2, temperature=0.0),
        draw(3, top_p=0.5),
        draw(4, top_k=3, logprobs=5),
        draw(5, min_p=0.1, answer=(3, 3), frequency_penalty=1.0),
        draw(6, top_k=9, top_p=0.9, prompt=(1,), repetition_penalty=1.3),
    ]
    together = drawn(logits, draws)
    assert together == [drawn(logits[row : row + 1], [draws[row]])[0] for row in range(6)]
    assert torch.equal(before, logits)


def test_random_numbers_are_even_and_differ_by_seed_and_place() -> None:
    numbers = [uniform(seed, place) for seed in range(40) for place in range(100)]
    assert 4000 == len(set(numbers))
    assert 0.5 == pytest.approx(sum(numbers) / 4000, abs=4 * math.sqrt(1 / 12 / 4000))
    assert 0 <= min(numbers) < max(numbers) < 1
    assert uniform(-1, 0) != uniform(1, 0)
