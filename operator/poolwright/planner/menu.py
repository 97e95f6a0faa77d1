"""Ways to run a model that are open to a pool: accelerator x weight format x KV format x tensor parallelism.

Keeps only what could exist (in the cluster, on the menu, with hardware for the format, dividing the heads); whether it
fits, serves or pays is decided in ``candidates`` and ``optimise``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import Catalogue, UnknownAcceleratorError
from poolwright.hardware.model_shape import AttentionKind, ModelShape
from poolwright.hardware.number_format import FORMATS
from poolwright.planner.policy import PoolPolicy
from poolwright.planner.snapshot import Inventory, Missing, Snapshot

DEFAULT_KV_FORMAT: Final = "bf16"
"""KV format where the policy names none: engines keep the cache in the activations' format unless told otherwise; fp8
would halve its bytes at a cost in accuracy that only the user can judge."""

TENSOR_PARALLEL: Final = (1, 2, 4, 8, 16)
"""Degrees that are considered: powers of two, as heads and links divide evenly by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to run a model, before anything was computed."""

    accelerator: Accelerator
    weight_format: str
    kv_format: str
    tensor_parallel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """Accelerators that a pool may use, and a sentence for each that it may not."""

    accelerators: tuple[Accelerator, ...]
    refused: tuple[str, ...]


def menu_of(policy: PoolPolicy, snapshot: Snapshot, catalogue: Catalogue) -> Menu:
    """Return accelerators that the policy names (or, naming none, that the cluster has) and the catalogue knows.

    An inventory that could not be read refuses nothing that the policy names; accelerators that already run stay open.
    """
    running = {state.variant.accelerator for state in snapshot.variants}
    present = None if isinstance(snapshot.inventory, Missing) else _present(snapshot.inventory) | running
    named = tuple(choice.name for choice in policy.accelerators) or tuple(sorted(present or running))
    accelerators: dict[str, Accelerator] = {}
    refused: list[str] = []
    for name in named:
        try:
            accelerator = catalogue.accelerator(name)
        except UnknownAcceleratorError as error:
            refused.append(str(error))
            continue
        if present is not None and accelerator.name not in present:
            refused.append(f"no node has {accelerator.name}, and no autoscaler is known to provide it")
        else:
            accelerators[accelerator.name] = accelerator
    if not named:
        refused.append("the policy names no accelerator and the cluster's could not be read or has none")
    return Menu(accelerators=tuple(accelerators.values()), refused=tuple(refused))


def _present(inventory: Inventory) -> set[str]:
    return {name for name, count in inventory.total if count > 0} | set(inventory.provisionable)


def options_of(policy: PoolPolicy, menu: Menu) -> Iterator[Option]:
    """Yield every way to run the policy's model on the menu, formats in order of preference."""
    for accelerator in menu.accelerators:
        for weight_format in policy.weight_formats or (policy.model.native_format,):
            for kv_format in policy.kv_formats or (DEFAULT_KV_FORMAT,):
                if FORMATS[weight_format].compute in accelerator.peak_flop_per_s:
                    yield from _degrees(policy, accelerator, weight_format, kv_format)


def _degrees(policy: PoolPolicy, accelerator: Accelerator, weight_format: str, kv_format: str) -> Iterator[Option]:
    most = min(policy.max_tensor_parallel, accelerator.node_accelerators, accelerator.scale_up_domain)
    for degree in TENSOR_PARALLEL:
        if degree <= most and divides_heads(policy.model, degree):
            yield Option(
                accelerator=accelerator,
                weight_format=weight_format,
                kv_format=kv_format,
                tensor_parallel=degree,
            )


def divides_heads(model: ModelShape, degree: int) -> bool:
    """Return whether every attention layer's query heads split evenly over ``degree`` accelerators."""
    return all(
        group.attention.heads % degree == 0
        for group in model.groups
        if group.attention.kind is not AttentionKind.LINEAR
    )


def max_replicas_of(policy: PoolPolicy) -> Mapping[str, int]:
    """Return the menu's own ceilings by accelerator name, as it spells them."""
    return {each.name: each.max_replicas for each in policy.accelerators if each.max_replicas is not None}
