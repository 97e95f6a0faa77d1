"""A fleet's plan, its time, its bound, and what simpler planners would pay: ``python bench/planner.py``.

A thousand pools share 20 types of accelerators; each type that the pools would take alone has a quota of 70 % of that.
Rows of the table are ratios to the plan in the same run; ``in time`` is the share of all requests within their
objectives and ``short`` the tiers below their percentile, both by the closed form at the replicas that were chosen.

The last line is JSON. ``seconds`` is a whole plan (columns, program, solver, reasons; median of three) with what
replicas serve remembered from an earlier one, ``cpu_seconds`` the processor's part of it; ``sizing_seconds`` is what
that takes when nothing is remembered.
``candidates`` are the columns compared. ``short_*`` is the same fleet with half of that and nothing else, so that not
everybody can be served.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.table import Table

from fleetreport.rivals import attained, best_type, greedy_columns, means_only, on_type
from fleetreport.scenario import HOURS, Scenario, occupied, quotas, scenario_of
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.fleet.columns import Column, tier_columns
from poolwright.planner.fleet.plan import FleetPlan, plan_fleet
from poolwright.planner.fleet.request import FleetLimits, FleetRequest, Supply
from poolwright.planner.fleet.solve import Settings

POOLS, ACCELERATORS = 1000, 20
SHORT_RATIO: Final = 0.5
"""Quota over what pools take alone where nothing else is to be had [ratio]: some are not served."""
COMMON: Final = "h100-sxm"
"""The type that most fleets are made of."""
SECONDS_PER_H: Final = 3600.0


def main() -> int:
    """Plan, compare, print; 1 when the plan is further from its bound than it says it may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, default=POOLS)
    parser.add_argument("--accelerators", type=int, default=ACCELERATORS)
    wanted = parser.parse_args()
    catalogue = load_catalogue()
    begun_s = time.perf_counter()
    scenario = scenario_of(catalogue, wanted.pools, wanted.accelerators)
    asked = scenario.at(HOURS[0])
    free = plan_fleet(asked, FleetLimits())
    cold_s = time.perf_counter() - begun_s
    scenario = replace(scenario, limits=quotas(free, scenario))
    plan_fleet(asked, scenario.limits)
    seconds = median_s(lambda: plan_fleet(asked, scenario.limits), 3)
    cpu_s = median_s(lambda: plan_fleet(asked, scenario.limits), 3, time.process_time)
    made = plan_fleet(asked, scenario.limits)
    small_s = median_s(lambda: plan_fleet(asked[:10], scenario.limits), 5)
    show(scenario, made)
    print(f"10 pools: {small_s * 1e3:.0f} ms; without quotas the plan would cost {free.cost / made.cost:.3f} of it")
    result = {
        "pools": len(asked),
        "accelerators": wanted.accelerators,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_s, 3),
        "sizing_seconds": round(cold_s - median_s(lambda: plan_fleet(asked, FleetLimits()), 1), 3),
        "gap_ratio": made.gap_ratio,
        "candidates_per_s": round(made.columns / seconds),
        "candidates": made.columns,
        "status": made.status,
        "usd_per_h": round(made.cost * SECONDS_PER_H, 2),
        **short(asked, free),
    }
    print(json.dumps(result))
    return 0 if made.gap_ratio <= Settings().gap_ratio else 1


def short(asked: Sequence[FleetRequest], free: FleetPlan) -> dict[str, object]:
    """Return time, gap and what is served where half of what all would take is all there is."""
    taken = occupied([each.column for each in free.choices])
    names = {option.accelerator.name for each in asked for option in each.options}
    limits = FleetLimits(
        supplies=tuple(Supply(accelerator=name, quota=int(taken.get(name, 0) * SHORT_RATIO)) for name in sorted(names))
    )
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    made = plan_fleet(asked, limits)
    seconds, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    total = sum(each.loads[0].rate_per_s for each in asked)
    return {
        "short_seconds": round(seconds, 3),
        "short_cpu_seconds": round(cpu_s, 3),
        "short_gap_ratio": made.gap_ratio,
        "short_status": made.status,
        "short_served_ratio": round(1.0 - sum(made.losses) / total, 4),
    }


def show(scenario: Scenario, made: FleetPlan) -> None:
    """Print the table of other planners."""
    asked = scenario.at(HOURS[0])
    tiers = [each for request in asked for each in tier_columns(request, scenario.limits)]
    plan_columns = [each.column for each in made.choices]
    table = Table("planner", "cost / plan", "in time", "short", "quotas", box=None)

    def row(name: str, columns: Sequence[Column], note: str, cost: float | None = None) -> None:
        spent = cost if cost is not None else sum(each.usd_per_s or 0.0 for each in columns)
        share, short = attained(tiers, columns)
        table.add_row(name, f"{spent / made.cost:.3f}", f"{share:.4f}", str(short), note)

    row("this plan", plan_columns, "kept")
    row("greedy, cheapest first", greedy_columns(tiers, scenario.limits), "kept")
    means = means_only(tiers, scenario.limits)
    row("means-only sizing", means, "kept" if means else "not met")
    open_tiers = [each for request in asked for each in tier_columns(request, FleetLimits())]
    for name in (best_type(open_tiers), COMMON):
        row(f"one type only ({name})", on_type(open_tiers, name), "ignored")
    daily = statistics.fmean(plan_fleet(scenario.at(hour), scenario.limits).cost for hour in HOURS)
    peak = plan_fleet(scenario.at_peak(), FleetLimits())
    row("static peak, over a day", [each.column for each in peak.choices], "ignored", peak.cost / daily * made.cost)
    Console(width=120).print(table)


def median_s(action: Callable[[], object], repeats: int, clock_s: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of an action on a clock [s]: the wall's, or the processor's where others share it."""
    taken = []
    for _ in range(repeats):
        begun_s = clock_s()
        action()
        taken.append(clock_s() - begun_s)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
