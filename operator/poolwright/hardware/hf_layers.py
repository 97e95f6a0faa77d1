"""Which layer of a stack is what: how it mixes tokens, and whether its MLP is dense, of experts, or absent.

Families write it in a dozen ways (lists, letters, periods, offsets); here they become one list. Shapes are elsewhere.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from poolwright.hardware.catalogue_fields import FieldError, Fields
from poolwright.hardware.hf_experts import routed_experts

T = TypeVar("T")


class Mixer(StrEnum):
    """How a layer mixes tokens."""

    FULL = "full"
    SLIDING = "sliding"
    DELTA = "delta"
    LIGHTNING = "lightning"
    MAMBA = "mamba"
    MAMBA2 = "mamba2"
    ABSENT = "absent"


class Mlp(StrEnum):
    """What a layer does with each token."""

    DENSE = "dense"
    SPARSE = "sparse"
    ABSENT = "absent"


_LETTERS = {"M": (Mixer.MAMBA2, Mlp.ABSENT), "*": (Mixer.FULL, Mlp.ABSENT)} | {
    "-": (Mixer.ABSENT, Mlp.DENSE),
    "E": (Mixer.ABSENT, Mlp.SPARSE),
}
_BLOCKS = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
_LAYER_TYPES = {
    "full_attention": Mixer.FULL,
    "attention": Mixer.FULL,
    "deepseek_sparse_attention": Mixer.FULL,
    "sliding_attention": Mixer.SLIDING,
    "chunked_attention": Mixer.SLIDING,
    "mamba": Mixer.MAMBA2,
}


def layer_plan(config: Fields) -> list[tuple[Mixer, Mlp]]:
    """Return mixer and MLP of every layer, bottom to top.

    Raises
    ------
    FieldError
        A list does not have one entry per layer, or names a kind of layer that is not known.
    """
    blocks = _blocks(config)
    if blocks is not None:
        return blocks
    layers = config.count("num_hidden_layers")
    return list(zip(_mixers(config, layers), _mlps(config, layers), strict=True))


def _blocks(config: Fields) -> list[tuple[Mixer, Mlp]] | None:
    """Return the plan of a stack in which each layer is either a mixer or an MLP (Nemotron-H), or None."""
    if "hybrid_override_pattern" in config.values:
        letters = config.text("hybrid_override_pattern")
    elif "layers_block_type" in config.values and config.text("model_type", "?") == "nemotron_h":
        letters = "".join(
            _named(config, "layers_block_type", each, _BLOCKS) for each in config.texts("layers_block_type")
        )
    else:
        return None
    return [_named(config, "hybrid_override_pattern", letter, _LETTERS) for letter in letters]


def _named(config: Fields, field: str, value: str, known: dict[str, T]) -> T:
    """Return what a written kind of layer means."""
    if value not in known:
        raise config.refuse(field, value, f"one of {', '.join(known)} is needed for each layer")
    return known[value]


def _mixers(config: Fields, layers: int) -> list[Mixer]:
    """Return how each layer mixes tokens."""
    values = config.values
    if "layer_types" in values:
        linear = {"linear_attention": _linear_mixer(config)}
        kinds = [_named(config, "layer_types", each, _LAYER_TYPES | linear) for each in config.texts("layer_types")]
        return _checked(config, "layer_types", kinds, layers)
    if "attn_type_list" in values or "hybrid_layer_pattern" in values:
        name = config.first("attn_type_list", "hybrid_layer_pattern")
        # MiniMax: 1 is softmax attention, 0 linear. MiMo: 1 is a window, 0 full.
        one, zero = (Mixer.FULL, Mixer.LIGHTNING) if name == "attn_type_list" else (Mixer.SLIDING, Mixer.FULL)
        return _checked(config, name, [one if flag else zero for flag in _flags(config, name)], layers)
    if "attn_layer_period" in values:
        period, offset = config.count("attn_layer_period"), config.whole("attn_layer_offset")
        return [Mixer.FULL if index % period == offset else Mixer.MAMBA for index in range(layers)]
    if "full_attention_interval" in values:
        interval = config.count("full_attention_interval")
        return [Mixer.FULL if (index + 1) % interval == 0 else Mixer.DELTA for index in range(layers)]
    return _windows(config, layers)


def _linear_mixer(config: Fields) -> Mixer:
    """Return which linear layer a family means by ``linear_attention``."""
    return Mixer.LIGHTNING if config.values.get("layer_mixer") == "lightning" else Mixer.DELTA


def _windows(config: Fields, layers: int) -> list[Mixer]:
    """Return full and windowed layers of a plain decoder or encoder."""
    period = config.whole(
        config.first("sliding_window_pattern", "global_attn_every_n_layers", "no_rope_layer_interval")
    )
    window = config.first("attention_chunk_size", "local_attention", "sliding_window")
    if (
        window not in config.values
        or not config.flag("use_sliding_window", default=True)
        or _is_unbounded(config, window)
    ):
        return [Mixer.FULL] * layers
    if not period:
        return [Mixer.SLIDING] * layers
    full_at = 0 if config.flag("is_first_layer_full") else period - 1
    return [Mixer.FULL if index % period == full_at else Mixer.SLIDING for index in range(layers)]


def _is_unbounded(config: Fields, window: str) -> bool:
    """Return whether a window is no shorter than the longest context, so that it hides nothing."""
    return config.count(window) >= config.count("max_position_embeddings", config.count(window) + 1)


def _mlps(config: Fields, layers: int) -> list[Mlp]:
    """Return which layers have experts."""
    values = config.values
    if not routed_experts(config):
        return [Mlp.DENSE] * layers
    if "mlp_layer_types" in values:
        sparse = [each == "sparse" for each in config.texts("mlp_layer_types")]
    elif isinstance(values.get("moe_layer_freq"), list):
        sparse = _flags(config, "moe_layer_freq")
    elif "expert_layer_period" in values:
        period, offset = config.count("expert_layer_period"), config.whole("expert_layer_offset")
        sparse = [index % period == offset for index in range(layers)]
    else:
        step = config.count(config.first("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq"), 1)
        dense = set(_indices(config, "mlp_only_layers"))
        first = config.whole("first_k_dense_replace")
        sparse = [index >= first and (index + 1) % step == 0 and index not in dense for index in range(layers)]
    return _checked(config, "mlp_layer_types", [Mlp.SPARSE if each else Mlp.DENSE for each in sparse], layers)


def _flags(config: Fields, name: str) -> list[bool]:
    """Return a list of zeros and ones as truth values."""
    return [value == 1 for value in _indices(config, name)]


def _indices(config: Fields, name: str) -> list[int]:
    """Return a list of whole numbers, empty when absent."""
    value = config.values.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, int) for each in value):
        raise config.refuse(name, value, "a list of whole numbers is needed")
    return value


def _checked(config: Fields, name: str, kinds: Sequence[T], layers: int) -> list[T]:
    """Return the kinds if there is one for each layer."""
    if len(kinds) < layers:
        raise FieldError(f"{config.path}: {name} has {len(kinds)} entries; {layers} are needed, one a layer")
    return list(kinds[:layers])
