"""Each way to run a tier's model, computed: does it fit, with which limits, and what does a replica serve with them.

The list of ways is ``menu``'s, the choice is ``optimise``'s. Equations (10.2) and (10.3) of docs/model.md.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar

import numpy as np

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.model_shape import ModelShape
from poolwright.perf.memory import MemoryPlan, memory_plan
from poolwright.perf.replica import ReplicaConfig, ReplicaError
from poolwright.perf.step_time import StepLaw, step_law
from poolwright.planner.held import held_tokens, most_sustained
from poolwright.planner.menu import Option
from poolwright.planner.outcome import Load
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import BatchLimits, batch_limits, feasible_rates
from poolwright.queueing.station import Station, capacity
from poolwright.queueing.step_grid import StepTime
from poolwright.queueing.workload import Array, Workload

LENGTH_STEP: Final = 0.05
"""Width of the bins that mean lengths are rounded to [1, natural logarithm]: a plan then changes with the load and not
with every digit of a mean; the rounding moves capacity by 2.5 % at most."""

FIRST_SEQUENCES, FIRST_TOKENS = 256, 2048
"""Limits for which memory is looked at before the real ones are known: vLLM's defaults on devices under 70 GiB."""

MEMO: Final = 4096
"""Candidates remembered: some hundred pools' worth."""

Value = TypeVar("Value")


class Same(Generic[Value]):
    """A value compared by identity, so that catalogue entries (which hold mappings) can be keys of a memo."""

    def __init__(self, value: Value) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run the model.

    Attributes
    ----------
    config, memory
        The replica and what fits into it.
    station
        The replica as the queueing formulas see it, with its limits.
    limits
        The best limits, and the rate [1/s] that a replica serves with them within the objectives; 0 is infeasible.
    floor_ttft_s, floor_itl_s
        Least times on an idle replica [s]: no number of replicas gets below.
    held_tokens
        Tokens of the cache that sessions hold between their turns at that rate: no batch may count on them.
    """

    config: ReplicaConfig
    memory: MemoryPlan
    station: Station
    limits: BatchLimits
    floor_ttft_s: float
    floor_itl_s: float
    held_tokens: float = 0.0

    @property
    def is_feasible(self) -> bool:
        """Whether any load at all is served within the objectives."""
        return self.limits.rate_per_s > 0.0

    @property
    def name(self) -> str:
        """Short name for people."""
        config = self.config
        return f"{config.accelerator.name} {config.weight_format} tp{config.tensor_parallel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A way that cannot run the model, and why, with its figures."""

    name: str
    detail: str


def workload_of(load: Load) -> Workload:
    """Return the workload of a load, its means rounded to bins of ``LENGTH_STEP``."""
    return _workload(
        _rounded(load.input_tokens_mean), _rounded(load.output_tokens_mean), round(load.cached_prefix_ratio, 2)
    )


def _rounded(tokens: float) -> float:
    return math.exp(round(math.log(max(tokens, 1.0)) / LENGTH_STEP) * LENGTH_STEP)


@lru_cache(maxsize=MEMO)
def _workload(inputs: float, outputs: float, cached: float) -> Workload:
    return Workload.from_means(inputs, outputs, cached_prefix_ratio=cached)


def candidates(
    model: ModelShape, options: Iterable[Option], load: Load, objectives: Objectives
) -> tuple[tuple[Candidate, ...], tuple[Rejected, ...]]:
    """Return computed candidates, and those that cannot run at all.

    Degrees of tensor parallelism are tried upwards until a replica's rate per accelerator falls: beyond that, more
    accelerators per replica only cost more.
    """
    workload = workload_of(load)
    found: list[Candidate] = []
    rejected: list[Rejected] = []
    best: dict[tuple[str, str, str], float] = {}
    for option in options:
        family = (option.accelerator.name, option.weight_format, option.kv_format)
        if math.isinf(best.get(family, 0.0)):
            continue
        held = _rounded(load.held_token_s) if load.held_token_s > 0.0 else 0.0
        key = option_key(option)
        made = _candidate(Same(model), Same(option.accelerator), key, Same(workload), objectives, held)
        if isinstance(made, Rejected):
            rejected.append(made)
            continue
        found.append(made)
        each = made.limits.rate_per_s / made.config.accelerators
        # Infinity marks a family whose larger degrees are not worth a look any more.
        best[family] = math.inf if 0.0 < each < best.get(family, 0.0) else each
    return tuple(found), tuple(rejected)


def option_key(option: Option) -> tuple[str, str, int]:
    """Return what tells options of one accelerator apart."""
    return option.weight_format, option.kv_format, option.tensor_parallel


