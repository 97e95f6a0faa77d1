"""Layers that keep a constant state instead of a cache: Mamba, Mamba-2, gated delta networks, lightning attention.

Reads their shapes from a configuration; which layers they are is decided in ``hf_layers``.
"""

from poolwright.hardware.catalogue_fields import Fields
from poolwright.hardware.model_shape import Attention, AttentionKind


def mamba2(config: Fields, hidden: int) -> Attention:
    """Return a Mamba-2 mixer: one input projection for gate, values, B, C and steps, a short convolution, an output.

    References: Dao and Gu, "Transformers are SSMs", 2024, section 7 (https://arxiv.org/abs/2405.21060).
    """
    heads = config.count(config.first("mamba_n_heads", "mamba_num_heads"))
    head_dim = config.count(config.first("mamba_d_head", "mamba_head_dim"))
    state = config.count(config.first("mamba_d_state", "ssm_state_size"))
    groups = config.count(config.first("mamba_n_groups", "n_groups"), 1)
    kernel = config.count(config.first("mamba_d_conv", "conv_kernel"), 4)
    inner = heads * head_dim
    convolved = inner + 2 * groups * state
    return _linear(
        heads=heads,
        head_dim=state,
        value_head_dim=head_dim,
        state_values=inner * state + convolved * (kernel - 1),
        # input: gate (inner), convolved part, one step per head; convolution with bias; A, D and step bias per head
        parameters=hidden * (inner + convolved + heads) + convolved * (kernel + 1) + 3 * heads + inner + inner * hidden,
    )


def mamba(config: Fields, hidden: int) -> Attention:
    """Return a Mamba mixer with its selective projections.

    References: Gu and Dao, "Mamba", 2023, section 3 (https://arxiv.org/abs/2312.00752).
    """
    state = config.count(config.first("mamba_d_state", "state_size"), 16)
    kernel = config.count(config.first("mamba_d_conv", "conv_kernel"), 4)
    inner = hidden * config.count(config.first("mamba_expand", "expand"), 2)
    rank = config.count(config.first("mamba_dt_rank", "time_step_rank"), -(-hidden // 16))
    selective = inner * (rank + 2 * state) + rank * inner + inner
    norms = rank + 2 * state if config.flag("has_mamba_norms") else 0
    return _linear(
        heads=inner,
        head_dim=state,
        value_head_dim=1,
        state_values=inner * state + inner * (kernel - 1),
        parameters=3 * hidden * inner + inner * (kernel + 1) + selective + inner * (state + 1) + norms,
    )


def gated_delta(config: Fields, hidden: int) -> Attention:
    """Return a gated delta network: queries and keys of fewer heads than values, a gate, two scalars per value head.

    References: Yang, Kautz and Hatamizadeh, "Gated Delta Networks", 2024 (https://arxiv.org/abs/2412.06464).
    """
    key_heads = config.count("linear_num_key_heads")
    value_heads = config.count("linear_num_value_heads")
    key_dim = config.count("linear_key_head_dim")
    value_dim = config.count("linear_value_head_dim")
    kernel = config.count("linear_conv_kernel_dim")
    keys, values = key_heads * key_dim, value_heads * value_dim
    convolved = 2 * keys + values
    return _linear(
        heads=value_heads,
        head_dim=key_dim,
        value_head_dim=value_dim,
        state_values=value_heads * key_dim * value_dim + convolved * (kernel - 1),
        # input: queries, keys, values, gate; two scalars a value head; convolution; decay, step bias and output norm
        parameters=hidden * (convolved + values + 2 * value_heads)
        + convolved * kernel
        + 2 * value_heads
        + value_dim
        + values * hidden,
    )


def lightning(config: Fields, hidden: int) -> Attention:
    """Return lightning attention: softmax-free heads with an output gate and norm, one matrix of state a head.

    References: MiniMax, "MiniMax-01", 2025, section 2.2 (https://arxiv.org/abs/2501.08313).
    """
    heads = config.count("num_attention_heads")
    head_dim = config.count("head_dim", hidden // heads)
    width = heads * head_dim
    return _linear(
        heads=heads,
        head_dim=head_dim,
        value_head_dim=head_dim,
        state_values=heads * head_dim * head_dim,
        parameters=5 * hidden * width + width,
    )


def absent() -> Attention:
    """Return the mixer of a layer that mixes no tokens (an MLP of its own in the stack): no weights, cache or state."""
    return _linear(heads=1, head_dim=0, value_head_dim=0, state_values=0, parameters=0)


def _linear(*, heads: int, head_dim: int, value_head_dim: int, state_values: int, parameters: int) -> Attention:
    """Return a layer with a constant state."""
    return Attention(
        kind=AttentionKind.LINEAR,
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        value_head_dim=value_head_dim,
        state_values=state_values,
        projection_parameters=parameters,
    )
