"""Seconds of each operator class of a step, from the work of a rank and the efficiencies of its kernels.

Each takes the smooth maximum of its compute and its memory time; ``step_time`` adds them up. Equations (3.2) to (3.9)
of docs/model.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poolwright.perf.efficiency import (
    ATTENTION_COMPUTE_RATIO,
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
from poolwright.perf.work import AttentionWork, Number, StepWork

Array = NDArray[np.float64]


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


def latency(seconds: Array) -> OperatorTime:
    """Return pure waiting: neither FLOP nor bytes."""
    zero = np.zeros(())
    return OperatorTime(flop=zero, bytes=zero, compute_s=zero, memory_s=zero, seconds=seconds)


def dense(work: StepWork, factors: Efficiencies, tokens: Array) -> OperatorTime:
    """Projections and dense MLPs, equation (3.3): tiles pad the tokens."""
    flop = work.dense_flop * tokens
    rate = work.dense_peak * _ratio(work.dense_compute_ratio, factors.gemm)
    padded = np.where(tokens > 0.0, tokens + GEMM_TILE_TOKENS, 0.0)
    memory_s = work.dense_bytes / (work.bandwidth * _ratio(work.dense_stream_ratio, factors.weight_bandwidth))
    return _operator(flop, np.asarray(work.dense_bytes), work.dense_flop * padded / rate, memory_s)


def routed_experts(work: StepWork, factors: Efficiencies, tokens: Array) -> OperatorTime:
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


def decode_attention(work: StepWork, factors: Efficiencies, batch: Batch, sequences: Array) -> OperatorTime:
    """Reads of the cache, equation (3.9): each sequence's whole context, or its window."""
    flop, size = np.zeros(()), np.zeros(())
    for each in work.attention:
        pairs = sequences * np.minimum(batch.context_tokens, each.window)
        size = size + each.kv_bytes * pairs
        flop = flop + each.decode_flop * pairs * batch.tokens_per_sequence
    rate = work.plain_peak * _ratio(ATTENTION_COMPUTE_RATIO, factors.attention)
    stream = _ratio(KV_STREAM_RATIO, factors.kv_bandwidth)
    return _operator(flop, size, flop / rate, size / (work.bandwidth * stream))


def prefill_attention(work: StepWork, factors: Efficiencies, batch: Batch, tokens: Array) -> OperatorTime:
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


def recurrent_state(work: StepWork, factors: Efficiencies, tokens: Array, sequences: Array) -> OperatorTime:
    """Linear layers, equation (3.11): a constant state is read and written per sequence, scanned per token."""
    flop = work.state_flop * tokens
    size = work.state_bytes * sequences
    rate = work.plain_peak * _ratio(LINEAR_COMPUTE_RATIO, factors.attention)
    return _operator(flop, size, flop / rate, size / (work.bandwidth * _ratio(KV_STREAM_RATIO, factors.kv_bandwidth)))


def output_head(work: StepWork, factors: Efficiencies, queries: Array, batch: Batch, prompt: Array) -> OperatorTime:
    """Output head in 16 bits: one row per decoding token and per prompt that ends."""
    share = np.minimum(1.0, prompt)
    rows = (queries + share * batch.prefill_sequences / work.stages) / work.data_groups
    flop = work.head_flop * rows
    rate = work.plain_peak * _ratio(work.dense_compute_ratio, factors.gemm)
    memory_s = work.head_bytes / (work.bandwidth * _ratio(work.dense_stream_ratio, factors.weight_bandwidth))
    return _operator(flop, np.asarray(work.head_bytes), flop / rate, memory_s)


def elementwise(work: StepWork, tokens: Array) -> OperatorTime:
    """Norms, rotations, activations: bytes only."""
    size = work.elementwise_bytes * tokens
    return _operator(np.zeros(()), size, np.zeros(()), size / (work.bandwidth * ELEMENTWISE_STREAM_RATIO))


def collectives_s(work: StepWork, factors: Efficiencies, tokens: Array, shard_tokens: Array) -> Array:
    """Seconds of all-reduces, exchanges of experts and hand-overs between stages, equation (5.1)."""
    latency_s = work.reduce_latency_s + work.exchange_latency_s + work.hand_over_latency_s
    moved_s = (work.reduce_s_per_token + work.exchange_s_per_token + work.hand_over_s_per_token) * shard_tokens
    del tokens
    return factors.link_latency * latency_s + moved_s / factors.link_bandwidth
