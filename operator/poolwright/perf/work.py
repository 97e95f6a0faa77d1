"""FLOP, bytes, collectives and kernels of one step, counted from the shapes: what a rank has to do, not how fast.

The result is a struct of numbers, or of arrays when several replicas are stacked; ``step_time`` turns it into seconds.
Equations (2.x) and (5.x) of docs/model.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poolwright.hardware.model_shape import Attention, AttentionKind
from poolwright.hardware.number_format import FORMATS
from poolwright.perf.overheads import ACTIVATION_BYTES, collectives, host, kernel_row, sparse_groups
from poolwright.perf.replica import ReplicaConfig

Number = float | NDArray[np.float64]

STATE_BYTES: Final = 4.0
"""Bytes of one value of recurrent state [bytes]: kept in 32 bits by Mamba and gated delta kernels."""

FLOP_PER_PRODUCT: Final = 2.0
"""One multiplication and one addition [flop]."""

ELEMENTWISE_PASSES: Final = 8.0
"""Reads and writes of the residual stream by two fused add-and-norm kernels of a layer [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionWork:
    """Attention of all layers that share one window.

    ``kv_bytes`` per cached token, FLOP per (query token, cached token) pair in decode and in prefill, ``window`` in
    tokens (infinite without), all of one rank.
    """

    kv_bytes: Number
    decode_flop: Number
    prefill_flop: Number
    window: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """What one rank does in a step; times a stage's passes where a pipeline has several.

    Fields ending in ``_flop`` are per token, ``_bytes`` per step unless named otherwise; peaks and rates are of one
    rank.
    """

    dense_bytes: Number
    dense_flop: Number
    dense_peak: Number
    dense_compute_ratio: Number
    dense_stream_ratio: Number
    projection_share: Number
    expert_layers: Number
    experts: Number
    experts_per_token: Number
    expert_bytes: Number
    expert_flop: Number
    expert_groups: Number
    expert_peak: Number
    expert_compute_ratio: Number
    expert_stream_ratio: Number
    head_bytes: Number
    head_flop: Number
    attention: tuple[AttentionWork, ...]
    state_bytes: Number
    state_flop: Number
    elementwise_bytes: Number
    plain_peak: Number
    bandwidth: Number
    reduce_count: Number
    reduce_latency_s: Number
    reduce_s_per_token: Number
    exchange_count: Number
    exchange_latency_s: Number
    exchange_s_per_token: Number
    hand_over_latency_s: Number
    hand_over_s_per_token: Number
    kernels: Number
    kernel_latency_s: Number
    launch_s: Number
    launches_decode: Number
    step_overhead_s: Number
    sequence_overhead_s: Number
    front_end_s: Number
    front_end_s_per_token: Number
    token_budget: Number
    admission_steps: Number
    balance_steps: Number
    prefill_alone: Number
    data_groups: Number
    stages: Number


def step_work(config: ReplicaConfig) -> StepWork:
    """Return the work of one step of a replica, per rank.

    A pipeline's stages are passed one after the other, so weights of all stages are counted; ``stages`` divides the
    batch.
    """
    return StepWork(
        **_dense(config),
        **_experts(config),
        **_attention(config),
        **_small(config),
        **collectives(config),
        **host(config),
        data_groups=float(config.attention_data_parallel),
        stages=float(config.pipeline_parallel),
    )


def stack(works: Sequence[StepWork]) -> StepWork:
    """Return several replicas' works as columns ``(replicas, 1)``, so that batches broadcast along the second axis."""
    slots = max(len(each.attention) for each in works)
    padded = [_padded(each.attention, slots) for each in works]
    attention = tuple(
        AttentionWork(**{name: _column([slot[index] for slot in padded], name) for name in _names(AttentionWork)})
        for index in range(slots)
    )
    columns = {name: _column(works, name) for name in _names(StepWork) if name != "attention"}
    return StepWork(attention=attention, **columns)


NO_ATTENTION: Final = AttentionWork(kv_bytes=0.0, decode_flop=0.0, prefill_flop=0.0, window=math.inf)
"""Padding of a stack."""


def _padded(attention: tuple[AttentionWork, ...], slots: int) -> tuple[AttentionWork, ...]:
    return attention + (NO_ATTENTION,) * (slots - len(attention))


def _names(kind: type) -> list[str]:
    return [each.name for each in fields(kind)]


def _column(items: Sequence[object], name: str) -> NDArray[np.float64]:
    return np.array([[getattr(each, name)] for each in items], dtype=np.float64)


def dense_format(config: ReplicaConfig) -> str:
    """Return the format of everything but routed experts: 16-bit where the checkpoint quantises only experts."""
    model = config.model
    if model.quantises_only_experts and config.weight_format == model.native_format:
        return "bf16"
    return config.weight_format


def rank_peak(config: ReplicaConfig, compute: str) -> float:
    """Return one rank's peak [flop/s] for a compute format."""
    return config.accelerator.peak_flop_per_s[compute] / config.accelerator.ranks


def projection_format(config: ReplicaConfig) -> str:
    """Return the format of attention's projections.

    Published NVFP4 checkpoints of models with latent attention leave it in 16 bits.
    """
    is_latent = any(each.attention.kind is AttentionKind.LATENT for each in config.model.groups)
    return "bf16" if is_latent and config.weight_format == "nvfp4" else dense_format(config)


def _dense(config: ReplicaConfig) -> dict[str, Any]:
    """Count projections and dense MLPs (shared experts and routers too), which all tokens use."""
    projections = sum(each.count * each.attention.projection_parameters for each in config.model.groups)
    mlp = sum(each.count * each.feed_forward.dense_parameters for each in config.model.groups)
    parts = [(projections, projection_format(config)), (mlp, dense_format(config))]
    kernels = [(count / config.tensor_parallel, name, kernel_row(config, name)) for count, name in parts]
    parameters = sum(count for count, _, _ in kernels)
    size = sum(count * FORMATS[name].bytes_per_value for count, name, _ in kernels)
    peak_s = sum(count / rank_peak(config, kernel.compute) for count, _, kernel in kernels)
    real_s = sum(count / rank_peak(config, kernel.compute) / kernel.compute_ratio for count, _, kernel in kernels)
    stream_s = sum(count * FORMATS[name].bytes_per_value / kernel.stream_ratio for count, name, kernel in kernels)
    return {
        "dense_bytes": size,
        "dense_flop": FLOP_PER_PRODUCT * parameters,
        "dense_peak": parameters / peak_s,
        "dense_compute_ratio": peak_s / real_s,
        "dense_stream_ratio": size / stream_s,
        "projection_share": projections / max(projections + mlp, 1),
    }


def _experts(config: ReplicaConfig) -> dict[str, Any]:
    """Count routed experts; where layers differ, the mean expert stands for all."""
    kernel = kernel_row(config, config.weight_format)
    sparse = sparse_groups(config)
    layers = sum(each.count for each in sparse)

    def mean(name: str) -> float:
        total = sum(each.count * getattr(each.feed_forward, name) for each in sparse)
        return float(total / layers) if layers else 0.0

    slices = config.group_ranks / config.expert_parallel
    parameters = mean("expert_parameters") / slices
    return {
        "expert_layers": float(layers),
        "experts": mean("experts"),
        "experts_per_token": mean("experts_per_token"),
        "expert_bytes": parameters * FORMATS[config.weight_format].bytes_per_value,
        "expert_flop": FLOP_PER_PRODUCT * parameters,
        "expert_groups": float(config.expert_parallel),
        "expert_peak": rank_peak(config, kernel.compute),
        "expert_compute_ratio": kernel.expert_compute_ratio,
        "expert_stream_ratio": kernel.stream_ratio,
    }


def kv_share(attention: Attention, tensor_parallel: int) -> float:
    """Return one rank's share of a layer's cache: KV heads are divided, but not below one a rank."""
    return max(1.0 / tensor_parallel, 1.0 / attention.kv_heads)


def _attention(config: ReplicaConfig) -> dict[str, Any]:
    """Count cache bytes and score FLOP by window, and recurrent states."""
    slots: dict[float, list[float]] = {}
    state_values = 0.0
    state_flop = 0.0
    for group in config.model.groups:
        attention, count, tensor = group.attention, group.count, config.tensor_parallel
        state_values += count * attention.state_values / tensor
        if attention.state_values:
            state_flop += count * 3.0 * FLOP_PER_PRODUCT * attention.state_values / tensor
        if attention.kind is AttentionKind.LINEAR:
            continue
        for window, kv_values, decode_flop, prefill_flop in _layer_attention(attention, tensor):
            slot = slots.setdefault(window, [0.0, 0.0, 0.0])
            slot[0] += count * kv_values * FORMATS[config.kv_format].bytes_per_value
            slot[1] += count * decode_flop
            slot[2] += count * prefill_flop
    works = tuple(
        AttentionWork(kv_bytes=kv, decode_flop=decode, prefill_flop=prefill, window=window)
        for window, (kv, decode, prefill) in slots.items()
    )
    return {"attention": works, "state_bytes": 2.0 * STATE_BYTES * state_values, "state_flop": state_flop}


def _layer_attention(attention: Attention, tensor: int) -> list[tuple[float, float, float, float]]:
    """Return ``(window, cached values a token, decode FLOP a pair, prefill FLOP a pair)`` of one layer and rank."""
    heads = attention.heads / tensor
    plain = FLOP_PER_PRODUCT * heads * (attention.head_dim + attention.value_head_dim)
    window = float(attention.window_tokens) if attention.window_tokens else math.inf
    if attention.kind is not AttentionKind.LATENT:
        return [(window, attention.kv_values_per_token * kv_share(attention, tensor), plain, plain)]
    latent = attention.latent_dim + attention.rope_dim
    absorbed = FLOP_PER_PRODUCT * heads * (latent + attention.latent_dim)
    if not attention.selected_tokens:
        return [(window, float(latent), absorbed, plain)]
    index_flop = FLOP_PER_PRODUCT * attention.index_heads * attention.index_dim
    selected = float(attention.selected_tokens)
    return [(selected, float(latent), absorbed, absorbed), (math.inf, attention.index_dim, index_flop, index_flop)]


def _small(config: ReplicaConfig) -> dict[str, Any]:
    """Count the output head, elementwise kernels, and the rank's plain rates."""
    model = config.model
    head = model.vocabulary * model.hidden / config.tensor_parallel if model.has_head else 0.0
    passes = 0.0
    for group in model.groups:
        attention, mlp = group.attention, group.feed_forward
        heads = attention.heads * (attention.head_dim + attention.value_head_dim) / config.tensor_parallel
        inner = (mlp.dense_width + mlp.experts_per_token * mlp.expert_width) / config.tensor_parallel
        passes += group.count * (ELEMENTWISE_PASSES * model.hidden + 2.0 * heads + 3.0 * inner)
    return {
        "head_bytes": head * ACTIVATION_BYTES,
        "head_flop": FLOP_PER_PRODUCT * head,
        "elementwise_bytes": passes * ACTIVATION_BYTES,
        "plain_peak": rank_peak(config, "bf16"),
        "bandwidth": config.accelerator.bandwidth_bytes_per_s / config.accelerator.ranks,
    }
