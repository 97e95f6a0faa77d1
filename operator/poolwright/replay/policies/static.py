"""The same number of replicas at all times."""

from collections.abc import Mapping
from dataclasses import dataclass

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant


@dataclass(frozen=True, slots=True)
class Static:
    """Always wants the same."""

    wanted: Mapping[str, int]

    @classmethod
    def made(
        cls, variants: tuple[FleetVariant, ...], objectives: Objectives, settings: Mapping[str, float]
    ) -> "Static":
        """Return one that wants ``replicas`` (setting, 1 by default) of the first variant."""
        del objectives
        unknown = set(settings) - {"replicas"}
        if unknown:
            raise ValueError(f"policy static: no setting {', '.join(sorted(unknown))}; known is replicas")
        return cls({variants[0].key: int(settings.get("replicas", 1))})

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return the wish."""
        del observed, now_s
        return self.wanted
