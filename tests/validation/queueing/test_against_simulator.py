"""Closed forms against requests that are simulated one by one by the engine's own scheduler, under one step law.

Tolerances were declared before the first run and are the same for every case. Probabilities are compared where tiers
put their objectives, in the upper tail; of these cases' whole distributions, which were looked at before that choice,
probabilities below and near the mean are off by up to 0.08 (TTFT), 0.14 (ITL). Steps that are not linear are not tried.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits
from poolwright.queueing.predict import Prediction, predict
from poolwright.queueing.station import Station, capacity
from poolwright.queueing.workload import Arrivals, Workload
from poolwright.simulator.replica import Replica, Tokens

Array = NDArray[np.float64]

MEAN_ITL: Final = 0.10
"""Relative error of the mean time between tokens."""
MEAN_TTFT: Final = 0.30
"""Relative error of the mean time to first token."""
AT_OBJECTIVE: Final = 0.05
"""Absolute error of the probability at the objective."""

REQUESTS: Final = 12_000
"""Requests of one run; the first tenth fills the replicas and is not counted."""

TTFT_OBJECTIVES: Final = (2.0, 3.0)
"""Objectives in multiples of the predicted mean: some 89 to 99 % of requests meet them."""
ITL_OBJECTIVES: Final = (1.5, 2.0)
"""The same: some 81 to 100 % of tokens meet them."""

BLOCK_TOKENS: Final = 16


def law(n: Array, c: Array, y: Array) -> Array:
    """Llama-3.1-8B-like on one H100: 6.5 ms to read weights and start, KV and prompts on top, linear in each."""
    return np.asarray(6.5e-3 + 1e-5 * n + 5.4e-8 * n * c + 2.4e-5 * y)


def step_time_s(n: float, c: float, y: float) -> float:
    return 6.5e-3 + 1e-5 * n + 5.4e-8 * n * c + 2.4e-5 * y


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pool under Poisson arrivals at a share of its capacity; mean lengths in tokens, spread as lognormals."""

    name: str
    load: float
    inputs: float
    outputs: float
    replicas: int = 1
    sequences: int = 128
    tokens: int = 2048
    cache: float = 400_000.0
    seed: int

    @property
    def station(self) -> Station:
        return Station(
            step_time=law,
            max_num_seqs=self.sequences,
            max_num_batched_tokens=self.tokens,
            kv_capacity_tokens=self.cache,
            block_tokens=BLOCK_TOKENS,
        )


CASES: Final = (
    Case(name="chat, half loaded", load=0.45, inputs=500.0, outputs=200.0, seed=1),
    Case(name="chat, two replicas", load=0.65, inputs=500.0, outputs=200.0, replicas=2, seed=2),
    Case(name="chat, near the edge", load=0.85, inputs=500.0, outputs=200.0, seed=3),
    Case(name="long prompts", load=0.7, inputs=3000.0, outputs=150.0, sequences=64, seed=4),
    Case(name="long answers, small steps", load=0.75, inputs=300.0, outputs=600.0, tokens=512, seed=5),
)

PROMPTS_MOSTLY: Final = Case(name="summaries", load=0.8, inputs=2000.0, outputs=30.0, sequences=64, seed=6)
"""Prefill takes most of the time: waiting behind other prompts is most of a first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of one case, as predicted and as seen."""

    figure: str
    predicted: float
    seen: float
    tolerance: float
    is_relative: bool

    @property
    def error(self) -> float:
        """Error in the measure of the tolerance."""
        return (self.predicted - self.seen) / (self.seen if self.is_relative else 1.0)

    def __str__(self) -> str:
        return (
            f"{self.figure:24} predicted {self.predicted:9.5f}   seen {self.seen:9.5f}   "
            f"error {self.error:+7.3f}   tolerance {self.tolerance:.2f}"
        )


def lengths(random: np.random.Generator, mean: float, cv: float) -> NDArray[np.int64]:
    sigma = np.sqrt(np.log1p(cv * cv))
    drawn = mean * random.lognormal(-0.5 * sigma * sigma, sigma, REQUESTS)
    return np.asarray(np.clip(np.round(drawn), 2, 16_384), dtype=np.int64)


