"""How far real kernels stay below datasheets: sourced constants, and the dimensionless factors that learning may move.

A factor of 1 is the constant; an efficiency never exceeds 1 whatever the factor, so no calibration passes a floor.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Factor = float | NDArray[np.float64]

KV_STREAM_RATIO: Final = 0.72
"""Share of the datasheet bandwidth at which decode attention reads the cache [ratio]: paged, ragged lengths; published
FlashDecoding and FlashInfer kernels reach 0.6-0.8 on long contexts. Erring high makes long contexts look too fast."""

ATTENTION_COMPUTE_RATIO: Final = 0.5
"""Share of the 16-bit peak that prefill attention reaches [ratio]: FlashAttention-2 0.35-0.5 and FlashAttention-3 up to
0.75 on an H100 (Shah et al., 2024, arXiv:2407.08608). Erring high makes long prompts look too fast."""

LINEAR_COMPUTE_RATIO: Final = 0.25
"""Share of the 16-bit peak that chunked scans of linear layers reach [ratio]: small matrices a chunk and more passes
over memory (Dao and Gu, 2024, arXiv:2405.21060, section 6). Erring high makes their prefill look too fast."""

ELEMENTWISE_STREAM_RATIO: Final = 0.7
"""Share of the datasheet bandwidth of norms, activations and quantisation of activations [ratio]: streaming copies
reach 0.85-0.9, short fused kernels less. Erring high makes prefill of small models look too fast."""

EXPERT_STREAM_FACTOR: Final = 1.07
"""Weight streaming of grouped expert products relative to dense ones [ratio]: many short reads, imbalance between
blocks. Erring high makes sparse models look too fast."""

ROUTING_SKEW: Final = 0.75
"""Exponent factor of expert coverage: real routers choose less evenly than dice, so that fewer distinct experts are
touched [1]; 1 is uniform. Erring low makes sparse models look too fast at small batch."""

GEMM_TILE_TOKENS: Final = 64.0
"""Tokens that tile and wave quantisation add to a product on average [tokens]: half of a 128-row tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiencies:
    """Factors on the sourced constants, all dimensionless and positive.

    A field may hold one factor for each of several rows (see ``rows``).

    Attributes
    ----------
    weight_bandwidth, expert_bandwidth, kv_bandwidth
        On the share of memory bandwidth reached when reading dense weights, experts and cache.
    gemm, expert_gemm, attention
        On the share of peak compute of dense products, grouped expert products and prefill attention.
    link_bandwidth, link_latency
        On the bandwidth of collectives, and on their latency.
    kernel_latency, step_overhead
        On the time between kernels and on host work a step.
    routing_skew
        On the exponent of expert coverage.
    step
        On the whole step: what remains of one deployment's bias. Floors hold whatever it is.
    launch
        On the host's launch of prefill steps.
    first_token
        On TTFT, queueing for a slot apart; step times do not use it.
    """

    weight_bandwidth: Factor = 1.0
    expert_bandwidth: Factor = 1.0
    kv_bandwidth: Factor = 1.0
    gemm: Factor = 1.0
    expert_gemm: Factor = 1.0
    attention: Factor = 1.0
    link_bandwidth: Factor = 1.0
    link_latency: Factor = 1.0
    kernel_latency: Factor = 1.0
    step_overhead: Factor = 1.0
    routing_skew: Factor = 1.0
    step: Factor = 1.0
    launch: Factor = 1.0
    first_token: Factor = 1.0

    def __post_init__(self) -> None:
        """Refuse factors that are not positive and finite."""
        for each in fields(self):
            value = np.asarray(getattr(self, each.name))
            if not np.all((value > 0.0) & np.isfinite(value)):
                raise ValueError(f"{each.name} is {value}, must be positive and finite")

    def rows(self, indices: NDArray[np.intp]) -> "Efficiencies":
        """Return the factors of some rows as a column, where fields hold one factor per row."""
        chosen = {
            each.name: value[indices, np.newaxis]
            for each in fields(self)
            if isinstance(value := getattr(self, each.name), np.ndarray)
        }
        return replace(self, **chosen)


DATASHEET: Final = Efficiencies()
"""Sourced constants as they are: what is known without any measurement."""
