"""Seconds of one engine step, by operator class, from the work of a rank and the efficiencies of its kernels.

Each class takes the smooth maximum of its compute and its memory time; latencies and host work are added; two floors are
asserted on every evaluation. Vectorised by broadcasting. Equations (3.x) of docs/model.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.perf.efficiency import (
    ATTENTION_COMPUTE_RATIO,
    DATASHEET,
    ELEMENTWISE_STREAM_RATIO,
    EXPERT_STREAM_FACTOR,
    GEMM_TILE_TOKENS,
    KV_STREAM_RATIO,
    LINEAR_COMPUTE_RATIO,
    ROUTING_SKEW,
    Efficiencies,
    Factor,
)
from poolwright.perf.experts import busiest_rank_factor, padded_visits, touched_experts
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.work import AttentionWork, Number, StepWork, stack, step_work

Array = NDArray[np.float64]

ROUNDING: Final = 1e-9
"""Relative slack of the floors for rounding [1]."""


class FloorViolation(ArithmeticError):  # noqa: N818 - it violates a floor, which is its name
    """A step time below what memory or compute allow: a defect of the model, never of its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step works on, in tokens and sequences of the whole replica; arrays of any broadcastable shapes.

    Attributes
    ----------
    decode_sequences
        Sequences that get a token each.
    context_tokens
        Their mean context.
    prefill_tokens
        Prompt tokens in the step.
    prefill_context_tokens
        Tokens that stand in the cache before them.
    prefill_sequences
        Prompts over which the prefill tokens are spread (a fraction of a prompt is allowed).
    tokens_per_sequence
        Tokens that each decoding sequence verifies at once: 1, or draft length + 1.
    """

    decode_sequences: Array
    context_tokens: Array
    prefill_tokens: Array
    prefill_context_tokens: Array
    prefill_sequences: Array
    tokens_per_sequence: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """One operator class of a step: its work per rank and the seconds that compute, memory and all together take."""

    flop: Array
    bytes: Array
    compute_s: Array
    memory_s: Array
    seconds: Array

    @property
    def binding(self) -> str:
        """What takes most of a single step: ``compute``, ``memory`` or ``latency``."""
        if float(np.sum(self.seconds)) <= 0.0:
            return "none"
        limits = {"compute": float(np.sum(self.compute_s)), "memory": float(np.sum(self.memory_s))}
        name = max(limits, key=lambda each: limits[each])
        return name if limits[name] > 0.0 else "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBreakdown:
    """A step by operator class, with its floors; shapes are those of the batch."""

    operators: Mapping[str, OperatorTime]
    total_s: Array
    weight_floor_s: Array
    compute_floor_s: Array

    @property
    def binding(self) -> str:
        """The operator class that takes most of a single step, and what binds it."""
        name = max(self.operators, key=lambda each: float(np.sum(self.operators[each].seconds)))
        return f"{name}: {self.operators[name].binding}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLaw:
    """Step time as a function of the batch, for one replica or for a stack of them (see ``candidate_law``)."""

    work: StepWork
    efficiencies: Efficiencies

    def seconds(
        self,
        *,
        decode_sequences: ArrayLike,
        context_tokens: ArrayLike,
        prefill_tokens: ArrayLike,
        prefill_context_tokens: ArrayLike = 0.0,
        prefill_sequences: ArrayLike = 1.0,
        tokens_per_sequence: ArrayLike = 1.0,
    ) -> Array:
        """Return the step time [s]; see ``step_time_s``."""
        return self.breakdown(
            _batch(
                decode_sequences,
                context_tokens,
                prefill_tokens,
                prefill_context_tokens,
                prefill_sequences,
                tokens_per_sequence,
            )
        ).total_s

    def breakdown(self, batch: Batch) -> StepBreakdown:
        """Return the step by operator class."""
        return _evaluate(self.work, self.efficiencies, batch)


def step_law(config: ReplicaConfig, efficiencies: Efficiencies = DATASHEET) -> StepLaw:
    """Return the step law of one replica: count its work once, evaluate it often."""
    return StepLaw(work=step_work(config), efficiencies=efficiencies)


def candidate_law(configs: Sequence[ReplicaConfig], efficiencies: Efficiencies = DATASHEET) -> StepLaw:
    """Return one law for several replicas; its results have shape ``(replicas, batches)``."""
    return StepLaw(work=stack([step_work(each) for each in configs]), efficiencies=efficiencies)


def step_time_s(
    config: ReplicaConfig,
    *,
    decode_sequences: ArrayLike,
    context_tokens: ArrayLike,
    prefill_tokens: ArrayLike,
    prefill_context_tokens: ArrayLike = 0.0,
    prefill_sequences: ArrayLike = 1.0,
    tokens_per_sequence: ArrayLike = 1.0,
    efficiencies: Efficiencies = DATASHEET,
) -> Array:
    """Return the time of one engine step [s], equation (3.1).

    Parameters
    ----------
    config
        The replica.
    decode_sequences
        Sequences that get a token each, of the whole replica, >= 0.
    context_tokens
        Their mean context [tokens], >= 0.
    prefill_tokens
        Prompt tokens in the step [tokens], >= 0; cached prefixes do not count.
    prefill_context_tokens
        Tokens in the cache before those (cached prefix, earlier chunks) [tokens].
    prefill_sequences
        Prompts over which the prefill tokens are spread; attention within a prompt grows with its square.
    tokens_per_sequence
        Tokens verified per sequence: draft length + 1 with speculative decoding.
    efficiencies
        Factors on the sourced constants.

    Returns
    -------
    array of float64
        Broadcast shape of the inputs, > 0, never below weight bytes over bandwidth nor FLOP over peak.

    Raises
    ------
    FloorViolation
        The result would pass a floor; that is a defect.

    Notes
    -----
    About 0.5 us per element and attention window. Errs low where ragged lengths, stragglers or the host intervene.
    """
    return step_law(config, efficiencies).seconds(
        decode_sequences=decode_sequences,
        context_tokens=context_tokens,
        prefill_tokens=prefill_tokens,
        prefill_context_tokens=prefill_context_tokens,
        prefill_sequences=prefill_sequences,
        tokens_per_sequence=tokens_per_sequence,
    )


def step_breakdown(
    config: ReplicaConfig,
    *,
    decode_sequences: ArrayLike,
    context_tokens: ArrayLike,
    prefill_tokens: ArrayLike,
    prefill_context_tokens: ArrayLike = 0.0,
    prefill_sequences: ArrayLike = 1.0,
    tokens_per_sequence: ArrayLike = 1.0,
    efficiencies: Efficiencies = DATASHEET,
) -> StepBreakdown:
    """Return the same step by operator class: FLOP, bytes, seconds and what binds. Parameters as ``step_time_s``."""
    batch = _batch(
        decode_sequences,
        context_tokens,
        prefill_tokens,
        prefill_context_tokens,
        prefill_sequences,
        tokens_per_sequence,
    )
    return step_law(config, efficiencies).breakdown(batch)


def _batch(*values: ArrayLike) -> Batch:
    arrays = [np.asarray(each, dtype=np.float64) for each in values]
    return Batch(
        decode_sequences=arrays[0],
        context_tokens=arrays[1],
        prefill_tokens=arrays[2],
        prefill_context_tokens=arrays[3],
        prefill_sequences=arrays[4],
        tokens_per_sequence=arrays[5],
    )


def smooth_maximum(first: Array, second: Array) -> Array:
    """Return ``(a^4 + b^4)^(1/4)``: the larger of two times, a little more where they are close, equation (3.2)."""
    a, b = first * first, second * second
    result: Array = np.sqrt(np.sqrt(a * a + b * b))
    return result


def _ratio(base: Number, factor: Factor) -> Array:
    """Return an efficiency moved by a factor, never above 1: no calibration passes a floor."""
    return np.minimum(np.asarray(base) * factor, 1.0)


def _operator(flop: Array, size: Array, compute_s: Array, memory_s: Array) -> OperatorTime:
    return OperatorTime(
        flop=flop, bytes=size, compute_s=compute_s, memory_s=memory_s, seconds=smooth_maximum(compute_s, memory_s)
    )


def _latency(seconds: Array) -> OperatorTime:
    zero = np.zeros(())
    return OperatorTime(flop=zero, bytes=zero, compute_s=zero, memory_s=zero, seconds=seconds)


def _evaluate(work: StepWork, factors: Efficiencies, batch: Batch) -> StepBreakdown:
    """Return the breakdown of a batch: a pipeline works on one micro-batch per stage."""
    sequences = batch.decode_sequences / work.stages
    queries = sequences * batch.tokens_per_sequence
    prompt = batch.prefill_tokens / work.stages
    tokens = queries + prompt
    shard_tokens = tokens / work.data_groups
    operators = {
        "dense": _dense(work, factors, shard_tokens),
        "experts": _experts(work, factors, tokens),
        "attention": _decode_attention(work, factors, batch, sequences / work.data_groups),
        "prefill attention": _prefill_attention(work, factors, batch, prompt / work.data_groups),
        "state": _state(work, factors, shard_tokens, sequences / work.data_groups),
        "head": _head(work, factors, queries, batch, prompt),
        "elementwise": _elementwise(work, shard_tokens),
        "collectives": _latency(_collectives_s(work, factors, tokens, shard_tokens)),
        "kernel gaps": _latency(np.asarray(work.kernels * work.kernel_latency_s * factors.kernel_latency)),
        "host": _latency(
            factors.step_overhead * (work.step_overhead_s + work.sequence_overhead_s * batch.decode_sequences)
        ),
    }
    return _summed(work, factors, operators, prompt)


def _summed(work: StepWork, factors: Efficiencies, operators: dict[str, OperatorTime], prompt: Array) -> StepBreakdown:
    """Return the sum, not below the host's launch of a step without graph, and check both floors."""
    device_s = sum((each.seconds for each in operators.values()), start=np.zeros(()))
    launch_s = factors.launch * work.launch_s * np.minimum(1.0, np.maximum(prompt, work.launches_decode))
    launched_s = np.sqrt(device_s * device_s + launch_s * launch_s)
    operators["launch"] = _latency(launched_s - device_s)
    weight_floor_s = (operators["dense"].bytes + operators["experts"].bytes + operators["head"].bytes) / work.bandwidth
    compute_floor_s = (
        operators["dense"].flop / work.dense_peak
        + operators["experts"].flop / work.expert_peak
        + sum(operators[name].flop for name in ("attention", "prefill attention", "state", "head")) / work.plain_peak
    )
    floor_s = np.maximum(weight_floor_s, compute_floor_s)
    total_s = np.maximum(launched_s * factors.step, floor_s)
    if np.any(total_s < floor_s * (1.0 - ROUNDING)) or not np.all(np.isfinite(total_s)):
        raise FloorViolation(f"step times {total_s} s pass the floors {floor_s} s")
    return StepBreakdown(
        operators=operators, total_s=total_s, weight_floor_s=weight_floor_s, compute_floor_s=compute_floor_s
    )


