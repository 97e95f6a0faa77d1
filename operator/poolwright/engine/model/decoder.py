"""The decoder as a pure function of weights, cache and step: logits of each sequence's last token."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from poolwright.engine.kv_cache import KvCache, write
from poolwright.engine.model.attention import attended
from poolwright.engine.model.config import ModelConfig
from poolwright.engine.model.feed_forward import DenseMlp, SparseMlp, fed_forward
from poolwright.engine.model.linear import Linear
from poolwright.engine.model.rope import cosines, rotated
from poolwright.engine.model.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Weights of one layer; ``query_norm`` and ``key_norm``, (head_dim), only where the architecture has them."""

    input_norm: Tensor
    qkv: Linear
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Linear
    feed_forward_norm: Tensor
    feed_forward: DenseMlp | SparseMlp
    window: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A model in memory.

    ``heads`` and ``kv_heads`` are those computed here; ``frequencies``, (head_dim / 2), and ``rope_scale`` turn
    positions into angles. ``added`` sums partial results over all processes that compute the model together.
    """

    config: ModelConfig
    heads: int
    kv_heads: int
    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Linear
    frequencies: Tensor
    rope_scale: float
    added: Callable[[Tensor], Tensor]


def logits(model: Decoder, cache: KvCache, step: Step) -> Tensor:
    """Compute a step, write its keys and values; return (last, vocabulary) in float32, a row for each ``step.last``."""
    hidden = model.embedding[step.token_ids]  # (tokens, hidden)
    cosine, sine = cosines(step.positions, model.frequencies, model.rope_scale)
    turn = cosine.to(hidden.dtype), sine.to(hidden.dtype)
    epsilon = model.config.norm_epsilon
    for index, layer in enumerate(model.layers):
        normed = normalised(hidden, layer.input_norm, epsilon)
        hidden = hidden + _mixed(model, layer, normed, turn, (cache.keys[index], cache.values[index]), step)
        normed = normalised(hidden, layer.feed_forward_norm, epsilon)
        hidden = hidden + model.added(fed_forward(layer.feed_forward, normed))
    if not len(step.last):
        return hidden.new_empty((0, model.config.vocabulary), dtype=torch.float32)
    last = normalised(hidden[step.last], model.norm, epsilon)  # (last, hidden)
    return model.head(last).to(torch.float32)


def normalised(values: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return values with a root mean square of one over the last axis, times a weight; computed in float32."""
    if values.dtype == torch.float32:
        return functional.rms_norm(values, weight.shape, weight, epsilon)
    return functional.rms_norm(values.to(torch.float32), weight.shape, None, epsilon).to(values.dtype) * weight


def _mixed(
    model: Decoder, layer: Layer, normed: Tensor, turn: tuple[Tensor, Tensor], kept: tuple[Tensor, Tensor], step: Step
) -> Tensor:
    """Return one layer's attention block, (tokens, hidden) in and out; ``kept`` is the layer's keys and values."""
    dim = model.config.head_dim
    qkv = layer.qkv(normed).view(len(normed), -1, dim)  # (tokens, heads + 2 * kv_heads, head_dim)
    query, key, value = qkv.split([model.heads, model.kv_heads, model.kv_heads], dim=1)
    if layer.query_norm is not None and layer.key_norm is not None:
        query = normalised(query, layer.query_norm, model.config.norm_epsilon)
        key = normalised(key, layer.key_norm, model.config.norm_epsilon)
    query, key = rotated(query, *turn), rotated(key, *turn)
    write(kept[0], step.slots, key)
    write(kept[1], step.slots, value)
    mixed = attended(query, key, value, *kept, step, layer.window)
    return model.added(layer.output(mixed.reshape(len(normed), -1)))
