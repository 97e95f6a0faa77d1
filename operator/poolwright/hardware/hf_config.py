"""Reads a Hugging Face ``config.json`` into a ``ModelShape``: layers, widths, experts, attention kinds, formats.

The one parser for presets and users' files. A ``model_type`` that is not known is accepted with a warning when its
fields are the standard ones; a missing field is an error that names it. Counts follow the checkpoints' tensors, so
totals match published ones. The parts are ``hf_families``, ``hf_layers``, ``hf_attention``, ``hf_recurrent``,
``hf_experts``, ``hf_quantisation`` and ``hf_vision``.
"""

from collections.abc import Mapping

from poolwright.hardware.catalogue_fields import Fields
from poolwright.hardware.hf_attention import full_attention, sliding_attention
from poolwright.hardware.hf_experts import dense_mlp, no_mlp, sparse_mlp
from poolwright.hardware.hf_families import Family, family_of
from poolwright.hardware.hf_layers import Mixer, Mlp, layer_plan
from poolwright.hardware.hf_quantisation import checkpoint_format
from poolwright.hardware.hf_recurrent import absent, gated_delta, lightning, mamba, mamba2
from poolwright.hardware.hf_vision import tower_parameters
from poolwright.hardware.model_shape import Attention, AttentionKind, FeedForward, LayerGroup, ModelShape

_RECURRENT = {
    Mixer.DELTA: gated_delta,
    Mixer.LIGHTNING: lightning,
    Mixer.MAMBA: mamba,
    Mixer.MAMBA2: mamba2,
}
_CONTEXT_FIELDS = ("max_sequence_length", "model_max_length", "max_position_embeddings")
_UNREAD = (
    "compress_ratios",
    "linear_attn_config",
    "sparse_attention_config",
    "block_configs",
    "num_kv_shared_layers",
    "enable_moe_block",
    "attention_k_eq_v",
    "is_encoder_decoder",
)
"""Fields that change caches or weights in a way that is not modelled: DeepSeek-V4's compressed caches, Kimi Linear,
MiniMax-M3's sparse attention, Nemotron-NAS, shared caches and keys as values of Gemma 3n and 4, encoder-decoders.
Guessing would price them wrongly by multiples."""


def model_shape_from_config(config: Mapping[str, object], name: str, source: str = "config.json") -> ModelShape:
    """Return the architecture that a ``config.json`` describes.

    Parameters
    ----------
    config
        The parsed file; multimodal models nest the language model under ``text_config``.
    name
        Name that the shape gets and messages carry.
    source
        Where the configuration comes from.

    Returns
    -------
    ModelShape
        With ``warnings`` for whatever had to be assumed.

    Raises
    ------
    FieldError
        A field that is needed is missing or cannot be right; the message names it.
    """
    fields, family, warnings = _prepared(config, name)
    for field in _UNREAD:
        if fields.values.get(field):
            raise fields.refuse(field, fields.values[field], "this architecture is not modelled yet")
    hidden = fields.count("hidden_size")
    groups = _groups(fields, family, hidden)
    quantisation = checkpoint_format({**fields.values, **config}, sum(group.count for group in groups))
    vocabulary = fields.count("vocab_size")
    is_tied = fields.flag("tie_word_embeddings") or family.is_encoder
    return ModelShape(
        name=name,
        hidden=hidden,
        vocabulary=vocabulary,
        groups=groups,
        embedding_parameters=_embedding_parameters(fields, family, hidden),
        head_parameters=0 if is_tied else vocabulary * hidden,
        norm_parameters=_small_parameters(fields, family, hidden, groups),
        max_context_tokens=fields.count(fields.first(*_CONTEXT_FIELDS)),
        native_format=quantisation.weight_format,
        quantises_only_experts=quantisation.only_experts,
        auxiliary_parameters=tower_parameters(config, hidden, name),
        has_head=not family.is_encoder,
        source=source,
        warnings=warnings + quantisation.warnings,
    )


