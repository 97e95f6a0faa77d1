"""Every hard ceiling of a pool, from its policy and the cluster, as linear constraints over its variants.

Knows where bounds come from and says so in their names; how they are shared out is in ``constraints``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from poolwright.planner.constraints import Constraint
from poolwright.planner.policy import PoolPolicy
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import Inventory, Missing, Snapshot, Variant
from poolwright.units import usd_per_h_from_usd_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCost:
    """What one replica of a variant costs [$/s], None where no price is known, and its power limit [W]."""

    usd_per_s: float | None
    power_w: float


def ceilings_of(policy: PoolPolicy, snapshot: Snapshot, costs: Mapping[Variant, ReplicaCost]) -> tuple[Constraint, ...]:
    """Return the constraints that bind the variants of ``costs``.

    Notes
    -----
    The cluster limits growth only: what was already asked for stays asked for, pending or not, since an accelerator
    that a terminating pod still holds would otherwise look like a shortage. An unpriced variant does not count towards
    a $ budget; ``optimise`` chooses none where there is one.
    """
    variants = sorted(costs)
    maximum = Constraint(
        name=f"the pool's maximum is {policy.scaling.max_replicas}",
        reason=Reason.MAX_REPLICAS,
        binding=Binding.MAX_REPLICAS,
        bound=float(policy.scaling.max_replicas),
        use={variant.key: 1.0 for variant in variants},
    )
    by_accelerator = {
        variant.accelerator: [v for v in variants if v.accelerator == variant.accelerator] for variant in variants
    }
    return (
        maximum,
        *_menu(policy, by_accelerator),
        *_quotas(policy, by_accelerator),
        *_cluster(snapshot, by_accelerator),
        *_budgets(policy, costs),
    )


def _accelerators(name: str, bound: float, variants: Sequence[Variant], use: Callable[[Variant], float]) -> Constraint:
    return Constraint(
        name=name,
        reason=Reason.ACCELERATOR_LIMIT,
        binding=Binding.ACCELERATORS,
        bound=bound,
        use={variant.key: use(variant) for variant in variants},
    )


def _size(variant: Variant) -> float:
    return float(variant.accelerators)


def _menu(policy: PoolPolicy, by_accelerator: Mapping[str, Sequence[Variant]]) -> list[Constraint]:
    return [
        _accelerators(
            f"the menu allows {choice.max_replicas} replicas on {choice.name}",
            float(choice.max_replicas),
            by_accelerator[choice.name],
            lambda _: 1.0,
        )
        for choice in policy.accelerators
        if choice.max_replicas is not None and choice.name in by_accelerator
    ]


def _quotas(policy: PoolPolicy, by_accelerator: Mapping[str, Sequence[Variant]]) -> list[Constraint]:
    return [
        _accelerators(f"the quota is {quota} {name}", float(quota), by_accelerator[name], _size)
        for name, quota in policy.max_accelerators
        if name in by_accelerator
    ]


def _cluster(snapshot: Snapshot, by_accelerator: Mapping[str, Sequence[Variant]]) -> list[Constraint]:
    if isinstance(snapshot.inventory, Missing):
        return []
    inventory = snapshot.inventory
    return [
        _accelerators(
            f"the cluster has {available(snapshot, inventory, name)} {name} for this pool",
            float(available(snapshot, inventory, name)),
            variants,
            _size,
        )
        for name, variants in by_accelerator.items()
        if name not in inventory.provisionable
    ]


def available(snapshot: Snapshot, inventory: Inventory, accelerator: str) -> int:
    """Return accelerators that a pool may count on: free ones and its own, at least what it already asked for."""
    own = [state for state in snapshot.variants if state.variant.accelerator == accelerator]
    held = sum(max(each.ready + each.starting - each.unschedulable, 0) * each.variant.accelerators for each in own)
    asked = sum(each.wanted * each.variant.accelerators for each in own)
    return max(dict(inventory.free).get(accelerator, 0) + held, asked)


def _budgets(policy: PoolPolicy, costs: Mapping[Variant, ReplicaCost]) -> list[Constraint]:
    found: list[Constraint] = []
    if policy.budget.usd_per_s is not None:
        name = f"the budget is {usd_per_h_from_usd_per_s(policy.budget.usd_per_s):.2f} $/h"
        found.append(_budget(name, policy.budget.usd_per_s, costs, lambda cost: cost.usd_per_s or 0.0))
    if policy.budget.watts is not None:
        name = f"the budget is {policy.budget.watts:.0f} W"
        found.append(_budget(name, policy.budget.watts, costs, lambda cost: cost.power_w))
    return found


def _budget(
    name: str, bound: float, costs: Mapping[Variant, ReplicaCost], use: Callable[[ReplicaCost], float]
) -> Constraint:
    return Constraint(
        name=name,
        reason=Reason.BUDGET,
        binding=Binding.BUDGET,
        bound=bound,
        use={variant.key: use(cost) for variant, cost in costs.items()},
    )
