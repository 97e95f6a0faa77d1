"""All that is said about one replica under a number of users: memory, step by operator class, latency, speed, cost.

Puts the room's answers side by side; how each is computed stands in its file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from poolwright.perf.closed_loop import OperatingPoint, Requests, resident_limit, settle
from poolwright.perf.cost import Cost, cost
from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.memory import MemoryPlan, memory_plan
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepBreakdown, step_breakdown, step_law


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a replica does, in SI units.

    Attributes
    ----------
    deployment
        Model, accelerator, formats and parallelism in words.
    binding
        What a decode step waits for most: operator class and resource.
    operators_s
        Seconds of a decode step by operator class.
    weight_floor_s, compute_floor_s
        Seconds below which no decode step can be.
    decode_sequences, resident_limit
        Mean sequences that decode; most that fit.
    tpot_s, ttft_s, wave_ttft_s
        Mean time per output token after the first; TTFT in steady state; TTFT when all users arrive at once.
    output_tokens_per_s, output_tokens_per_s_per_accelerator, requests_per_s
        Of the whole replica, and per accelerator.
    is_saturated
        Whether users wait because no further sequence fits.
    """

    deployment: Mapping[str, str | int]
    binding: str
    operators_s: Mapping[str, float]
    weight_floor_s: float
    compute_floor_s: float
    decode_sequences: float
    resident_limit: float
    tpot_s: float
    ttft_s: float
    wave_ttft_s: float
    output_tokens_per_s: float
    output_tokens_per_s_per_accelerator: float
    requests_per_s: float
    is_saturated: bool
    memory: MemoryPlan
    cost: Cost


def predict_replica(
    config: ReplicaConfig,
    *,
    input_tokens: float,
    output_tokens: float,
    concurrency: float,
    cached_prefix_ratio: float = 0.0,
    efficiencies: Efficiencies = DATASHEET,
    price_usd_per_s: float | None = None,
) -> Prediction:
    """Return what ``concurrency`` users see who each send a request when the last one is answered.

    Where weights alone do not fit, ``memory.fits`` is false and the rest describes one sequence that could not run.
    """
    requests = Requests(input_tokens=input_tokens, output_tokens=output_tokens, cached_prefix_ratio=cached_prefix_ratio)
    limit = resident_limit(config, requests)
    point = settle(step_law(config, efficiencies), requests, np.asarray(concurrency, dtype=np.float64), limit)
    context = input_tokens + 0.5 * output_tokens
    step = step_breakdown(
        config,
        decode_sequences=point.decode_sequences,
        context_tokens=context,
        prefill_tokens=0.0,
        efficiencies=efficiencies,
    )
    memory = memory_plan(
        config,
        max_num_seqs=max(1, round(float(limit))),
        max_num_batched_tokens=config.engine.token_budget,
        context_tokens=context,
    )
    speed = float(point.output_tokens_per_s)
    compute_ratio = _mean_compute_ratio(step, point, config, input_tokens * (1.0 - cached_prefix_ratio))
    return Prediction(
        deployment=_words(config),
        binding=step.binding,
        operators_s={name: float(each.seconds) for name, each in step.operators.items() if float(each.seconds) > 0.0},
        weight_floor_s=float(step.weight_floor_s),
        compute_floor_s=float(step.compute_floor_s),
        decode_sequences=float(point.decode_sequences),
        resident_limit=float(limit),
        tpot_s=float(point.tpot_s),
        ttft_s=float(point.later_ttft_s),
        wave_ttft_s=float(point.wave_ttft_s),
        output_tokens_per_s=speed,
        output_tokens_per_s_per_accelerator=speed / config.accelerators,
        requests_per_s=float(point.requests_per_s),
        is_saturated=bool(point.is_saturated),
        memory=memory,
        cost=cost(config, output_tokens_per_s=speed, compute_ratio=compute_ratio, price_usd_per_s=price_usd_per_s),
    )


def _mean_compute_ratio(
    step: StepBreakdown, point: OperatingPoint, config: ReplicaConfig, fresh_tokens: float
) -> float:
    """Return the share of time that peak compute would need: decode steps, and prompts of the replica's rate."""
    decode = float(step.compute_floor_s / point.tpot_s)
    prompt = step_breakdown(
        config, decode_sequences=0.0, context_tokens=0.0, prefill_tokens=max(fresh_tokens, 1.0)
    ).compute_floor_s
    return min(1.0, decode + float(prompt * point.requests_per_s))


def _words(config: ReplicaConfig) -> dict[str, str | int]:
    return {
        "model": config.model.name,
        "accelerator": config.accelerator.name,
        "weights": config.weight_format,
        "kv": config.kv_format,
        "engine": config.engine.name,
        "tensor_parallel": config.tensor_parallel,
        "pipeline_parallel": config.pipeline_parallel,
        "expert_parallel": config.expert_parallel,
        "accelerators": config.accelerators,
    }
