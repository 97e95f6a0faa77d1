"""Sizing questions drawn by chance: a real model on a real accelerator, a workload, a load, objectives.

Equal seeds give equal questions. Nothing of the closed form decides which questions are asked, but for their size: the
load is what the closed form takes 1 to 32 replicas for, and the limits of half of the replicas are those it would pick.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

import numpy as np

from poolwright.forecast.burst import rate_levels
from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.memory import memory_plan
from poolwright.perf.replica import ReplicaConfig, ReplicaError
from poolwright.perf.step_time import step_law
from poolwright.planner.candidates import memory_of, station_of, step_time_of
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import batch_limits, feasible_rates
from poolwright.queueing.station import Station, kv_limit
from poolwright.queueing.step_grid import StepTime
from poolwright.queueing.workload import Arrivals, RateDistribution, Workload

MODELS: Final = ("llama-3.1-8b", "qwen2.5-14b", "mistral-small-24b", "qwen2.5-32b", "llama-3.1-70b", "qwen3-30b-a3b")
ACCELERATORS: Final = ("l4", "l40s", "a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "mi300x", "gaudi3")
DEGREES: Final = (1, 2, 4, 8)
PERCENTILES: Final = (0.9, 0.95, 0.99)
DEFAULT_SHARE: Final = 0.5
"""Share of questions with the limits that engines ship with [ratio]."""
MOST_REPLICAS: Final = 32
SAMPLES: Final = 4000
"""Joint lengths that stand for a distribution [requests]."""
MOST_TOKENS: Final = 16_384.0
"""Longest prompt and longest answer [tokens]."""
DEFAULT_SEQUENCES, DEFAULT_TOKENS = 256, 2048
"""Limits that engines ship with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One question: how many of these replicas for that load."""

    name: str
    lengths: str
    station: Station
    workload: Workload
    rates: Arrivals | RateDistribution
    objectives: Objectives
    default_limits: bool

    @property
    def is_bursty(self) -> bool:
        """Whether rates are spread."""
        return isinstance(self.rates, RateDistribution)


def scenarios(count: int, seed: int, largest: int = MOST_REPLICAS) -> list[Scenario]:
    """Return so many questions, with loads for about ``largest`` replicas at most."""
    chance = np.random.Generator(np.random.PCG64(seed))
    return list(islice(_endless(chance, largest), count))


def _endless(chance: np.random.Generator, largest: int) -> Iterator[Scenario]:
    while True:
        found = _drawn(chance, largest)
        if found is not None:
            yield found


def _drawn(chance: np.random.Generator, largest: int) -> Scenario | None:
    """Return one question, None where nothing drawn could serve its model within its objectives."""
    model, accelerator = str(chance.choice(MODELS)), str(chance.choice(ACCELERATORS))
    degree = int(chance.choice(DEGREES))
    lengths, workload = workload_drawn(chance)
    goal = _goal_drawn(chance)
    size = float(np.exp(chance.uniform(np.log(0.7), np.log(largest))))
    default_limits, spread = bool(chance.random() < DEFAULT_SHARE), float(chance.choice([0.0, 0.0, 5.0, 20.0]))
    config = _config(model, accelerator, degree)
    if config is None:
        return None
    law = step_time_of(step_law(config))
    objectives = _objectives(law, workload, goal)
    station, rate = _station(config, law, workload, objectives, default_limits=default_limits)
    if rate <= 0.0:
        return None
    return Scenario(
        name=f"{model} on {degree} x {accelerator}",
        lengths=lengths,
        station=station,
        workload=workload,
        rates=_rates(rate * size, spread),
        objectives=objectives,
        default_limits=default_limits,
    )


def workload_drawn(chance: np.random.Generator) -> tuple[str, Workload]:
    """Return lengths of one of three kinds, with means as chats, documents and agents have."""
    inputs = float(np.exp(chance.uniform(np.log(100.0), np.log(4000.0))))
    outputs = float(np.exp(chance.uniform(np.log(30.0), np.log(800.0))))
    kind = str(chance.choice(["fixed", "exponential", "lognormal", "lognormal"]))
    spread = float(chance.uniform(0.5, 1.6))
    return kind, workload_of(kind, inputs, outputs, chance, spread)


def workload_of(kind: str, inputs: float, outputs: float, chance: np.random.Generator, spread: float) -> Workload:
    """Return lengths with these means; ``spread`` is the coefficient of variation of lognormal ones."""

    def drawn(mean: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if kind == "fixed":
            return np.full(1, mean)
        if kind == "exponential":
            return chance.exponential(mean, SAMPLES)
        sigma = np.sqrt(np.log1p(spread**2))
        return chance.lognormal(np.log(mean) - sigma**2 / 2.0, sigma, SAMPLES)

    prompts, answers = (np.clip(np.rint(drawn(mean)), 1.0, MOST_TOKENS) for mean in (inputs, outputs))
    return Workload.from_samples(prompts, answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    """Objectives in multiples of what an idle replica does; 0 where there is none."""

    percentile_ratio: float
    ttft: float
    itl: float
    end_to_end: float


def _goal_drawn(chance: np.random.Generator) -> _Goal:
    kind = str(chance.choice(["ttft", "ttft and itl", "ttft and itl", "end to end"]))
    return _Goal(
        percentile_ratio=float(chance.choice(PERCENTILES)),
        ttft=float(chance.uniform(3.0, 15.0)) if "ttft" in kind else 0.0,
        itl=float(chance.uniform(1.3, 5.0)) if "itl" in kind else 0.0,
        end_to_end=float(chance.uniform(1.5, 5.0)) if kind == "end to end" else 0.0,
    )


def _objectives(law: StepTime, workload: Workload, goal: _Goal) -> Objectives:
    """Return objectives for a prompt and an answer of about the percentile's length."""
    context = workload.moments.c
    prompt = float(np.quantile(workload.input_tokens, goal.percentile_ratio))
    answer = float(np.quantile(workload.output_tokens, goal.percentile_ratio))
    first = float(law(np.array(0.0), np.array(context), np.array(min(prompt, 2048.0)))) * max(prompt / 2048.0, 1.0)
    between = float(law(np.array(1.0), np.array(context), np.array(0.0)))
    whole = first + answer * between
    return Objectives(
        percentile_ratio=goal.percentile_ratio,
        ttft_s=goal.ttft * first or None,
        itl_s=goal.itl * between or None,
        end_to_end_s=goal.end_to_end * whole or None,
    )


