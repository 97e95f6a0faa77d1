"""What a step costs besides bytes and FLOP: collectives, kernels in sequence, and the host's launches.

The result feeds ``work.StepWork``. Equations (5.x) of docs/model.md.
"""

from typing import Any, Final

from poolwright.hardware.model_shape import AttentionKind, LayerGroup
from poolwright.perf.interconnect import all_reduce, all_to_all, hand_over
from poolwright.perf.kernel_table import KernelRow, kernel_of
from poolwright.perf.replica import ReplicaConfig

ACTIVATION_BYTES: Final = 2.0
"""Bytes of one activation between kernels [bytes]: 16-bit residual stream."""

DECODE_KERNELS: Final = 8.0
"""Dependent kernels of a plain decoder layer in a replayed graph: norm, QKV, rotary with cache write, attention,
output, norm, two products with the activation between [1]."""

LATENT_KERNELS: Final = 8.0
"""Further ones of latent attention: compressions, norms of latents, absorbed products, combination [1]."""

EXPERT_KERNELS: Final = 5.0
"""Further ones of a sparse layer: router, top-k with alignment, permutation, weighted sum [1]."""

SHARED_KERNELS: Final = 3.0
"""Further ones of a shared expert: two products and the activation [1]."""

QK_NORM_KERNELS: Final = 1.0
"""Further one of norms of queries and keys [1]."""

QUANTISED_KERNELS: Final = 2.0
"""Further ones where activations are quantised: before the output projection and the last product; the others are fused
with norms [1]."""

LAUNCHED_KERNELS: Final = 8.0
LAUNCHED_LATENT: Final = 14.0
LAUNCHED_QK_NORM: Final = 4.0
LAUNCHED_EXPERTS: Final = 12.0
LAUNCHED_SHARED: Final = 3.0
LAUNCHED_EXPERT_PARALLEL: Final = 6.0
"""Kernels that the host launches for a layer of a step without graph: plain, and further for latent attention, norms of
queries and keys, experts, a shared expert, expert parallelism [1]. Counted from published profiles; erring low makes
short prompts look too fast."""


def collectives(config: ReplicaConfig) -> dict[str, Any]:
    """Count all-reduces of tensor parallelism, all-to-alls of expert parallelism and hand-overs of a pipeline.

    With data-parallel attention, experts gather tokens from all groups and send results back: two exchanges a layer
    instead of the sum after the MLP.
    """
    layers = float(config.model.layers)
    sparse = float(sum(each.count for each in sparse_groups(config)))
    message = config.model.hidden * ACTIVATION_BYTES
    is_spread = config.attention_data_parallel > 1
    reduce = all_reduce(config.accelerator, config.tensor_parallel)
    exchange = all_to_all(config.accelerator, config.group_ranks if is_spread else 1)
    reduces = 2.0 * layers - (sparse if is_spread else 0.0)
    exchanges = 2.0 * sparse if is_spread else 0.0
    copies = _copies(config)
    hop = hand_over(config.accelerator, config.group_ranks)
    hops = config.pipeline_parallel - 1.0
    return {
        "reduce_count": reduces if config.tensor_parallel > 1 else 0.0,
        "reduce_latency_s": reduces * reduce.latency_s,
        "reduce_s_per_token": reduces * message * reduce.s_per_byte,
        "exchange_count": exchanges,
        "exchange_latency_s": exchanges * exchange.latency_s,
        "exchange_s_per_token": exchanges * message * copies * exchange.s_per_byte,
        "hand_over_latency_s": hops * hop.latency_s,
        "hand_over_s_per_token": hops * message * hop.s_per_byte,
    }


def _copies(config: ReplicaConfig) -> float:
    """Return to how many ranks a token is sent: to those that hold its experts, each once."""
    chosen = max((each.feed_forward.experts_per_token for each in config.model.groups), default=0)
    return float(min(max(chosen, 1), config.group_ranks))


def host(config: ReplicaConfig) -> dict[str, Any]:
    """Count kernels of decode steps and the host's launches of steps without a graph."""
    decode, launched = 0.0, 0.0
    is_quantised = kernel_row(config, config.weight_format).compute != "bf16"
    for group in config.model.groups:
        is_latent = group.attention.kind is AttentionKind.LATENT
        mlp = group.feed_forward
        decode += group.count * (
            DECODE_KERNELS
            + QUANTISED_KERNELS * is_quantised
            + LATENT_KERNELS * is_latent
            + QK_NORM_KERNELS * group.attention.has_qk_norm
            + EXPERT_KERNELS * (mlp.experts > 0)
            + SHARED_KERNELS * mlp.has_shared_expert
        )
        plain = LAUNCHED_KERNELS + LAUNCHED_LATENT * is_latent + LAUNCHED_QK_NORM * group.attention.has_qk_norm
        if mlp.experts:
            plain += LAUNCHED_EXPERTS + LAUNCHED_SHARED * mlp.has_shared_expert
            plain += LAUNCHED_EXPERT_PARALLEL * (config.expert_parallel > 1)
        launched += group.count * plain
    engine = config.engine
    return {
        "kernels": decode,
        "kernel_latency_s": engine.kernel_latency_s,
        "launch_s": launched * engine.dispatch_s * engine.graph_kernel_ratio,
        "launches_decode": 0.0 if engine.is_graph_captured else 1.0,
        "step_overhead_s": engine.step_overhead_s,
        "sequence_overhead_s": engine.sequence_overhead_s,
        "front_end_s": engine.front_end_s,
        "front_end_s_per_token": engine.front_end_s_per_token,
        "token_budget": float(engine.token_budget * config.attention_data_parallel),
        "admission_steps": engine.admission_steps,
        "balance_steps": engine.balance_steps if config.attention_data_parallel > 1 else 0.0,
        "prefill_alone": float(engine.is_prefill_first),
    }


def kernel_row(config: ReplicaConfig, name: str) -> KernelRow:
    """Return the kernels of a format, which must exist; 16-bit ones always do."""
    kernel = kernel_of(config.accelerator, name)
    assert kernel is not None  # noqa: S101 - ReplicaConfig refuses formats without kernels
    return kernel


def sparse_groups(config: ReplicaConfig) -> list[LayerGroup]:
    """Return the groups that have routed experts."""
    return [each for each in config.model.groups if each.feed_forward.experts]