def _dense(work: StepWork, factors: Efficiencies, tokens: Array) -> OperatorTime:
    """Projections and dense MLPs, equation (3.3): tiles pad the tokens."""
    flop = work.dense_flop * tokens
    rate = work.dense_peak * _ratio(work.dense_compute_ratio, factors.gemm)
    padded = np.where(tokens > 0.0, tokens + GEMM_TILE_TOKENS, 0.0)
    memory_s = work.dense_bytes / (work.bandwidth * _ratio(work.dense_stream_ratio, factors.weight_bandwidth))
    return _operator(flop, np.asarray(work.dense_bytes), work.dense_flop * padded / rate, memory_s)


def _experts(work: StepWork, factors: Efficiencies, tokens: Array) -> OperatorTime:
    """Routed experts, equations (3.5) to (3.8): only touched ones are read, the busiest rank decides."""
    experts, chosen = np.asarray(work.experts), np.asarray(work.experts_per_token)
    touched = touched_experts(tokens, experts, chosen, ROUTING_SKEW * factors.routing_skew)
    visits = tokens * chosen / work.expert_groups
    uneven = busiest_rank_factor(visits, np.asarray(work.expert_groups))
    busy = np.minimum(touched / work.expert_groups * uneven, experts / work.expert_groups)
    size = work.expert_layers * work.expert_bytes * busy
    flop = work.expert_layers * work.expert_flop * visits
    stream = _ratio(work.expert_stream_ratio * EXPERT_STREAM_FACTOR, factors.expert_bandwidth)
    rate = work.expert_peak * _ratio(work.expert_compute_ratio, factors.expert_gemm)
    padded = padded_visits(visits * uneven, busy)
    compute_s = work.expert_layers * work.expert_flop * padded / rate
    return _operator(flop, size, compute_s, size / (work.bandwidth * stream))


