"""From the shared part of a FleetPolicy to the core: dollars an hour and grams a kilowatt-hour become SI."""

from typing import Final

from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.shared_spec import SharedAcceleratorSpec
from poolwright.planner.fleet.request import FleetLimits, Purpose, Supply
from poolwright.planner.policy import Budget
from poolwright.units import JOULES_PER_KWH, ratio_from_percent, usd_per_s_from_usd_per_h

USUAL_WEIGHT: Final = 100
"""Weight of a pool that the policy does not name: the field's description says so."""


def fleet_limits(fleet: FleetPolicy) -> FleetLimits | None:
    """Return what a policy's pools share; None where they share nothing."""
    shared = fleet.spec.shared
    if shared is None:
        return None
    budget = shared.budget
    return FleetLimits(
        supplies=tuple(_supply(each) for each in shared.accelerators),
        budget=Budget(
            usd_per_s=None if budget.usd_per_hour is None else usd_per_s_from_usd_per_h(float(budget.usd_per_hour)),
            watts=None if budget.watts is None else float(budget.watts),
        ),
        purpose=Purpose(shared.objective.value),
        grams_per_j=shared.carbon_grams_per_kilowatt_hour / JOULES_PER_KWH,
    )


def _supply(spec: SharedAcceleratorSpec) -> Supply:
    price, carbon = spec.spot_usd_per_hour, spec.carbon_grams_per_kilowatt_hour
    return Supply(
        accelerator=spec.accelerator,
        quota=spec.max_accelerators,
        reserved=spec.reserved,
        spot=spec.spot,
        spot_usd_per_s=None if price is None else usd_per_s_from_usd_per_h(float(price)),
        grams_per_j=None if carbon is None else carbon / JOULES_PER_KWH,
    )


def utility(fleet: FleetPolicy, namespace: str, pool: str) -> float:
    """Return what a request of a pool is worth, 1 where the policy does not name it."""
    shared = fleet.spec.shared
    weights = {} if shared is None else {(each.namespace, each.pool): each.weight for each in shared.utilities}
    return weights.get((namespace, pool), USUAL_WEIGHT) / USUAL_WEIGHT


def spot_ratio(fleet: FleetPolicy) -> float:
    """Return the share of each pool's accelerators that may be interruptible [ratio]."""
    return 0.0 if fleet.spec.shared is None else ratio_from_percent(fleet.spec.shared.spot_percent)
