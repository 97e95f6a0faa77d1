"""What a ``config.json`` says about the computation: widths, heads, windows, rotary positions, experts.

One reader for the supported architectures, each a row of facts that their files leave unsaid. What cannot be computed
exactly is refused, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from poolwright.engine.checkpoint import CheckpointError
from poolwright.hardware.catalogue_fields import FieldError, Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What an architecture's class does that its ``config.json`` does not say."""

    has_qkv_bias: bool = False
    has_qk_norm: bool = False
    head_dim: int | None = None


FAMILIES: Final = {
    "llama": Family(),
    "mistral": Family(),
    "mixtral": Family(),
    "qwen2": Family(has_qkv_bias=True),
    "qwen3": Family(has_qk_norm=True, head_dim=128),
    "qwen3_moe": Family(has_qk_norm=True),
}
"""Supported values of ``model_type``."""
DEFAULT_ROPE_THETA: Final = 10_000.0
"""Base wavelength of rotary positions where a file does not say: the original paper's (Su et al., 2021)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """Rotary positions: base, and how frequencies are scaled (``kind``) with what parameters."""

    theta: float
    kind: str = "default"
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Routing of a sparse MLP.

    ``normalises`` says whether the chosen experts' probabilities are scaled to sum to one.
    """

    count: int
    per_token: int
    width: int
    normalises: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One decoder.

    Attributes
    ----------
    architecture
        ``model_type``, a key of ``FAMILIES``.
    width
        Intermediate width of a dense MLP.
    windows
        Per layer, how many last tokens a token sees, itself included; None: all.
    sparse_layers
        Per layer, whether its MLP is routed.
    max_positions
        Longest sequence the model was made for.
    stop_token_ids
        ``eos_token_id`` as a set.
    dtype
        Name of the stored data type, such as ``bfloat16``.
    quantisation
        ``quantization_config``; None: plain weights.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    vocabulary: int
    norm_epsilon: float
    rope: Rope
    has_qkv_bias: bool
    has_output_bias: bool
    has_mlp_bias: bool
    has_qk_norm: bool
    is_tied: bool
    windows: tuple[int | None, ...]
    sparse_layers: tuple[bool, ...]
    experts: Experts | None
    max_positions: int
    stop_token_ids: frozenset[int]
    dtype: str
    quantisation: Mapping[str, Any] | None


def model_config(config: Mapping[str, Any], source: str = "config.json") -> ModelConfig:
    """Return what a parsed ``config.json`` says.

    Raises
    ------
    CheckpointError
        An architecture that is not supported, or a field that is missing or cannot be right; the message names it.
    """
    architecture = str(config.get("model_type"))
    family = FAMILIES.get(architecture)
    if family is None:
        raise CheckpointError(
            f"{source}: model_type {architecture} is not supported; it is none of {', '.join(FAMILIES)}"
        )
    fields = Fields(path=source, values={key: value for key, value in config.items() if value is not None})
    try:
        return _read(fields, architecture, family)
    except FieldError as error:
        raise CheckpointError(str(error)) from error


