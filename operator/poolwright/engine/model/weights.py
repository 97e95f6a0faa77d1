"""Builds a decoder from a checkpoint: which tensor belongs where, and which matrices are computed side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint
from poolwright.engine.formats.on_load import WeightFormat, quantised
from poolwright.engine.formats.quantised import QuantisedWeight
from poolwright.engine.formats.reader import WeightReader, weight_reader
from poolwright.engine.model.config import Experts, ModelConfig, model_config
from poolwright.engine.model.decoder import Decoder, Layer
from poolwright.engine.model.feed_forward import DenseMlp, SparseMlp
from poolwright.engine.model.linear import Linear, Weight, linear, plain_linear
from poolwright.engine.model.part import WHOLE, Part
from poolwright.engine.model.rope import inverse_frequencies

Transform = Callable[[Weight], Weight]
"""What is done with each matrix between file and memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loader:
    """What every part of a model needs to be read."""

    checkpoint: Checkpoint
    config: ModelConfig
    reader: WeightReader
    transform: Transform
    dtype: torch.dtype
    device: torch.device
    part: Part

    def vector(self, name: str, length: int) -> Tensor:
        """Return a norm's weights or a bias."""
        return self.checkpoint.tensor(name, (length,)).to(device=self.device, dtype=self.dtype)

    def table(self, name: str, shape: tuple[int, int]) -> Tensor:
        """Return a matrix that is never quantised."""
        return self.checkpoint.tensor(name, shape).to(device=self.device, dtype=self.dtype)

    def wide(self, prefixes: Sequence[str], outputs: Sequence[int], inputs: int, *, has_bias: bool) -> Linear:
        """Return layers of the same inputs as one; of each, this process's outputs."""
        weights, biases = [], []
        for prefix, count in zip(prefixes, outputs, strict=True):
            start, stop = self.part.of(count)
            weight = self._matrix(prefix, (count, inputs))
            weights.append(weight.rows(start, stop) if isinstance(weight, QuantisedWeight) else weight[start:stop])
            if has_bias:
                biases.append(self.vector(f"{prefix}.bias", count)[start:stop])
        return linear(weights, torch.cat(biases) if biases else None, self.dtype, self.device)

    def narrow(self, prefix: str, outputs: int, inputs: int, *, has_bias: bool) -> Linear:
        """Return a layer of which this process has some inputs; only the first adds the bias to the sum."""
        start, stop = self.part.of(inputs)
        weight = self._matrix(prefix, (outputs, inputs))
        mine = weight.columns(start, stop) if isinstance(weight, QuantisedWeight) else weight[:, start:stop]
        bias = self.vector(f"{prefix}.bias", outputs) if has_bias and self.part.rank == 0 else None
        return linear([mine], bias, self.dtype, self.device)

    def _matrix(self, prefix: str, shape: tuple[int, int]) -> Weight:
        return self.transform(self.reader.weight(self.checkpoint, prefix, shape))


def unchanged(weight: Weight) -> Weight:
    """Return a matrix as it was stored."""
    return weight


def alone(partial: Tensor) -> Tensor:
    """Return what one process has computed: it is everything."""
    return partial


def to_format(to: WeightFormat) -> Transform:
    """Return what quantises plain matrices and leaves quantised ones as they are."""
    return lambda weight: weight if isinstance(weight, QuantisedWeight) else quantised(weight, to)