@lru_cache(maxsize=MEMO)
def _candidate(
    model: Same[ModelShape],
    accelerator: Same[Accelerator],
    key: tuple[str, str, int],
    workload: Same[Workload],
    objectives: Objectives,
    held_token_s: float,
) -> Candidate | Rejected:
    weight_format, kv_format, degree = key
    name = f"{accelerator.value.name} {weight_format} tp{degree}"
    try:
        config = ReplicaConfig(
            accelerator=accelerator.value,
            model=model.value,
            weight_format=weight_format,
            kv_format=kv_format,
            tensor_parallel=degree,
        )
    except ReplicaError as error:
        return Rejected(name=name, detail=str(error))
    context = workload.value.moments.c
    memory = memory_of(config, FIRST_SEQUENCES, FIRST_TOKENS, context)
    if not memory.fits:
        return Rejected(name=name, detail=_misfit(config, memory))
    law = step_time_of(step_law(config))
    held = 0.0
    if held_token_s > 0.0:
        most = most_sustained(law, workload.value, memory.kv_capacity_tokens, config.block_tokens)
        held = held_tokens(most, memory.kv_capacity_tokens, held_token_s)
    limits = batch_limits(
        law,
        workload.value,
        objectives,
        kv_capacity_tokens=max(memory.kv_capacity_tokens - held, 0.0),
        block_tokens=config.block_tokens,
    )
    memory = memory_of(config, limits.max_num_seqs, limits.max_num_batched_tokens, context)
    return Candidate(
        config=config,
        memory=memory,
        station=station_of(config, law, memory, limits.max_num_seqs, limits.max_num_batched_tokens, held),
        limits=limits,
        held_tokens=held,
        floor_ttft_s=_seconds(law, 0.0, context, workload.value.mean_input),
        floor_itl_s=_seconds(law, 1.0, context, 0.0),
    )


def sustained_per_s(candidate: Candidate, workload: Workload) -> float:
    """Return the rate [1/s] that one replica sustains without any objective."""
    return _sustained(Same(candidate), Same(workload))


@lru_cache(maxsize=MEMO)
def _sustained(candidate: Same[Candidate], workload: Same[Workload]) -> float:
    return capacity(candidate.value.station, workload.value).rate_per_s


def with_limits(
    candidate: Candidate, workload: Workload, objectives: Objectives, *, sequences: int, tokens: int
) -> Candidate:
    """Return the candidate with given limits instead of the best ones: what a running replica has."""
    return _with_limits(Same(candidate), Same(workload), objectives, sequences, tokens)


@lru_cache(maxsize=MEMO)
def _with_limits(
    best: Same[Candidate], same: Same[Workload], objectives: Objectives, sequences: int, tokens: int
) -> Candidate:
    candidate, workload = best.value, same.value
    config = candidate.config
    memory = memory_of(config, sequences, tokens, workload.moments.c)
    law = candidate.station.step_time
    station = station_of(config, law, memory, sequences, tokens, candidate.held_tokens)
    rates = feasible_rates(
        station.grid(workload),
        workload,
        objectives,
        np.array([float(sequences)]),
        np.array([float(tokens)]),
        station.kv_capacity_tokens,
        config.block_tokens,
    )
    limits = BatchLimits(
        max_num_seqs=sequences,
        max_num_batched_tokens=tokens,
        kv_limit=candidate.limits.kv_limit,
        rate_per_s=float(rates[0]),
        rate_curve=candidate.limits.rate_curve,
    )
    return Candidate(
        config=config,
        memory=memory,
        station=station,
        limits=limits,
        held_tokens=candidate.held_tokens,
        floor_ttft_s=candidate.floor_ttft_s,
        floor_itl_s=candidate.floor_itl_s,
    )


def step_time_of(law: StepLaw) -> StepTime:
    """Return a step law in the form in which queueing takes it."""

    def seconds(sequences: Array, context: Array, prefill: Array) -> Array:
        return law.seconds(decode_sequences=sequences, context_tokens=context, prefill_tokens=prefill)

    return seconds


def memory_of(config: ReplicaConfig, sequences: int, tokens: int, context_tokens: float) -> MemoryPlan:
    """Return a replica's memory at limits and a mean context."""
    return memory_plan(
        config, max_num_seqs=sequences, max_num_batched_tokens=tokens, context_tokens=max(context_tokens, 1.0)
    )


def station_of(
    config: ReplicaConfig, law: StepTime, memory: MemoryPlan, sequences: int, tokens: int, held_tokens: float = 0.0
) -> Station:
    """Return a replica as a station, with the cache that is left beside held tokens."""
    return Station(
        step_time=law,
        max_num_seqs=sequences,
        max_num_batched_tokens=tokens,
        kv_capacity_tokens=max(memory.kv_capacity_tokens - held_tokens, 0.0),
        block_tokens=config.block_tokens,
    )


def _seconds(law: Callable[[Array, Array, Array], Array], sequences: float, context: float, prefill: float) -> float:
    return float(law(np.array(sequences), np.array(context), np.array(prefill)))


def _misfit(config: ReplicaConfig, memory: MemoryPlan) -> str:
    usable = config.accelerator.memory_bytes * config.memory_utilisation_ratio
    needed = memory.weight_bytes + memory.activation_bytes + memory.reserve_bytes
    return (
        f"{needed / 1e9:.1f} GB of weights, activations and reserve on each of {config.tensor_parallel} "
        f"{config.accelerator.name} with {usable / 1e9:.1f} GB usable leave no cache for one sequence"
    )
