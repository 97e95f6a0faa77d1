"""How long one plan of a pool takes, and what branch and bound saves: ``python bench/plan.py``, or ``make bench``.

Cold is the first plan of a pool, with nothing remembered; warm is a later one, at another load with lengths that stay.
The last column is the time of sizing every feasible candidate over that of choosing one, for the same tier in the same
run; both must come to the same cost. Figures are medians; only ratios carry over to other machines.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

from rich.console import Console
from rich.table import Table

from poolwright.hardware.catalogue import Catalogue, load_catalogue
from poolwright.planner import candidates as computed
from poolwright.planner.candidates import Candidate, candidates
from poolwright.planner.menu import menu_of, options_of
from poolwright.planner.offer import offer_of
from poolwright.planner.optimise import optimised
from poolwright.planner.outcome import Load
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.snapshot import History, Inventory, Known, Snapshot, TierSignals
from poolwright.queueing.objectives import Objectives

MODEL: Final = "meta-llama/Llama-3.1-8B-Instruct"
"""Fits every accelerator that has a price, so that no candidate is free."""
TIERS: Final = (1, 8)
MENUS: Final = (5, 20)
COLD_REPEATS, WARM_REPEATS = 3, 9
"""The median of three tells a hiccup from a cold plan, which takes seconds; warm ones are cheap to repeat."""
NOW_S: Final = 10_000.0
TTFT_S, ITL_S = 0.8, 0.05
"""Objectives of the first tier [s]; each further one has a tenth more, so that none is another's memo."""


def main() -> int:
    """Measure every combination and print the table; 1 when branch and bound missed the cheapest offer."""
    catalogue = load_catalogue()
    table = Table("tiers", "menu", "cold [ms]", "warm [ms]", "cold / warm", "sizing all / branch and bound", box=None)
    is_cheapest = True
    for tiers in TIERS:
        for size in MENUS:
            policy = pool(catalogue, tiers, size)
            rates = (50.0 * 1.03**index for index in count())
            cold_s = median_s(lambda: planned(policy, catalogue, rates), COLD_REPEATS, before=forget)  # noqa: B023
            warm_s = median_s(lambda: planned(policy, catalogue, rates), WARM_REPEATS)  # noqa: B023
            saved, agree = saving(policy, catalogue)
            is_cheapest &= agree
            figures = f"{cold_s * 1e3:.0f}", f"{warm_s * 1e3:.1f}", f"{cold_s / warm_s:.0f}", f"{saved:.1f}"
            table.add_row(str(tiers), str(size), *figures)
    Console().print(table)
    return 0 if is_cheapest else 1


def pool(catalogue: Catalogue, tiers: int, size: int) -> PoolPolicy:
    """Return a policy of so many tiers over the first so many accelerators that have a price and run the model."""
    model = catalogue.model(MODEL)
    priced = sorted(
        (each for each in catalogue.accelerators.values() if each.price_usd_per_s and "bf16" in each.peak_flop_per_s),
        key=lambda each: (-each.bandwidth_bytes_per_s, each.name),
    )
    chosen = priced[:: len(priced) // size][:size]
    return PoolPolicy(
        namespace="bench",
        name="pool",
        model=model,
        tiers=tuple(
            TierPolicy(name=f"tier-{index}", objectives=Objectives(ttft_s=TTFT_S * stretch, itl_s=ITL_S * stretch))
            for index, stretch in enumerate(1.1**index for index in range(tiers))
        ),
        accelerators=tuple(AcceleratorChoice(name=each.name) for each in chosen),
        scaling=Scaling(max_replicas=10_000),
    )


def snapshot(policy: PoolPolicy, rate_per_s: float) -> Snapshot:
    """Return a world in which every signal is known and every accelerator can be had."""
    signals = TierSignals(
        arrivals_per_s=Known(value=rate_per_s),
        waiting=Known(value=0.0),
        running=Known(value=rate_per_s),
        input_tokens_mean=Known(value=1024.0),
        output_tokens_mean=Known(value=256.0),
        reporting_ratio=Known(value=1.0),
    )
    return Snapshot(
        tiers=tuple((tier.name, signals) for tier in policy.tiers),
        inventory=Inventory(provisionable=tuple(each.name for each in policy.accelerators)),
        cold_start_s=Known(value=60.0),
    )


def planned(policy: PoolPolicy, catalogue: Catalogue, rates: Iterator[float]) -> None:
    """Plan for the next rate."""
    plan(policy, snapshot(policy, next(rates)), History(), catalogue, NOW_S)


def saving(policy: PoolPolicy, catalogue: Catalogue) -> tuple[float, bool]:
    """Return how many times longer sizing everything takes for the first tier, and whether both find the same cost."""
    tier = policy.tiers[0]
    world = snapshot(policy, 50.0)
    load: Load = plan(policy, world, History(), catalogue, NOW_S).tiers[0].load
    options = tuple(options_of(policy, menu_of(policy, world, catalogue)))
    found, _ = candidates(policy.model, options, load, tier.objectives)
    bounded_s = median_s(lambda: optimised(tier, load, found, (), (), {}), WARM_REPEATS)
    all_s = median_s(lambda: cheapest(tier, load, found), WARM_REPEATS)
    best = optimised(tier, load, found, (), (), {}).offer
    return all_s / bounded_s, best is not None and best.cost_usd_per_s == cheapest(tier, load, found)


def cheapest(tier: TierPolicy, load: Load, found: tuple[Candidate, ...]) -> float:
    """Return the least cost [$/s] of all feasible candidates, each sized."""
    offers = [offer_of(tier, load, each, {}) for each in found if each.is_feasible]
    return min(each.cost_usd_per_s for each in offers if each.verdict.is_feasible and each.cost_usd_per_s is not None)


def forget() -> None:
    """Empty every memo of the planner."""
    for each in vars(computed).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


def median_s(action: Callable[[], object], repeats: int, before: Callable[[], None] = lambda: None) -> float:
    """Return the median wall time of an action [s]."""
    taken = []
    for _ in range(repeats):
        before()
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