def load_decoder(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype,
    device: torch.device,
    transform: Transform = unchanged,
    part: Part = WHOLE,
    added: Callable[[Tensor], Tensor] = alone,
) -> Decoder:
    """Read a whole model.

    Parameters
    ----------
    checkpoint
        Where from.
    dtype
        Of activations and of plain weights.
    device
        Where it runs.
    transform
        Applied to each matrix of attention and MLP, such as quantisation; head, embedding and routers stay.
    part, added
        Which part of heads and widths this process computes, and what sums the parts.

    Raises
    ------
    CheckpointError
        Something in it is missing or has the wrong shape.
    """
    config = model_config(checkpoint.config, str(checkpoint.directory / "config.json"))
    part.check(config)
    loader = _Loader(
        checkpoint=checkpoint,
        config=config,
        reader=weight_reader(config.quantisation),
        transform=transform,
        dtype=dtype,
        device=device,
        part=part,
    )
    embedding = loader.table("model.embed_tokens.weight", (config.vocabulary, config.hidden))
    frequencies, scale = inverse_frequencies(config.rope, config.head_dim, config.max_positions)
    return Decoder(
        config=config,
        heads=config.heads // part.size,
        kv_heads=config.kv_heads // part.size,
        embedding=embedding,
        layers=tuple(_layer(loader, index) for index in range(config.layers)),
        norm=loader.vector("model.norm.weight", config.hidden),
        head=_head(loader, embedding),
        frequencies=frequencies.to(device),
        rope_scale=scale,
        added=added,
    )


def _head(loader: _Loader, embedding: Tensor) -> Linear:
    config = loader.config
    if config.is_tied:
        return plain_linear(embedding)
    weight = loader.reader.weight(loader.checkpoint, "lm_head", (config.vocabulary, config.hidden))
    return linear([weight], None, loader.dtype, loader.device)


def _layer(loader: _Loader, index: int) -> Layer:
    config, prefix = loader.config, f"model.layers.{index}"
    attention = f"{prefix}.self_attn"
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    names = [f"{attention}.{name}_proj" for name in "qkv"]
    norms = [loader.vector(f"{attention}.{n}_norm.weight", config.head_dim) for n in "qk" if config.has_qk_norm]
    return Layer(
        input_norm=loader.vector(f"{prefix}.input_layernorm.weight", config.hidden),
        qkv=loader.wide(names, [queries, keys, keys], config.hidden, has_bias=config.has_qkv_bias),
        query_norm=norms[0] if norms else None,
        key_norm=norms[1] if norms else None,
        output=loader.narrow(f"{attention}.o_proj", config.hidden, queries, has_bias=config.has_output_bias),
        feed_forward_norm=loader.vector(f"{prefix}.post_attention_layernorm.weight", config.hidden),
        feed_forward=_feed_forward(loader, index, prefix),
        window=config.windows[index],
    )


def _feed_forward(loader: _Loader, index: int, prefix: str) -> DenseMlp | SparseMlp:
    config = loader.config
    if config.experts is None or not config.sparse_layers[index]:
        names = (f"{prefix}.mlp.gate_proj", f"{prefix}.mlp.up_proj", f"{prefix}.mlp.down_proj")
        return _mlp(loader, names, config.width)
    if config.architecture == "mixtral":
        return _experts(loader, config.experts, f"{prefix}.block_sparse_moe", ("w1", "w3", "w2"))
    return _experts(loader, config.experts, f"{prefix}.mlp", ("gate_proj", "up_proj", "down_proj"))


def _experts(loader: _Loader, experts: Experts, prefix: str, names: tuple[str, str, str]) -> SparseMlp:
    """Return routed experts; ``names`` are those of gate, up and down."""
    return SparseMlp(
        router=loader.table(f"{prefix}.gate.weight", (experts.count, loader.config.hidden)),
        experts=tuple(
            _mlp(loader, [f"{prefix}.experts.{expert}.{name}" for name in names], experts.width)
            for expert in range(experts.count)
        ),
        per_token=experts.per_token,
        normalises=experts.normalises,
    )


def _mlp(loader: _Loader, names: Sequence[str], width: int) -> DenseMlp:
    """Return one SwiGLU; ``names`` are those of gate, up and down."""
    hidden, has_bias = loader.config.hidden, loader.config.has_mlp_bias
    return DenseMlp(
        gate_up=loader.wide(names[:2], [width, width], hidden, has_bias=has_bias),
        down=loader.narrow(names[2], hidden, width, has_bias=has_bias),
    )
