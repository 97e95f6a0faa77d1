"""Labels and annotations that tie objects to pool, tier and variant: written by ``manifests``, read by ``observe``.

They are API: users select by them, and a snapshot is rebuilt from them after a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from poolwright.controller.objects.object_names import MAX_LABEL, bounded
from poolwright.planner.snapshot import Variant

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "poolwright"

POOL: Final = "poolwright.io/pool"
TIER: Final = "poolwright.io/tier"
VARIANT: Final = "poolwright.io/variant"

ACCELERATOR: Final = "poolwright.io/accelerator"
WEIGHT_FORMAT: Final = "poolwright.io/weight-format"
KV_FORMAT: Final = "poolwright.io/kv-format"
TENSOR_PARALLEL: Final = "poolwright.io/tensor-parallel"
PIPELINE_PARALLEL: Final = "poolwright.io/pipeline-parallel"
MAX_NUM_SEQS: Final = "poolwright.io/max-num-seqs"
MAX_NUM_BATCHED_TOKENS: Final = "poolwright.io/max-num-batched-tokens"
MAX_QUEUED_REQUESTS: Final = "poolwright.io/max-queued-requests"
WEIGHT_BYTES: Final = "poolwright.io/weight-bytes"

APPLIED_HASH: Final = "poolwright.io/applied-hash"
"""Digest of what was last applied to an object, so that an unchanged wish costs no write."""


def pool_selector(pool: str) -> dict[str, str]:
    """Return the labels of everything that a pool owns; a name too long for a label value is cut with a hash."""
    return {MANAGED_BY: MANAGER, POOL: pool if len(pool) <= MAX_LABEL else bounded(pool)}


def tier_selector(pool: str, tier: str) -> dict[str, str]:
    """Return the labels of a tier's pods."""
    return {**pool_selector(pool), TIER: tier}


def selector_text(labels: Mapping[str, str]) -> str:
    """Return an equality selector as the API takes it in a query.

    >>> selector_text({"a": "1", "b": "2"})
    'a=1,b=2'
    """
    return ",".join(f"{key}={value}" for key, value in labels.items())


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Return an object's labels, none as an empty mapping."""
    return manifest.get("metadata", {}).get("labels") or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a Deployment says about itself: its variant, the limits that its engines were given, and what they load.

    ``max_queued_requests`` and ``weight_bytes`` are 0 where an older version did not write them.
    """

    variant: Variant
    max_num_seqs: int
    max_num_batched_tokens: int
    max_queued_requests: int = 0
    weight_bytes: float = 0.0


def variant_annotations(described: Described) -> dict[str, str]:
    """Return what a Deployment says about the variant that it runs."""
    variant = described.variant
    return {
        ACCELERATOR: variant.accelerator,
        WEIGHT_FORMAT: variant.weight_format,
        KV_FORMAT: variant.kv_format,
        TENSOR_PARALLEL: str(variant.tensor_parallel),
        PIPELINE_PARALLEL: str(variant.pipeline_parallel),
        MAX_NUM_SEQS: str(described.max_num_seqs),
        MAX_NUM_BATCHED_TOKENS: str(described.max_num_batched_tokens),
        MAX_QUEUED_REQUESTS: str(described.max_queued_requests),
        WEIGHT_BYTES: str(round(described.weight_bytes)),
    }


def variant_of(deployment: Mapping[str, Any]) -> Described | None:
    """Return what a Deployment says about itself, or None where that was edited away.

    Such a Deployment is not counted; applying the next plan restores its annotations.
    """
    notes = deployment.get("metadata", {}).get("annotations") or {}
    try:
        variant = Variant(
            tier=labels_of(deployment)[TIER],
            accelerator=notes[ACCELERATOR],
            weight_format=notes[WEIGHT_FORMAT],
            kv_format=notes[KV_FORMAT],
            tensor_parallel=int(notes[TENSOR_PARALLEL]),
            pipeline_parallel=int(notes[PIPELINE_PARALLEL]),
        )
        limits = int(notes[MAX_NUM_SEQS]), int(notes[MAX_NUM_BATCHED_TOKENS])
        queued, weights = int(notes.get(MAX_QUEUED_REQUESTS, 0)), int(notes.get(WEIGHT_BYTES, 0))
    except (KeyError, ValueError):
        return None
    if min(variant.tensor_parallel, variant.pipeline_parallel, *limits) < 1 or min(queued, weights) < 0:
        return None
    return Described(
        variant=variant,
        max_num_seqs=limits[0],
        max_num_batched_tokens=limits[1],
        max_queued_requests=queued,
        weight_bytes=float(weights),
    )
