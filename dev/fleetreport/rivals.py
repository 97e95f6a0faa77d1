"""Simpler planners for the same fleet, and what share of requests their replicas serve in time."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from poolwright.planner.candidates import Candidate
from poolwright.planner.fleet.build import built
from poolwright.planner.fleet.columns import Column, TierColumns, column, with_columns
from poolwright.planner.fleet.request import FleetLimits
from poolwright.planner.fleet.search import greedy
from poolwright.planner.fleet.solve import Settings, unharmed
from poolwright.planner.fleet.ways import Way
from poolwright.queueing.classic import birth_death
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import attainments
from poolwright.queueing.workload import Array, Arrivals, Workload

QUEUE_RATIO: Final = 4.0
"""Places in the queue of the means-only chain, in batches."""


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
