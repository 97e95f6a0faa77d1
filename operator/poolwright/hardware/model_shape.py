"""The architecture of a language model as the physics sees it: layers, widths, experts, attention kinds.

Counts parameters and KV values from the shape. Does not parse files (``hf_config``) or choose formats (``planner``).
Symbols: docs/model.md section 1.
"""

from dataclasses import dataclass
from enum import StrEnum


class AttentionKind(StrEnum):
    """How a layer mixes tokens, which decides what it keeps per token or per sequence."""

    FULL = "full"
    SLIDING = "sliding"
    LATENT = "latent"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Attention (or its linear replacement) of one layer.

    Attributes
    ----------
    kind
        FULL keeps every token, SLIDING the last ``window_tokens``, LATENT one compressed vector of
        ``latent_dim + rope_dim`` per token (MLA), LINEAR a constant state of ``state_values`` per sequence.
    heads, kv_heads, head_dim, value_head_dim
        Query heads, KV heads, width of a query/key head, width of a value head.
    latent_dim, rope_dim, query_latent_dim
        MLA's ``kv_lora_rank``, ``qk_rope_head_dim`` and ``q_lora_rank`` (0: queries are not compressed).
    window_tokens
        Window of SLIDING layers, otherwise 0.
    state_values
        Values of recurrent and convolution state per sequence of LINEAR layers (and of layers that run attention and a
        state-space mixer side by side), otherwise 0.
    projection_parameters
        Weights of the layer's input and output projections (all heads), biases and norms apart.
    has_qk_norm
        Whether queries and keys are normalised (more kernels a layer).
    is_causal
        False in encoders: every token sees all, the prompt is read at once and no cache is kept.
    index_heads, index_dim, selected_tokens
        Learned sparse attention: an indexer of ``index_heads`` scores one key of ``index_dim`` values per cached token,
        and each query attends to the best ``selected_tokens``; 0 without.
    """

    kind: AttentionKind
    heads: int
    kv_heads: int
    head_dim: int
    value_head_dim: int
    latent_dim: int = 0
    rope_dim: int = 0
    query_latent_dim: int = 0
    window_tokens: int = 0
    state_values: int = 0
    projection_parameters: int
    has_qk_norm: bool = False
    is_causal: bool = True
    index_heads: int = 0
    index_dim: int = 0
    selected_tokens: int = 0

    @property
    def kv_values_per_token(self) -> int:
        """Values kept per token and layer before any window: K and V, or MLA's compressed vector, or none."""
        if self.kind is AttentionKind.LINEAR or not self.is_causal:
            return 0
        if self.kind is AttentionKind.LATENT:
            return self.latent_dim + self.rope_dim + self.index_dim
        return self.kv_heads * (self.head_dim + self.value_head_dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """Dense MLP or experts of one layer.

    Attributes
    ----------
    dense_parameters
        Weights read for every token: a dense MLP, or the shared experts and the router of a sparse layer.
    experts, experts_per_token, expert_parameters
        Routed experts, how many a token visits, weights of one (SwiGLU has three matrices); 0 for a dense layer.
    has_shared_expert
        Whether every token visits an expert beside the routed ones (its weights are in ``dense_parameters``).
    dense_width, expert_width
        Intermediate widths of the dense MLP (or shared experts) and of one routed expert: sizes of activations.
    """

    dense_parameters: int
    experts: int = 0
    experts_per_token: int = 0
    expert_parameters: int = 0
    has_shared_expert: bool = False
    dense_width: int = 0
    expert_width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """``count`` identical layers."""

    count: int
    attention: Attention
    feed_forward: FeedForward


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A whole model.

    Attributes
    ----------
    name
        Hugging Face id or catalogue name.
    hidden, vocabulary
        Width of the residual stream and number of tokens known.
    groups
        Layers grouped by equal shape; order inside the stack does not matter to the physics.
    embedding_parameters, head_parameters
        Input embedding table and output head; the head is 0 when tied (it is still read once per step).
    norm_parameters
        Everything small: norms, biases, routers' biases.
    max_context_tokens
        Longest sequence the model was made for.
    native_format
        Format of the published checkpoint (name in ``number_format.FORMATS``).
    source
        Where the numbers come from.
    auxiliary_parameters
        Vision or audio towers and their projectors: loaded, but not multiplied with text tokens.
    quantises_only_experts
        Whether ``native_format`` holds for routed experts alone, everything else being 16-bit.
    has_head
        False for encoders that return embeddings: no token is predicted, no vocabulary multiplied.
    warnings
        What the parser had to assume.
    """

    name: str
    hidden: int
    vocabulary: int
    groups: tuple[LayerGroup, ...]
    embedding_parameters: int
    head_parameters: int
    norm_parameters: int
    max_context_tokens: int
    native_format: str
    source: str
    auxiliary_parameters: int = 0
    quantises_only_experts: bool = False
    has_head: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(group.count for group in self.groups)

    @property
    def parameters_total(self) -> int:
        """All weights of the checkpoint."""
        return (
            self.embedding_parameters
            + self.head_parameters
            + self.norm_parameters
            + self.auxiliary_parameters
            + sum(
                group.count
                * (
                    group.attention.projection_parameters
                    + group.feed_forward.dense_parameters
                    + group.feed_forward.experts * group.feed_forward.expert_parameters
                )
                for group in self.groups
            )
        )

    @property
    def parameters_active(self) -> int:
        """Weights of the language model that one token uses: embedding table and head counted whole, towers not."""
        inactive = sum(
            group.count
            * (group.feed_forward.experts - group.feed_forward.experts_per_token)
            * group.feed_forward.expert_parameters
            for group in self.groups
        )
        return self.parameters_total - self.auxiliary_parameters - inactive

    def kv_values_per_sequence(self, context_tokens: float) -> float:
        """Return values of KV cache and state that one sequence of ``context_tokens`` holds over all layers."""
        values = 0.0
        for group in self.groups:
            attention = group.attention
            kept = min(context_tokens, attention.window_tokens) if attention.window_tokens else context_tokens
            values += group.count * (attention.kv_values_per_token * kept + attention.state_values)
        return values