def _decode_attention(work: StepWork, factors: Efficiencies, batch: Batch, sequences: Array) -> OperatorTime:
    """Reads of the cache, equation (3.9): each sequence's whole context, or its window."""
    flop, size = np.zeros(()), np.zeros(())
    for each in work.attention:
        pairs = sequences * np.minimum(batch.context_tokens, each.window)
        size = size + each.kv_bytes * pairs
        flop = flop + each.decode_flop * pairs * batch.tokens_per_sequence
    rate = work.plain_peak * _ratio(ATTENTION_COMPUTE_RATIO, factors.attention)
    stream = _ratio(KV_STREAM_RATIO, factors.kv_bandwidth)
    return _operator(flop, size, flop / rate, size / (work.bandwidth * stream))


def _prefill_attention(work: StepWork, factors: Efficiencies, batch: Batch, tokens: Array) -> OperatorTime:
    """Causal scores of prompts, equation (3.10), and the cache they read and write."""
    length = batch.prefill_tokens / np.maximum(batch.prefill_sequences, 1e-9)
    start = batch.prefill_context_tokens
    flop, size = np.zeros(()), np.zeros(())
    for each in work.attention:
        flop = flop + each.prefill_flop * tokens * _mean_attended(start, length, each)
        size = size + each.kv_bytes * (tokens + np.where(length > 0.0, start * tokens / np.maximum(length, 1.0), 0.0))
    rate = work.plain_peak * _ratio(ATTENTION_COMPUTE_RATIO, factors.attention)
    stream = _ratio(KV_STREAM_RATIO, factors.kv_bandwidth)
    return _operator(flop, size, flop / rate, size / (work.bandwidth * stream))


