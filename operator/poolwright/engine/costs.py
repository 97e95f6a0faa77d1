"""What a step is estimated to compute and to move, over all processes: for metrics, not for decisions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolwright.engine.kv_cache import KvCache
from poolwright.engine.model.decoder import Decoder
from poolwright.engine.model.feed_forward import SparseMlp
from poolwright.engine.model.step import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """Counts of one model.

    Attributes
    ----------
    flop_per_token
        Products and sums of the layers' matrices for one token; a token visits ``experts_per_token`` experts.
    flop_per_logits
        Of the output head for one row.
    flop_per_seen_token
        Of attention, for each token that a token sees, in each layer.
    dense_bytes
        Weights that every step reads.
    expert_bytes, experts, experts_per_token
        Weights of all experts of all layers, how many there are in a layer, and how many a token visits.
    kv_bytes_per_token
        Keys and values of one token in one layer.
    layers_of_window
        How many layers have each window.
    """

    flop_per_token: float
    flop_per_logits: float
    flop_per_seen_token: float
    dense_bytes: float
    expert_bytes: float
    experts: int
    experts_per_token: int
    kv_bytes_per_token: float
    layers_of_window: Mapping[int | None, int]

    def flop(self, chunks: Sequence[Chunk]) -> float:
        """Return what a step computes [FLOP]."""
        tokens = sum(len(chunk.token_ids) for chunk in chunks)
        rows = sum(chunk.wants_logits for chunk in chunks)
        seen = sum(n * _seen(chunk, window) for window, n in self.layers_of_window.items() for chunk in chunks)
        return tokens * self.flop_per_token + rows * self.flop_per_logits + seen * self.flop_per_seen_token

    def bytes(self, chunks: Sequence[Chunk]) -> float:
        """Return what a step reads and writes of weights and KV cache [bytes].

        Experts are taken as visited at random: of E, tokens that each visit k leave (1 - k/E) ** tokens unread.
        """
        tokens = sum(len(chunk.token_ids) for chunk in chunks)
        unread = (1 - self.experts_per_token / self.experts) ** tokens if self.experts else 1.0
        kept = sum(
            layers * min(chunk.stop, window or chunk.stop)
            for window, layers in self.layers_of_window.items()
            for chunk in chunks
        )
        written = tokens * sum(self.layers_of_window.values())
        return self.dense_bytes + (1 - unread) * self.expert_bytes + (kept + written) * self.kv_bytes_per_token


def _seen(chunk: Chunk, window: int | None) -> int:
    """Return over all tokens of a chunk how many tokens each sees, itself included."""
    full = max(chunk.start, min(chunk.stop, window or chunk.stop))  # tokens before this place see all before them
    growing = (full * (full + 1) - chunk.start * (chunk.start + 1)) // 2
    return growing + (chunk.stop - full) * (window or 0)


def step_costs(model: Decoder, cache: KvCache) -> StepCosts:
    """Return the counts of a model in memory."""
    config, experts = model.config, model.config.experts
    attention = config.hidden * config.head_dim * 2 * (config.heads + config.kv_heads)
    dense = 3 * config.hidden * config.width
    routed = config.hidden * (3 * experts.width * experts.per_token + experts.count) if experts else 0
    matrices = sum(attention + (routed if is_sparse else dense) for is_sparse in config.sparse_layers)
    expert_bytes = sum(
        expert.bytes
        for layer in model.layers
        if isinstance(layer.feed_forward, SparseMlp)
        for expert in layer.feed_forward.experts
    )
    processes = config.heads // model.heads
    everything = sum(layer.qkv.bytes + layer.output.bytes + layer.feed_forward.bytes for layer in model.layers)
    return StepCosts(
        flop_per_token=2.0 * matrices,
        flop_per_logits=2.0 * config.hidden * config.vocabulary,
        flop_per_seen_token=4.0 * config.heads * config.head_dim,
        dense_bytes=float((everything - expert_bytes) * processes + model.head.bytes),
        expert_bytes=float(expert_bytes * processes),
        experts=experts.count if experts else 0,
        experts_per_token=experts.per_token if experts else 0,
        kv_bytes_per_token=2.0 * config.kv_heads * config.head_dim * cache.keys[0].element_size(),
        layers_of_window=Counter(config.windows),
    )