def simulated(case: Case, times: Array, requests: list[Request]) -> tuple[Array, Array, Array]:
    """Return times to first token [s], times between tokens [s], and how many tokens saw each of the latter."""
    pool = [
        Replica(
            limits=Limits(max_num_seqs=case.sequences, max_num_batched_tokens=case.tokens),
            blocks=BlockPool(int(case.cache // BLOCK_TOKENS), BLOCK_TOKENS),
            step_time_s=step_time_s,
        )
        for _ in range(case.replicas)
    ]
    firsts: list[float] = []
    tokens: list[Tokens] = []
    for request, time_s in zip(requests, times, strict=True):
        for replica in pool:
            progress = replica.advance(float(time_s))
            if request.number > REQUESTS // 10:
                firsts += [at_s - times[each.number] for each, at_s in progress.first_tokens]
                tokens += progress.tokens
        min(pool, key=lambda each: each.in_flight).submit(request, float(time_s))
    steps_s = np.array([each.step_s for each in tokens])
    return np.array(firsts), steps_s, np.array([each.steps * each.sequences for each in tokens], dtype=np.float64)


@cache
def compared(case: Case) -> list[Row]:
    """Return every figure of a case."""
    random = np.random.default_rng(case.seed)
    inputs, outputs = lengths(random, case.inputs, 1.0), lengths(random, case.outputs, 0.8)
    workload = Workload.from_samples(inputs, outputs)
    rate = case.load * case.replicas * capacity(case.station, workload).rate_per_s
    times = np.cumsum(random.exponential(1.0 / rate, REQUESTS))
    requests = [Request(k, int(i), int(o)) for k, (i, o) in enumerate(zip(inputs, outputs, strict=True))]
    expected = predict(case.station, workload, Arrivals(rate_per_s=rate), replicas=case.replicas)
    return rows(expected, *simulated(case, times, requests))


def rows(expected: Prediction, firsts_s: Array, steps_s: Array, weights: Array) -> list[Row]:
    means = [
        ("mean ITL [s]", expected.itl_mean_s, np.average(steps_s, weights=weights), MEAN_ITL),
        ("mean TTFT [s]", expected.ttft_mean_s, np.mean(firsts_s), MEAN_TTFT),
    ]
    ratios = []
    for times in TTFT_OBJECTIVES:
        objective_s = times * expected.ttft_mean_s
        seen = np.mean(firsts_s <= objective_s)
        ratios.append((f"P(TTFT <= {objective_s * 1e3:.1f} ms)", expected.ttft_probability(objective_s), seen))
    for times in ITL_OBJECTIVES:
        objective_s = times * expected.itl_mean_s
        seen = np.average(steps_s <= objective_s, weights=weights)
        ratios.append((f"P(ITL <= {objective_s * 1e3:.1f} ms)", expected.itl_probability(objective_s), seen))
    return [
        Row(figure=name, predicted=value, seen=float(seen), tolerance=tolerance, is_relative=True)
        for name, value, seen, tolerance in means
    ] + [
        Row(figure=name, predicted=value, seen=float(seen), tolerance=AT_OBJECTIVE, is_relative=False)
        for name, value, seen in ratios
    ]


def check(case: Case, kind: str) -> None:
    table = compared(case)
    missed = [row.figure for row in table if kind in row.figure and not abs(row.error) <= row.tolerance]
    print("\n".join([f"{case.name}, load {case.load}", *map(str, table)]))
    assert [] == missed


@pytest.mark.parametrize("case", [*CASES, PROMPTS_MOSTLY], ids=lambda case: case.name)
def test_times_to_first_token_lie_within_the_declared_tolerances_of_a_simulation(case: Case) -> None:
    check(case, "TTFT")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_times_between_tokens_lie_within_the_declared_tolerances_of_a_simulation(case: Case) -> None:
    check(case, "ITL")


@pytest.mark.xfail(strict=True, reason="where prefill takes most of the time, the ITL is predicted 15 % too short")
def test_times_between_tokens_of_short_answers_to_long_prompts_are_known_to_be_too_short() -> None:
    check(PROMPTS_MOSTLY, "ITL")
