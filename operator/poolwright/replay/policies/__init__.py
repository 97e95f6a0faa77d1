"""Policies that size a fleet, by name: each sees ``Observed`` and answers with the replicas wanted of each variant."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.hpa import hpa_busy, hpa_running, hpa_waiting
from poolwright.replay.policies.keda import Keda
from poolwright.replay.policies.kpa import Kpa
from poolwright.replay.policies.means_only import MeansOnly
from poolwright.replay.policies.planned import Planned
from poolwright.replay.policies.slo_ratio import SloRatio
from poolwright.replay.policies.static import Static
from poolwright.replay.policies.token_saturation import TokenSaturation


class Policy(Protocol):
    """Decides every period. May remember; the same observations must lead to the same answers."""

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return the replicas wanted by variant; a variant left out stays as it is."""


MakePolicy = Callable[[tuple[FleetVariant, ...], Objectives, Mapping[str, float]], Policy]
"""(variants of the fleet, objectives, named settings) to a fresh policy."""

POLICIES: Final[dict[str, MakePolicy]] = {
    "static": Static.made,
    "hpa-busy": hpa_busy,
    "hpa-running": hpa_running,
    "hpa-waiting": hpa_waiting,
    "keda": Keda.made,
    "kpa": Kpa.made,
    "token-saturation": TokenSaturation.made,
    "slo-ratio": SloRatio.made,
    "means-only": MeansOnly.made,
    "planned": Planned.made,
}
"""Policy by the name that the command line takes."""


def policy_of(
    name: str,
    variants: tuple[FleetVariant, ...],
    objectives: Objectives,
    settings: Mapping[str, float] | None = None,
) -> Policy:
    """Return a fresh policy by name.

    Raises
    ------
    ValueError
        For a name or a setting that does not exist.
    """
    if name not in POLICIES:
        raise ValueError(f"policy {name!r}: known are {', '.join(sorted(POLICIES))}")
    return POLICIES[name](variants, objectives, settings or {})