@lru_cache
def _config(model: str, accelerator: str, degree: int) -> ReplicaConfig | None:
    catalogue = load_catalogue()
    try:
        config = ReplicaConfig(
            accelerator=catalogue.accelerator(accelerator),
            model=catalogue.model(model),
            weight_format="bf16",
            kv_format="bf16",
            tensor_parallel=degree,
        )
    except ReplicaError:
        return None
    memory = memory_plan(config, max_num_seqs=256, max_num_batched_tokens=2048, context_tokens=1024.0)
    return config if memory.fits else None


def _station(
    config: ReplicaConfig, law: StepTime, workload: Workload, objectives: Objectives, *, default_limits: bool
) -> tuple[Station, float]:
    """Return the replica and the rate [1/s] that it alone serves within the objectives; 0 where it serves none."""
    memory = memory_of(config, DEFAULT_SEQUENCES, DEFAULT_TOKENS, workload.moments.c)
    sequences, tokens = DEFAULT_SEQUENCES, DEFAULT_TOKENS
    if not default_limits:
        chosen = batch_limits(
            law,
            workload,
            objectives,
            kv_capacity_tokens=memory.kv_capacity_tokens,
            block_tokens=config.block_tokens,
        )
        sequences, tokens = chosen.max_num_seqs, chosen.max_num_batched_tokens
    # No planner runs a limit above what the cache holds.
    fits = int(kv_limit(workload.moments, memory.kv_capacity_tokens, config.block_tokens))
    longest = float(np.max(workload.input_tokens + workload.output_tokens))
    if fits < 1 or longest > memory.kv_capacity_tokens / 2.0:
        return station_of(config, law, memory, 1, tokens), 0.0
    station = station_of(config, law, memory, min(sequences, fits), tokens)
    rates = feasible_rates(
        station.grid(workload),
        workload,
        objectives,
        np.array([float(station.max_num_seqs)]),
        np.array([float(tokens)]),
        memory.kv_capacity_tokens,
        config.block_tokens,
    )
    return station, float(rates[0])


def _rates(rate_per_s: float, dispersion: float) -> Arrivals | RateDistribution:
    levels, weights = rate_levels(rate_per_s, dispersion)
    if len(levels) == 1:
        return Arrivals(rate_per_s=rate_per_s)
    return RateDistribution(rates_per_s=levels, weights=weights)