def _read(fields: Fields, architecture: str, family: Family) -> ModelConfig:
    fields.choice("hidden_act", ["silu"], "silu")
    hidden, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    kv_heads = fields.count("num_key_value_heads", heads)
    if heads % kv_heads:
        raise fields.refuse("num_key_value_heads", kv_heads, f"a divisor of num_attention_heads, {heads}, is needed")
    has_bias = fields.flag("attention_bias")
    layers = fields.count("num_hidden_layers")
    experts = _experts(fields, architecture)
    return ModelConfig(
        architecture=architecture,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=fields.count("head_dim", family.head_dim or hidden // heads),
        width=fields.count("intermediate_size"),
        vocabulary=fields.count("vocab_size"),
        norm_epsilon=fields.number("rms_norm_eps", 1e-6),
        rope=_rope(fields),
        has_qkv_bias=family.has_qkv_bias or has_bias,
        has_output_bias=has_bias,
        has_mlp_bias=fields.flag("mlp_bias"),
        has_qk_norm=family.has_qk_norm,
        is_tied=fields.flag("tie_word_embeddings"),
        windows=_windows(fields, architecture, layers),
        sparse_layers=tuple(_is_sparse(fields, experts, layer) for layer in range(layers)),
        experts=experts,
        max_positions=fields.count("max_position_embeddings"),
        stop_token_ids=_stop_token_ids(fields.values.get("eos_token_id")),
        dtype=str(fields.values.get("torch_dtype", fields.values.get("dtype", "float32"))).removeprefix("torch."),
        quantisation=_quantisation(fields),
    )


def _quantisation(fields: Fields) -> Mapping[str, Any] | None:
    """Return the section that says how weights are stored; newer tools write it under another name."""
    name = fields.first("compression_config", "quantization_config")
    return fields.section(name).values if name in fields.values else None


def _rope(fields: Fields) -> Rope:
    """Return rotary positions from either spelling: ``rope_parameters``, or ``rope_theta`` beside ``rope_scaling``."""
    name = fields.first("rope_parameters", "rope_scaling")
    section = fields.section(name)
    old_kind = section.values.get("type", "default")
    kind = str(section.values.get("rope_type", old_kind))
    kinds = ("default", "linear", "llama3", "yarn")
    if kind not in kinds:
        raise section.refuse("rope_type", kind, f"one of {', '.join(kinds)} is needed")
    if section.values.get("partial_rotary_factor", fields.values.get("partial_rotary_factor", 1)) != 1:
        raise fields.refuse("partial_rotary_factor", section.values, "rotating only a part of a head is not supported")
    theta = section.number("rope_theta", fields.number("rope_theta", DEFAULT_ROPE_THETA))
    return Rope(theta=theta, kind=kind, parameters=section.values)


def _windows(fields: Fields, architecture: str, layers: int) -> tuple[int | None, ...]:
    """Return the window of each layer; Qwen's files name a window that only counts where it is switched on."""
    if architecture == "llama" or "sliding_window" not in fields.values:
        return (None,) * layers
    if architecture.startswith("qwen") and not fields.flag("use_sliding_window"):
        return (None,) * layers
    window = fields.count("sliding_window")
    kinds = fields.texts("layer_types")
    if kinds:
        return tuple(window if kind == "sliding_attention" else None for kind in kinds[:layers])
    first = fields.whole("max_window_layers", 28) if architecture in ("qwen2", "qwen3") else 0
    return tuple(window if layer >= first else None for layer in range(layers))


def _experts(fields: Fields, architecture: str) -> Experts | None:
    match architecture:
        case "qwen3_moe":
            return Experts(
                count=fields.count(fields.first("num_local_experts", "num_experts")),
                per_token=fields.count("num_experts_per_tok"),
                width=fields.count("moe_intermediate_size"),
                normalises=fields.flag("norm_topk_prob"),
            )
        case "mixtral":
            return Experts(
                count=fields.count("num_local_experts"),
                per_token=fields.count("num_experts_per_tok"),
                width=fields.count("intermediate_size"),
                normalises=True,
            )
    return None


def _is_sparse(fields: Fields, experts: Experts | None, layer: int) -> bool:
    """Return whether a layer is routed: every ``decoder_sparse_step``-th one that is not listed as dense."""
    dense = fields.values.get("mlp_only_layers", [])
    return (
        experts is not None
        and (not isinstance(dense, list) or layer not in dense)
        and (layer + 1) % fields.count("decoder_sparse_step", 1) == 0
    )


def _stop_token_ids(value: object) -> frozenset[int]:
    """Return end tokens from a number, a list of them, or nothing."""
    listed = value if isinstance(value, list) else [value]
    return frozenset(token for token in listed if isinstance(token, int))
