"""A fleet's plan, its time, its bound, and what simpler planners would pay: ``python bench/planner.py``.

A thousand pools share 20 types of accelerators; each type that the pools would take alone has a quota of 70 % of that.
Rows of the table are ratios to the plan in the same run; ``in time`` is the share of all requests within their
objectives and ``short`` the tiers below their percentile, both by the closed form at the replicas that were chosen.

The last line is JSON. ``seconds`` is a whole plan (columns, program, solver, reasons; median of three) with what
replicas serve remembered from an earlier one; ``sizing_seconds`` is what that takes when nothing is remembered.
``candidates`` are the columns compared. ``short_*`` is the same fleet with half of that and nothing else, so that not
everybody can be served.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import Catalogue, load_catalogue
from poolwright.planner.candidates import Candidate
from poolwright.planner.fleet import FleetPlan, plan_fleet
from poolwright.planner.fleet_build import built
from poolwright.planner.fleet_columns import Column, TierColumns, column, tier_columns, with_columns
from poolwright.planner.fleet_request import FleetLimits, FleetRequest, Supply
from poolwright.planner.fleet_search import greedy
from poolwright.planner.fleet_solve import Settings, unharmed
from poolwright.planner.fleet_ways import Way
from poolwright.planner.menu import Menu, Option, options_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, Scaling, TierPolicy
from poolwright.queueing.classic import birth_death
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import attainments
from poolwright.queueing.workload import Array, Arrivals, Workload

POOLS, ACCELERATORS, SEED = 1000, 20, 1
SHAPES: Final = (
    ("meta-llama/Llama-3.1-8B-Instruct", 1000.0, 200.0, Objectives(ttft_s=0.8, itl_s=0.05)),
    ("meta-llama/Llama-3.1-8B-Instruct", 4000.0, 300.0, Objectives(ttft_s=2.0, itl_s=0.08)),
    ("Qwen/Qwen2.5-32B-Instruct", 1500.0, 300.0, Objectives(ttft_s=2.0, itl_s=0.08)),
)
"""Model, mean tokens of prompt and answer, objectives: what pools have in common."""
QUOTA_RATIO: Final = 0.7
"""Quota over what pools take when nothing is shared [ratio]: the best types are short, and all can still be served."""
SHORT_RATIO: Final = 0.5
"""The same where nothing else is to be had: some are not served."""
MEDIAN_RATE_PER_S, SPREAD = 20.0, 1.0
"""Rates of pools are log-normal: most small, some large."""
COMMON: Final = "h100-sxm"
"""The type that most fleets are made of."""
HOURS: Final = (0, 6, 12, 18)
QUEUE_RATIO: Final = 4.0
"""Places in the queue of the means-only chain, in batches."""
MOST_SWING: Final = 0.8
"""Rates swing by up to this over a day, each pool with a share and an hour of its own [ratio]."""
SECONDS_PER_H: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Pools with their rates in each hour looked at, and what they share."""

    requests: tuple[FleetRequest, ...]
    rates_per_s: dict[int, tuple[float, ...]]
    limits: FleetLimits

    def at(self, hour: int) -> tuple[FleetRequest, ...]:
        """Return the pools with the rates of an hour."""
        return tuple(with_rate(each, rate) for each, rate in zip(self.requests, self.rates_per_s[hour], strict=True))

    def at_peak(self) -> tuple[FleetRequest, ...]:
        """Return the pools with their largest rates."""
        most = [max(rates) for rates in zip(*self.rates_per_s.values(), strict=True)]
        return tuple(with_rate(each, rate) for each, rate in zip(self.requests, most, strict=True))


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
    made = plan_fleet(asked, scenario.limits)
    small_s = median_s(lambda: plan_fleet(asked[:10], scenario.limits), 5)
    show(scenario, made)
    print(f"10 pools: {small_s * 1e3:.0f} ms; without quotas the plan would cost {free.cost / made.cost:.3f} of it")
    result = {
        "pools": len(asked),
        "accelerators": wanted.accelerators,
        "seconds": round(seconds, 3),
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
    begun_s = time.perf_counter()
    made = plan_fleet(asked, limits)
    seconds = time.perf_counter() - begun_s
    total = sum(each.loads[0].rate_per_s for each in asked)
    return {
        "short_seconds": round(seconds, 3),
        "short_gap_ratio": made.gap_ratio,
        "short_status": made.status,
        "short_served_ratio": round(1.0 - sum(made.losses) / total, 4),
    }


def scenario_of(catalogue: Catalogue, pools: int, accelerators: int) -> Scenario:
    """Return pools over the first so many priced accelerators, without anything shared yet."""
    priced = sorted(
        (
            each
            for each in catalogue.accelerators.values()
            if each.price_usd_per_s and "bf16" in each.peak_flop_per_s and each.name != "cpu"
        ),
        key=lambda each: each.name,
    )[:accelerators]
    options: dict[str, tuple[Option, ...]] = {}
    random = Random(SEED)  # noqa: S311 - repeatable, and nothing secret
    requests, means, swings, starts = [], [], [], []
    for number in range(pools):
        requests.append(request_of(catalogue, number, random.randrange(len(SHAPES)), priced, options))
        means.append(random.lognormvariate(math.log(MEDIAN_RATE_PER_S), SPREAD))
        swings.append(random.uniform(0.0, MOST_SWING))
        starts.append(random.uniform(0.0, 24.0))
    rates = {
        hour: tuple(
            mean * (1.0 + swing * math.cos((hour - start) / 24.0 * math.tau))
            for mean, swing, start in zip(means, swings, starts, strict=True)
        )
        for hour in HOURS
    }
    return Scenario(requests=tuple(requests), rates_per_s=rates, limits=FleetLimits())


def request_of(
    catalogue: Catalogue,
    number: int,
    shape: int,
    accelerators: Sequence[Accelerator],
    options: dict[str, tuple[Option, ...]],
) -> FleetRequest:
    """Return one pool of a shape, with any rate."""
    name, inputs, outputs, objectives = SHAPES[shape]
    policy = PoolPolicy(
        namespace="bench",
        name=f"pool-{number:04d}",
        model=catalogue.model(name),
        tiers=(TierPolicy(name="chat", objectives=objectives),),
        accelerators=tuple(AcceleratorChoice(name=each.name) for each in accelerators),
        max_tensor_parallel=4,
        scaling=Scaling(max_replicas=10_000),
    )
    if name not in options:
        options[name] = tuple(options_of(policy, Menu(accelerators=tuple(accelerators), refused=())))
    load = Load(
        tier="chat",
        rate_per_s=1.0,
        rates_per_s=(1.0,),
        weights=(1.0,),
        input_tokens_mean=inputs,
        output_tokens_mean=outputs,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )
    return FleetRequest(policy=policy, loads=(load,), options=options[name])


def with_rate(request: FleetRequest, rate_per_s: float) -> FleetRequest:
    """Return a pool at another rate."""
    return replace(request, loads=(replace(request.loads[0], rate_per_s=rate_per_s, rates_per_s=(rate_per_s,)),))


def quotas(free: FleetPlan, scenario: Scenario) -> FleetLimits:
    """Return a quota for each type that the pools would take, and none for the others."""
    taken = occupied([each.column for each in free.choices])
    return replace(
        scenario.limits,
        supplies=tuple(
            Supply(accelerator=name, quota=int(count * QUOTA_RATIO)) for name, count in sorted(taken.items())
        ),
    )


def occupied(columns: Sequence[Column]) -> dict[str, int]:
    """Return accelerators by name."""
    total: dict[str, int] = {}
    for each in columns:
        for name, count in each.accelerators:
            total[name] = total.get(name, 0) + count
    return total


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


def greedy_columns(tiers: Sequence[TierColumns], limits: FleetLimits) -> list[Column]:
    """Return what pools take when each, in turn, takes its cheapest that still fits."""
    program = built(tiers, limits).program
    columns = [each for tier in tiers for each in tier.columns]
    return [columns[index] for index in greedy(program)]


def best_type(tiers: Sequence[TierColumns]) -> str:
    """Return the single type that serves most tiers, and of those the cheapest."""
    names = sorted({name for tier in tiers for each in tier.columns for name, _ in each.accelerators})

    def rank(name: str) -> tuple[int, float]:
        columns = on_type(tiers, name)
        return -sum(bool(each.parts) for each in columns), sum(each.usd_per_s or 0.0 for each in columns)

    return min(names, key=rank)


def on_type(tiers: Sequence[TierColumns], name: str) -> list[Column]:
    """Return what each tier runs on one type; nothing where that cannot serve it."""
    return [
        next((each for each in tier.columns if name in dict(each.accelerators)), tier.columns[-1]) for tier in tiers
    ]


def means_only(tiers: Sequence[TierColumns], limits: FleetLimits) -> list[Column]:
    """Return the plan of the same program over columns that mean times alone were sized by; empty if there is none."""
    memo: dict[tuple[int, int], float] = {}
    sized = [with_columns(tier, [each for way in tier.ways if (each := by_means(tier, way, memo))]) for tier in tiers]
    solution = unharmed(built(sized, limits).program, Settings(), None)
    columns = [each for tier in sized for each in tier.columns]
    return [] if solution is None else [columns[index] for index in solution.chosen]


def by_means(tier: TierColumns, way: Way, memo: dict[tuple[int, int], float]) -> Column | None:
    """Return the column with the fewest replicas whose mean times are within the objectives."""
    key = id(way.candidate), id(tier.workload)
    if key not in memo:
        memo[key] = means_rate_per_s(way.candidate, tier.workload, tier.tier.objectives)
    replicas = math.ceil(tier.load.rate_per_s / memo[key]) if memo[key] > 0.0 else 0
    return column(tier, ((way, replicas),), 1.0) if 0 < replicas <= way.cap else None


def means_rate_per_s(candidate: Candidate, workload: Workload, objectives: Objectives) -> float:
    """Return the rate at which one replica's mean times just meet the objectives [1/s].

    The published birth-death chain: mean lengths only, a batch that serves faster the fuller it is, prompts spread
    evenly over its steps; waiting and steps at the mean batch.
    """
    most = candidate.limits.max_num_seqs
    batch = np.minimum(np.arange(1.0, most * (1.0 + QUEUE_RATIO) + 1.0), float(most))
    steps_s, firsts_s = chain_times_s(candidate, workload, batch)
    service_per_s = batch / (firsts_s + workload.mean_output * steps_s)

    def is_met(rate_per_s: float) -> bool:
        chain = birth_death(rate_per_s, service_per_s, most)
        step, first = (float(each[0]) for each in chain_times_s(candidate, workload, np.array([chain.mean_in_service])))
        in_time = chain.mean_wait_s + first + step <= (objectives.ttft_s or math.inf)
        return in_time and step <= (objectives.itl_s or math.inf)

    low, high = 0.0, 0.999 * float(service_per_s[-1])
    for _ in range(30):
        middle = (low + high) / 2.0
        low, high = (middle, high) if is_met(middle) else (low, middle)
    return low


def chain_times_s(candidate: Candidate, workload: Workload, batch: Array) -> tuple[Array, Array]:
    """Return the mean step and the step that also holds a whole prompt [s], by batch."""
    law, inputs, outputs = candidate.station.step_time, workload.mean_input, workload.mean_output
    batch = np.maximum(batch, 1.0)
    context = np.full_like(batch, inputs + outputs / 2.0)
    steps_s = law(batch, context, batch * inputs / (outputs + 1.0))
    alone_s = law(batch, context, np.full_like(batch, inputs)) - law(batch, context, np.zeros_like(batch))
    return steps_s, steps_s + alone_s


def attained(tiers: Sequence[TierColumns], columns: Sequence[Column]) -> tuple[float, int]:
    """Return the share of requests within their objectives and the number of tiers below their percentile.

    Each variant of a mixed column is taken at the share that its replicas can serve.
    """
    good = total = 0.0
    short = 0
    for tier, each in zip(tiers, columns, strict=True):
        ways = {way.variant: way for way in tier.ways}
        rate = tier.load.rate_per_s
        able = [ways[part.variant].need.curve.rate_per_s(part.replicas) for part in each.parts]
        shares = [
            share_in_time(tier, ways[part.variant], part.replicas, rate * part_able / sum(able)) * part_able / sum(able)
            for part, part_able in zip(each.parts, able, strict=True)
            if part_able > 0.0
        ]
        share = sum(shares)
        good, total = good + rate * share, total + rate
        short += share < tier.tier.objectives.percentile_ratio
    return good / total, short


def share_in_time(tier: TierColumns, way: Way, replicas: int, rate_per_s: float) -> float:
    """Return the least probability at any objective."""
    found = attainments(
        way.candidate.station, tier.workload, Arrivals(rate_per_s=rate_per_s), tier.tier.objectives, (replicas,)
    )
    return float(found[0])


def median_s(action: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of an action [s]."""
    taken = []
    for _ in range(repeats):
        begun_s = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun_s)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
