"""Attention shapes from a configuration: grouped heads, sliding windows, compressed latents, learned sparsity.

Which layer has which is decided in ``hf_layers``; recurrent replacements are in ``hf_recurrent``.
"""

from dataclasses import replace

from poolwright.hardware.catalogue_fields import Fields
from poolwright.hardware.hf_families import Family
from poolwright.hardware.hf_recurrent import mamba2
from poolwright.hardware.model_shape import Attention, AttentionKind


def full_attention(config: Fields, family: Family, hidden: int) -> Attention:
    """Return attention that sees every earlier token: MLA where the configuration compresses KV, otherwise heads."""
    if "kv_lora_rank" in config.values:
        return latent_attention(config, hidden)
    attention = _grouped(config, family, hidden)
    if config.flag("is_parallel_hybrid"):
        mixer = mamba2(config, hidden)
        return replace(
            attention,
            state_values=mixer.state_values,
            projection_parameters=attention.projection_parameters + mixer.projection_parameters,
        )
    return attention


def sliding_attention(config: Fields, family: Family, hidden: int) -> Attention:
    """Return attention over a window; families with other head counts in windows write them under ``swa_``."""
    window = config.count(config.first("attention_chunk_size", "local_attention", "sliding_window"))
    prefix = "swa_" if "swa_num_key_value_heads" in config.values else ""
    return replace(_grouped(config, family, hidden, prefix), kind=AttentionKind.SLIDING, window_tokens=window)


def _grouped(config: Fields, family: Family, hidden: int, prefix: str = "") -> Attention:
    """Return multi-head attention with grouped KV heads (MHA and MQA are its ends)."""
    heads = config.count(config.first(f"{prefix}num_attention_heads", "num_attention_heads"))
    kv_heads = config.count(config.first(f"{prefix}num_key_value_heads", "num_key_value_heads"), heads)
    head_dim = _head_dim(config, hidden, heads, prefix)
    value_dim = config.count(config.first(f"{prefix}v_head_dim", "v_head_dim"), head_dim)
    queries = heads * head_dim * (2 if config.flag("attn_output_gate") else 1)
    return Attention(
        kind=AttentionKind.FULL,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_head_dim=value_dim,
        projection_parameters=hidden * (queries + kv_heads * (head_dim + value_dim) + heads * value_dim),
        has_qk_norm=config.flag("use_qk_norm", default=family.has_qk_norm),
        is_causal=not family.is_encoder,
    )


def _head_dim(config: Fields, hidden: int, heads: int, prefix: str) -> int:
    """Return the width of a head: written, or the residual width shared by the heads."""
    name = config.first(f"{prefix}head_dim", "attention_head_dim", "head_dim")
    if name not in config.values and hidden % heads:
        raise config.refuse(name, None, f"it is needed, as {heads} heads do not divide hidden_size {hidden}")
    return config.count(name, hidden // heads)


def latent_attention(config: Fields, hidden: int) -> Attention:
    """Return multi-head latent attention: one compressed vector and one rotary key per token, shared by all heads.

    References: DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1 (https://arxiv.org/abs/2405.04434); the sparse indexer:
    "DeepSeek-V3.2", 2025, section 2.1.
    """
    heads = config.count("num_attention_heads")
    latent = config.count("kv_lora_rank")
    rope = config.count("qk_rope_head_dim")
    nope = config.count("qk_nope_head_dim")
    value = config.count("v_head_dim")
    query_latent = config.whole("q_lora_rank")
    index_heads, index_dim = config.whole("index_n_heads"), config.whole("index_head_dim")
    head_dim = nope + rope
    queries = query_latent * (hidden + heads * head_dim) if query_latent else hidden * heads * head_dim
    keys_values = hidden * (latent + rope) + latent * heads * (nope + value)
    indexer = query_latent * index_heads * index_dim + hidden * (index_dim + index_heads) if index_heads else 0
    return Attention(
        kind=AttentionKind.LATENT,
        heads=heads,
        kv_heads=1,
        head_dim=head_dim,
        value_head_dim=value,
        latent_dim=latent,
        rope_dim=rope,
        query_latent_dim=query_latent,
        projection_parameters=queries + keys_values + heads * value * hidden + indexer,
        index_heads=index_heads,
        index_dim=index_dim,
        selected_tokens=config.whole("index_topk"),
    )