def _mean_attended(start: Array, length: Array, attention: AttentionWork) -> Array:
    """Return how many cached tokens a prompt token attends to on average, inside a window."""

    def integral(position: Array) -> Array:
        kept = np.minimum(position, attention.window)
        return kept * (position - 0.5 * kept)

    safe = np.maximum(length, 1e-9)
    return (integral(start + safe) - integral(start)) / safe


def _state(work: StepWork, factors: Efficiencies, tokens: Array, sequences: Array) -> OperatorTime:
    """Linear layers, equation (3.11): a constant state is read and written per sequence, scanned per token."""
    flop = work.state_flop * tokens
    size = work.state_bytes * sequences
    rate = work.plain_peak * _ratio(LINEAR_COMPUTE_RATIO, factors.attention)
    return _operator(flop, size, flop / rate, size / (work.bandwidth * _ratio(KV_STREAM_RATIO, factors.kv_bandwidth)))


def _head(work: StepWork, factors: Efficiencies, queries: Array, batch: Batch, prompt: Array) -> OperatorTime:
    """Output head in 16 bits: one row per decoding token and per prompt that ends."""
    share = np.minimum(1.0, prompt)
    rows = (queries + share * batch.prefill_sequences / work.stages) / work.data_groups
    flop = work.head_flop * rows
    rate = work.plain_peak * _ratio(work.dense_compute_ratio, factors.gemm)
    memory_s = work.head_bytes / (work.bandwidth * _ratio(work.dense_stream_ratio, factors.weight_bandwidth))
    return _operator(flop, np.asarray(work.head_bytes), flop / rate, memory_s)


def _elementwise(work: StepWork, tokens: Array) -> OperatorTime:
    """Norms, rotations, activations: bytes only."""
    size = work.elementwise_bytes * tokens
    return _operator(np.zeros(()), size, np.zeros(()), size / (work.bandwidth * ELEMENTWISE_STREAM_RATIO))


def _collectives_s(work: StepWork, factors: Efficiencies, tokens: Array, shard_tokens: Array) -> Array:
    """Seconds of all-reduces, exchanges of experts and hand-overs between stages, equation (5.1)."""
    latency_s = work.reduce_latency_s + work.exchange_latency_s + work.hand_over_latency_s
    moved_s = (work.reduce_s_per_token + work.exchange_s_per_token + work.hand_over_s_per_token) * shard_tokens
    del tokens
    return factors.link_latency * latency_s + moved_s / factors.link_bandwidth
