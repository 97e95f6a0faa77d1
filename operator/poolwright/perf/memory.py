"""What fits into a replica's memory: weights, activations, reserve, and the cache that is left.

Section 4 of docs/model.md.

Says how many tokens the cache holds; how many sequences to admit is decided in ``planner``.
"""

from dataclasses import dataclass
from typing import Final

from poolwright.hardware.model_shape import AttentionKind
from poolwright.hardware.number_format import FORMATS
from poolwright.perf.overheads import ACTIVATION_BYTES
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.work import STATE_BYTES, dense_format, kv_share, projection_format
from poolwright.units import BYTES_PER_GB

RESERVE_BYTES: Final = 1.5 * BYTES_PER_GB
"""Memory per rank for contexts, communication buffers and captured graphs [bytes]: vLLM's start-up logs show 0.5-3 GB
on large devices. Erring low overstates the cache."""

RESERVE_RATIO: Final = 0.02
"""The same on small devices [ratio of memory]; the smaller of both counts."""

ACTIVATION_COPIES: Final = 4.0
"""Copies of the widest activation alive at once in prefill [1]: input, output, and the workspace of a fused kernel."""

LOGIT_BYTES: Final = 4.0
"""Bytes of one logit while sampling [bytes]: 32-bit."""

DEFAULT_CONTEXT_TOKENS: Final = 4096.0
"""Context at which capacity in tokens is stated when none is given [tokens]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Memory of one rank and the cache of the whole replica.

    Attributes
    ----------
    weight_bytes, activation_bytes, reserve_bytes, kv_bytes
        Of one rank; ``kv_bytes`` is what is left for the cache, 0 when nothing is.
    kv_bytes_per_token
        Cache of one rank per token, at ``context_tokens`` (windows and states make it depend on the context).
    kv_capacity_tokens
        Tokens that the whole replica's cache holds in sequences of ``context_tokens``.
    context_tokens
        Mean context for which both are stated.
    fits
        Whether weights fit and at least one sequence of that context does.
    """

    weight_bytes: float
    activation_bytes: float
    reserve_bytes: float
    kv_bytes: float
    kv_bytes_per_token: float
    kv_capacity_tokens: float
    context_tokens: float
    fits: bool

    @property
    def kv_capacity_sequences(self) -> float:
        """Sequences of ``context_tokens`` that the whole replica's cache holds."""
        return self.kv_capacity_tokens / self.context_tokens


def memory_plan(
    config: ReplicaConfig,
    *,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    context_tokens: float = DEFAULT_CONTEXT_TOKENS,
) -> MemoryPlan:
    """Return how a rank's memory is divided, equations (4.1) to (4.4).

    Parameters
    ----------
    max_num_seqs
        Most sequences that decode at once, > 0.
    max_num_batched_tokens
        Most tokens of one step, > 0.
    context_tokens
        Mean context at which capacity is stated [tokens], > 0.

    Raises
    ------
    ValueError
        A limit is not positive.
    """
    if min(max_num_seqs, max_num_batched_tokens, context_tokens) <= 0:
        raise ValueError(
            f"limits must be positive: max_num_seqs {max_num_seqs}, "
            f"max_num_batched_tokens {max_num_batched_tokens}, context_tokens {context_tokens}"
        )
    memory_bytes = config.accelerator.memory_bytes / config.accelerator.ranks
    weights = weight_bytes(config)
    activations = activation_bytes(config, max_num_seqs, max_num_batched_tokens)
    reserve = min(RESERVE_BYTES, RESERVE_RATIO * memory_bytes)
    left = config.memory_utilisation_ratio * memory_bytes - weights - activations - reserve
    per_sequence = sequence_bytes(config, context_tokens)
    kv_bytes = max(0.0, left)
    sequences = kv_bytes / per_sequence * config.attention_data_parallel if per_sequence > 0.0 else float(max_num_seqs)
    return MemoryPlan(
        weight_bytes=weights,
        activation_bytes=activations,
        reserve_bytes=reserve,
        kv_bytes=kv_bytes,
        kv_bytes_per_token=per_sequence / context_tokens,
        kv_capacity_tokens=sequences * context_tokens,
        context_tokens=context_tokens,
        fits=left > 0.0 and sequences >= 1.0,
    )


def weight_bytes(config: ReplicaConfig) -> float:
    """Return the weights of one rank [bytes], equation (4.2).

    Layers are divided by tensor and pipeline parallelism, experts by all ranks; embeddings and head stay 16-bit and are
    held by the first and last stage (the larger of which decides).
    """
    model, stages = config.model, config.pipeline_parallel
    projections = sum(each.count * each.attention.projection_parameters for each in model.groups)
    mlp = sum(each.count * each.feed_forward.dense_parameters for each in model.groups)
    dense_bytes = (
        projections * FORMATS[projection_format(config)].bytes_per_value
        + mlp * FORMATS[dense_format(config)].bytes_per_value
    )
    experts = sum(each.count * each.feed_forward.experts * each.feed_forward.expert_parameters for each in model.groups)
    ends = model.embedding_parameters + model.head_parameters
    if stages > 1:
        ends = max(model.embedding_parameters, model.head_parameters)
    longest = -(-model.layers // stages) / model.layers
    return (
        longest * dense_bytes / config.tensor_parallel
        + longest * experts / config.group_ranks * FORMATS[config.weight_format].bytes_per_value
        + ends / config.tensor_parallel * ACTIVATION_BYTES
        + (model.auxiliary_parameters + model.norm_parameters * longest) * ACTIVATION_BYTES
    )


def activation_bytes(config: ReplicaConfig, max_num_seqs: int, max_num_batched_tokens: int) -> float:
    """Return activations of the largest step on one rank [bytes], equation (4.3): the widest layer and the logits."""
    model = config.model
    widest = max(
        (each.feed_forward.dense_width + each.feed_forward.experts_per_token * each.feed_forward.expert_width)
        / config.tensor_parallel
        for each in model.groups
    )
    tokens = max_num_batched_tokens / config.attention_data_parallel
    layer = ACTIVATION_COPIES * tokens * (model.hidden + widest) * ACTIVATION_BYTES
    logits = max_num_seqs / config.attention_data_parallel * model.vocabulary * LOGIT_BYTES if model.has_head else 0.0
    return layer + logits


def sequence_bytes(config: ReplicaConfig, context_tokens: float) -> float:
    """Return cache and state of one sequence on one rank [bytes], equation (4.4).

    Blocks are half empty at the end on average; a window keeps one block more than it sees.
    """
    values_bytes = FORMATS[config.kv_format].bytes_per_value
    rounding = 0.5 * (config.block_tokens - 1)
    total = 0.0
    for group in config.model.groups:
        attention = group.attention
        tokens = context_tokens + rounding
        if attention.window_tokens:
            tokens = min(tokens, attention.window_tokens + config.block_tokens)
        share = 1.0 if attention.kind is AttentionKind.LATENT else kv_share(attention, config.tensor_parallel)
        total += group.count * attention.kv_values_per_token * share * tokens * values_bytes
        total += group.count * attention.state_values / config.tensor_parallel * STATE_BYTES
    return total * (-(-config.model.layers // config.pipeline_parallel)) / config.model.layers
