"""Labels and annotations that tie objects to pool, tier and variant: written by ``manifests``, read by ``observe``.

They are API: users select by them, and a snapshot is rebuilt from them after a restart.
"""

from collections.abc import Mapping
from typing import Any, Final

from poolwright.controller.object_names import MAX_LABEL, bounded
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


def variant_annotations(variant: Variant, *, max_num_seqs: int, max_num_batched_tokens: int) -> dict[str, str]:
    """Return what a Deployment says about the variant that it runs."""
    return {
        ACCELERATOR: variant.accelerator,
        WEIGHT_FORMAT: variant.weight_format,
        KV_FORMAT: variant.kv_format,
        TENSOR_PARALLEL: str(variant.tensor_parallel),
        PIPELINE_PARALLEL: str(variant.pipeline_parallel),
        MAX_NUM_SEQS: str(max_num_seqs),
        MAX_NUM_BATCHED_TOKENS: str(max_num_batched_tokens),
    }


def variant_of(deployment: Mapping[str, Any]) -> tuple[Variant, int, int] | None:
    """Return variant, ``max_num_seqs`` and ``max_num_batched_tokens`` of a Deployment, or None where edited away.

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
    except (KeyError, ValueError):
        return None
    is_plausible = min(variant.tensor_parallel, variant.pipeline_parallel, *limits) >= 1
    return (variant, *limits) if is_plausible else None