def _prepared(config: Mapping[str, object], name: str) -> tuple[Fields, Family, tuple[str, ...]]:
    """Return the language model's fields with its family's defaults, the family, and warnings."""
    nested = config.get("text_config", {})
    text = {**config, **nested} if isinstance(nested, Mapping) else dict(config)
    written = {str(key): value for key, value in text.items() if value is not None}
    model_type = str(written.get("model_type", "absent"))
    family = family_of(model_type)
    spellings = family.spellings if family else {}
    written = {spellings.get(key, key): value for key, value in written.items()}
    warnings: tuple[str, ...] = ()
    if family is None:
        family = Family()
        warnings = (f"model_type {model_type} is not known; it is read as a decoder with the standard fields",)
    return Fields(path=f"model {name}: config.json", values={**family.defaults, **written}), family, warnings


def _groups(fields: Fields, family: Family, hidden: int) -> tuple[LayerGroup, ...]:
    """Return layers grouped by equal shape, in order of first appearance."""
    counts: dict[tuple[Mixer, Mlp], int] = {}
    for layer in layer_plan(fields):
        counts[layer] = counts.get(layer, 0) + 1
    return tuple(
        LayerGroup(
            count=count, attention=_mixer(mixer, fields, family, hidden), feed_forward=_mlp(mlp, fields, family, hidden)
        )
        for (mixer, mlp), count in counts.items()
    )


def _mixer(mixer: Mixer, fields: Fields, family: Family, hidden: int) -> Attention:
    """Return the shape of one kind of mixer."""
    if mixer is Mixer.FULL:
        return full_attention(fields, family, hidden)
    if mixer is Mixer.SLIDING:
        return sliding_attention(fields, family, hidden)
    return _RECURRENT[mixer](fields, hidden) if mixer in _RECURRENT else absent()


def _mlp(mlp: Mlp, fields: Fields, family: Family, hidden: int) -> FeedForward:
    """Return the shape of one kind of MLP."""
    match mlp:
        case Mlp.DENSE:
            return dense_mlp(fields, family, hidden)
        case Mlp.SPARSE:
            return sparse_mlp(fields, family, hidden)
        case Mlp.ABSENT:
            return no_mlp()


def _embedding_parameters(fields: Fields, family: Family, hidden: int) -> int:
    """Return the size of the embedding tables: tokens, and positions and segments where an encoder learns them."""
    rows = fields.count("vocab_size")
    if family.is_encoder and fields.text("position_embedding_type", "rope") == "absolute":
        rows += fields.count("max_position_embeddings") + fields.count("type_vocab_size")
    return rows * hidden


def _small_parameters(fields: Fields, family: Family, hidden: int, groups: tuple[LayerGroup, ...]) -> int:
    """Return norms and biases of all layers and the final norm."""
    total = hidden
    for group in groups:
        attention, feed_forward = group.attention, group.feed_forward
        per_layer = family.norms * hidden
        if family.is_encoder and fields.text("position_embedding_type", "rope") == "absolute":
            # LayerNorm has a shift beside the scale; both MLP matrices and the output projection have biases
            per_layer += family.norms * hidden + feed_forward.dense_width + 2 * hidden
        if attention.has_qk_norm:
            per_layer += attention.head_dim * 2
        if attention.kind is AttentionKind.LATENT:
            per_layer += attention.latent_dim + attention.query_latent_dim
        if (family.has_qkv_bias or fields.flag("attention_bias")) and attention.kind is not AttentionKind.LINEAR:
            per_layer += attention.heads * attention.head_dim
            per_layer += attention.kv_heads * (attention.head_dim + attention.value_head_dim)
        if fields.text("model_type", "?") == "gpt_oss":
            # biases of gate, up and down in every expert, of the router and the output projection; one sink a head
            per_layer += feed_forward.experts * (2 * feed_forward.expert_width + hidden + 1) + hidden + attention.heads
        total += group.count * per_layer
    return total
