"""What a fleet's plan leaves to one pool: ceilings on what pools compete for, with the words that say why.

A pool plans within it as within any other limit: docs/model.md equation (10.5). Made by ``controller.fleet`` from a
``FleetPlan``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poolwright.planner.ceilings import ReplicaCost
from poolwright.planner.constraints import Constraint
from poolwright.planner.menu import Option
from poolwright.planner.outcome import Step
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """One pool's share.

    Attributes
    ----------
    accelerators
        Most accelerators of each name that is bounded for the whole fleet.
    chosen
        Accelerators on which the fleet's plan serves the pool; empty where it serves it on none.
    usd_per_s, watts
        The pool's share of the fleet's budget; None without one.
    told
        Tier and sentence, for each tier that does not run what it would run alone.
    """

    accelerators: tuple[tuple[str, int], ...] = ()
    chosen: tuple[str, ...] = ()
    usd_per_s: float | None = None
    watts: float | None = None
    told: tuple[tuple[str, str], ...] = ()

    @property
    def why(self) -> str:
        """Every sentence in one."""
        return "; ".join(f"{tier}: {text}" for tier, text in self.told)


def within(allotment: Allotment | None, options: Sequence[Option]) -> tuple[Option, ...]:
    """Return options on accelerators that the fleet's plan uses for the pool, or does not bound.

    Where it serves the pool on none, all stay: the pool's wish is then shown with the reason that cuts it.
    """
    if allotment is None or not allotment.chosen:
        return tuple(options)
    bounded = {name for name, _ in allotment.accelerators}
    return tuple(
        each for each in options if each.accelerator.name in allotment.chosen or each.accelerator.name not in bounded
    )


def shares(allotment: Allotment | None, costs: Iterable[tuple[Variant, ReplicaCost]]) -> tuple[Constraint, ...]:
    """Return an allotment as ceilings over a pool's variants."""
    if allotment is None:
        return ()
    pairs = list(costs)
    because = f": {allotment.why}" if allotment.told else ""
    found = [
        _share(
            f"the fleet allots {count} {name}{because}",
            Binding.ACCELERATORS,
            float(count),
            {variant.key: float(variant.accelerators) for variant, _ in pairs if variant.accelerator == name},
        )
        for name, count in allotment.accelerators
    ]
    if allotment.usd_per_s is not None:
        use = {variant.key: cost.usd_per_s or 0.0 for variant, cost in pairs}
        found.append(_share(f"the fleet's budget leaves no more{because}", Binding.BUDGET, allotment.usd_per_s, use))
    if allotment.watts is not None:
        use = {variant.key: cost.power_w for variant, cost in pairs}
        found.append(_share(f"the fleet's power leaves no more{because}", Binding.BUDGET, allotment.watts, use))
    return tuple(found)


def _share(name: str, binding: Binding, bound: float, use: dict[str, float]) -> Constraint:
    return Constraint(name=name, reason=Reason.FLEET, binding=binding, bound=bound, use=use)


def told(allotment: Allotment | None, tier: str) -> tuple[Step, ...]:
    """Return the step that says why a tier does not run what it would run alone; none where it does."""
    if allotment is None:
        return ()
    return tuple(
        Step(name="fleet", value=", ".join(allotment.chosen) or "nothing", reason=Reason.FLEET, detail=text)
        for name, text in allotment.told
        if name == tier
    )
