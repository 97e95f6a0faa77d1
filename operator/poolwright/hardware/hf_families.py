"""What a Hugging Face ``model_type`` means beyond its fields: defaults of its configuration class, norms, biases, MLP.

Only differences from the common decoder (pre-norm, SwiGLU, no biases) are listed. Facts of ``transformers`` (its
``configuration_*.py`` and ``modeling_*.py`` of each family). Does not read configurations; ``hf_config`` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Architecture facts that a family of configurations leaves unsaid.

    Attributes
    ----------
    defaults
        Values that the family's configuration class fills in for absent fields.
    norms
        Normalisations of the residual width in one layer.
    has_qk_norm, has_qkv_bias
        Whether queries and keys are normalised; whether query, key and value projections have biases.
    mlp_matrices
        Matrices of one MLP or expert: 3 when gated (SwiGLU, GeGLU), otherwise 2.
    is_encoder
        Whether it reads whole prompts and predicts no next token.
    spellings
        Standard field by the family's own name for it.
    mlp_ratio
        Width of an MLP over the residual width where the configuration does not write it; 0: it must.
    """

    defaults: Mapping[str, object] = field(default_factory=dict)
    norms: int = 2
    has_qk_norm: bool = False
    has_qkv_bias: bool = False
    mlp_matrices: int = 3
    is_encoder: bool = False
    spellings: Mapping[str, str] = field(default_factory=dict)
    mlp_ratio: int = 0


_PLAIN: Final = Family()
_TIED: Final = {"tie_word_embeddings": True}
_QK_NORM: Final = Family(has_qk_norm=True)
_BERT: Final = Family(defaults=_TIED, mlp_matrices=2, is_encoder=True, has_qkv_bias=True)
_GPT_SPELLINGS: Final = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
    "seq_length": "max_position_embeddings",
}
_QWEN_NEXT: Final = Family(
    has_qk_norm=True, defaults={"full_attention_interval": 4, "attn_output_gate": True, "linear_conv_kernel_dim": 4}
)
_GEMMA3_DEFAULTS: Final = {
    "tie_word_embeddings": True,
    "head_dim": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 262_208,
    "max_position_embeddings": 131_072,
    "sliding_window": 4_096,
    "sliding_window_pattern": 6,
}
_LLAMA4_DEFAULTS: Final = {
    "attention_chunk_size": 8_192,
    "interleave_moe_layer_step": 1,
    "no_rope_layer_interval": 4,
    "n_shared_experts": 1,
}

FAMILIES: Final[Mapping[str, Family]] = {
    **dict.fromkeys(
        ("llama", "mistral", "mistral3", "mixtral", "phi3", "granite", "olmo", "mllama_text_model"), _PLAIN
    ),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm_moe_dsa", "glm4_moe_lite"), _PLAIN),
    "phimoe": Family(has_qkv_bias=True),
    "ministral3": _PLAIN,
    "qwen2": Family(has_qkv_bias=True, defaults={"use_sliding_window": False}),
    "qwen2_moe": Family(has_qkv_bias=True, defaults={"use_sliding_window": False}),
    "qwen3": Family(has_qk_norm=True, defaults={"use_sliding_window": False}),
    "qwen3_moe": Family(has_qk_norm=True, defaults={"use_sliding_window": False}),
    "qwen3_next": _QWEN_NEXT,
    "qwen3_5": _QWEN_NEXT,
    "qwen3_5_text": _QWEN_NEXT,
    "qwen3_5_moe_text": _QWEN_NEXT,
    "llama4_text": Family(defaults=_LLAMA4_DEFAULTS),
    "gpt_oss": Family(has_qkv_bias=True),
    "minimax": Family(defaults={"layer_mixer": "lightning"}),
    "minimax_text_01": Family(defaults={"layer_mixer": "lightning"}),
    "minimax_m1": Family(defaults={"layer_mixer": "lightning"}),
    **dict.fromkeys(("minimax_m2", "qwen3_vl_text", "qwen3_vl_moe_text"), _QK_NORM),
    "mimo": Family(has_qkv_bias=True),
    "mimo_v2_flash": _PLAIN,
    "gemma": Family(defaults={"tie_word_embeddings": True, "head_dim": 256}),
    "gemma2": Family(
        norms=4,
        defaults={"tie_word_embeddings": True, "head_dim": 256, "sliding_window": 4_096, "sliding_window_pattern": 2},
    ),
    "gemma3_text": Family(norms=4, has_qk_norm=True, defaults=_GEMMA3_DEFAULTS),
    "glm4_moe": _PLAIN,
    "glm4": Family(norms=4),
    "cohere2": Family(norms=1, defaults={"tie_word_embeddings": True, "sliding_window_pattern": 4}),
    "olmo2": Family(has_qk_norm=True),
    "falcon_h1": Family(defaults={"is_parallel_hybrid": True}),
    "jamba": Family(
        defaults={
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
            "has_mamba_norms": True,
        }
    ),
    "nemotron_h": Family(norms=1, mlp_matrices=2),
    "granitemoehybrid": _PLAIN,
    "bamba": _PLAIN,
    "gptj": Family(norms=1, mlp_matrices=2, mlp_ratio=4, spellings=_GPT_SPELLINGS),
    "bloom": Family(defaults=_TIED, mlp_matrices=2, mlp_ratio=4, spellings=_GPT_SPELLINGS),
    "opt": Family(defaults=_TIED, mlp_matrices=2, spellings={"ffn_dim": "intermediate_size"}),
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "modernbert": Family(
        defaults={"tie_word_embeddings": True, "sliding_window_pattern": 3, "is_first_layer_full": True},
        is_encoder=True,
    ),
}
"""Known families by ``model_type``. ``layer_mixer``, ``is_parallel_hybrid``, ``is_first_layer_full`` and
``has_mamba_norms`` are ours: they say in a field what the family says in its code."""


def family_of(model_type: str) -> Family | None:
    """Return what is known of a ``model_type``, or None."""
    return FAMILIES.get(model_type)
