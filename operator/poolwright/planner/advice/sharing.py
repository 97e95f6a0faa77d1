"""Whether tiers would be cheaper on the same replicas, those of higher priority first: judged by simulation.

Dedicated and shared replicas are judged alike, by the kernel, each tier within its own objectives. Compares and decides
nothing: a plan gives every tier replicas of its own. Equation (12.19) of docs/model.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.hardware.catalogue import Catalogue
from poolwright.perf.cost import usd_per_s
from poolwright.planner.candidates import Candidate, sustained_per_s, workload_of
from poolwright.planner.outcome import Load, Plan
from poolwright.planner.policy import PoolPolicy, TierPolicy
from poolwright.planner.prices import price_usd_per_s
from poolwright.planner.tier_plan import planned_candidate
from poolwright.queueing.workload import Workload
from poolwright.simulator import gaps
from poolwright.simulator.pool import Arrivals, Outcome, simulate
from poolwright.simulator.sampled import Replica, replica_of, stream_of

REQUESTS: Final = 12_000
"""Requests of all tiers in one simulation: a probability of 95 % to within 0.5 %."""
FEWEST: Final = 400
"""Requests of one tier below which nothing is said of its percentile."""
MOST: Final = 60_000
"""Requests at most: where a tier still has too few of them, its group is not judged."""
WARM_RATIO: Final = 0.2
"""Share of the time in which the pool fills and nobody is counted [ratio]."""
FULL_RATIO: Final = 0.97
"""Most work that replicas are given [ratio]: beyond it the queue of the lowest priority grows longer than any
simulation, and a deadline of hours would never be seen to be missed."""
SEED: Final = 41


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A tier that is served, with the candidate that its plan chose and the price of a replica [$/s]."""

    tier: TierPolicy
    load: Load
    candidate: Candidate
    replicas: int
    replica_usd_per_s: float

    @property
    def rate_per_s(self) -> float:
        """The highest level of its load [1/s]."""
        return max(self.load.rates_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tiers on the same replicas.

    Attributes
    ----------
    tiers
        By priority; one alone has replicas of its own.
    runs_on, replicas, usd_per_s
        What they run on, how many, and what these cost.
    attainment
        Probability at the worst objective of each tier, as simulated; empty where the plan's number was taken over.
    """

    tiers: tuple[str, ...]
    runs_on: str
    replicas: int
    usd_per_s: float
    attainment: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The cheapest grouping, each tier by itself, and the saving [$/s]."""

    groups: tuple[Group, ...]
    dedicated: tuple[Group, ...]

    @property
    def saved_usd_per_s(self) -> float:
        """What sharing saves; 0 where it does not pay."""
        return sum(each.usd_per_s for each in self.dedicated) - sum(each.usd_per_s for each in self.groups)


def sharing(policy: PoolPolicy, made: Plan, catalogue: Catalogue) -> Sharing | None:
    """Return the cheapest way to group neighbours in priority; None with fewer than two tiers that are served."""
    members = _members(policy, made, catalogue)
    if len(members) < 2:  # noqa: PLR2004 - one tier has nobody to share with
        return None
    return best_grouping(members)


def best_grouping(members: Sequence[Member]) -> Sharing:
    """Return the cheapest partition into neighbours, by dynamic programming over where the last group begins."""
    alone = tuple(_alone(each) for each in members)
    best: list[tuple[float, tuple[Group, ...]]] = [(0.0, ())]
    for end in range(1, len(members) + 1):
        ways = []
        for start in range(end):
            group = alone[start] if end - start == 1 else _shared(members[start:end], alone[start:end])
            if group is not None:
                ways.append((best[start][0] + group.usd_per_s, (*best[start][1], group)))
        best.append(min(ways, key=lambda way: (way[0], -len(way[1]))))
    return Sharing(groups=best[-1][1], dedicated=alone)


def _members(policy: PoolPolicy, made: Plan, catalogue: Catalogue) -> list[Member]:
    """Return the tiers that run something with a price, by priority."""
    prices = dict(policy.prices_usd_per_s)
    tiers = {each.name: each for each in policy.tiers}
    found = []
    for each in made.tiers:
        tier = tiers[each.tier]
        candidate = planned_candidate(policy, tier, each, catalogue)
        if candidate is None or each.load.rate_per_s <= 0.0:
            continue
        price = usd_per_s(candidate.config, price_usd_per_s(candidate.config.accelerator, prices))
        if price is not None:
            replicas = each.variants[0].replicas
            found.append(
                Member(tier=tier, load=each.load, candidate=candidate, replicas=replicas, replica_usd_per_s=price)
            )
    return sorted(found, key=lambda each: (each.tier.priority, each.tier.name))


def _alone(member: Member) -> Group:
    """Return a tier by itself: as few replicas as the simulation allows, or the plan's where it cannot say."""
    planned = Group(
        tiers=(member.tier.name,),
        runs_on=member.candidate.name,
        replicas=member.replicas,
        usd_per_s=member.replicas * member.replica_usd_per_s,
    )
    return _on([member], member, planned.usd_per_s + 0.5 * member.replica_usd_per_s) or planned


def _shared(members: Sequence[Member], alone: Sequence[Group]) -> Group | None:
    """Return tiers together on the cheapest of their own variants, or None where that does not save anything."""
    bound = sum(each.usd_per_s for each in alone)
    ways = [group for host in members if (group := _on(members, host, bound)) is not None]
    return min(ways, key=lambda each: (each.usd_per_s, each.runs_on), default=None)


def _on(members: Sequence[Member], host: Member, bound_usd_per_s: float) -> Group | None:
    """Return members on the fewest replicas of the host's kind that cost less than a bound; None where none do."""
    if any(each.load.held_token_s > 0.0 for each in members):
        return None
    needed = [each.rate_per_s / sustained_per_s(host.candidate, workload_of(each.load)) for each in members]
    low = max(math.ceil(sum(needed) / FULL_RATIO), 1)
    high = math.ceil(bound_usd_per_s / host.replica_usd_per_s) - 1
    requests = _requests(members)
    if requests is None or low > high:
        return None
    replica = replica_of(host.candidate.station, _mixed(members))
    found: tuple[int, tuple[float, ...]] | None = None
    while low <= high:
        count = (low + high) // 2
        attained = _attained(members, replica, requests, count)
        is_met = all(p >= each.tier.objectives.percentile_ratio for p, each in zip(attained, members, strict=True))
        if is_met:
            found, high = (count, attained), count - 1
        else:
            low = count + 1
    if found is None:
        return None
    return Group(
        tiers=tuple(each.tier.name for each in members),
        runs_on=host.candidate.name,
        replicas=found[0],
        usd_per_s=found[0] * host.replica_usd_per_s,
        attainment=found[1],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Requests:
    """Requests of all tiers in order of arrival, and whose each one is."""

    arrivals: Arrivals
    owner: NDArray[np.int64]


def _requests(members: Sequence[Member]) -> _Requests | None:
    """Return requests of every tier over the same time; None where one would have too few."""
    total = sum(each.rate_per_s for each in members)
    count = max(REQUESTS, math.ceil(FEWEST * total / min(each.rate_per_s for each in members)))
    if count > MOST:
        return None
    streams = []
    for index, each in enumerate(members):
        own = max(round(count * each.rate_per_s / total), FEWEST)
        streams.append(stream_of(workload_of(each.load), own, SEED + index, even=True).at(each.rate_per_s))
    owner = np.concatenate([np.full(len(each), index) for index, each in enumerate(streams)])
    time_s = np.concatenate([each.time_s for each in streams])
    order = np.argsort(time_s, kind="stable")
    priority = np.array([each.tier.priority for each in members])
    arrivals = Arrivals(
        time_s=time_s[order],
        input_tokens=np.concatenate([each.input_tokens for each in streams])[order],
        output_tokens=np.concatenate([each.output_tokens for each in streams])[order],
        priority=priority[owner[order]],
    )
    return _Requests(arrivals=arrivals, owner=owner[order])


def _mixed(members: Sequence[Member]) -> Workload:
    """Return the requests of all members as one workload."""
    workloads = [workload_of(each.load) for each in members]
    rates = np.array([each.rate_per_s for each in members])
    shares = rates / rates.sum()
    return Workload.from_samples(
        np.concatenate([each.input_tokens for each in workloads]),
        np.concatenate([each.output_tokens for each in workloads]),
        np.concatenate([share * each.weights for share, each in zip(shares, workloads, strict=True)]),
        float(shares @ [each.cached_tokens for each in workloads]),
    )


def _attained(members: Sequence[Member], replica: Replica, requests: _Requests, count: int) -> tuple[float, ...]:
    """Return each tier's probability at its worst objective on so many replicas, by simulation."""
    time_s = requests.arrivals.time_s
    warm_s, last_s = WARM_RATIO * time_s[-1], float(time_s[-1])
    outcome = simulate(requests.arrivals, replica.pool(count), replica.law, counted_s=(warm_s, last_s))
    found = []
    for index, each in enumerate(members):
        own = (requests.owner == index) & (time_s >= warm_s)
        found.append(_worst(each.tier, outcome, own, time_s))
    return tuple(found)


def _worst(tier: TierPolicy, outcome: Outcome, own: NDArray[np.bool_], time_s: NDArray[np.float64]) -> float:
    """Return the least share within any objective; times between tokens are those of the steps that all share."""
    goal = tier.objectives
    shares: list[float] = []
    if goal.ttft_s is not None:
        shares.append(float(np.mean(outcome.first_token_s[own] - time_s[own] <= goal.ttft_s)))
    if goal.end_to_end_s is not None:
        shares.append(float(np.mean(outcome.finish_s[own] - time_s[own] <= goal.end_to_end_s)))
    if goal.itl_s is not None:
        shares.append(gaps.share_within(outcome.gaps, goal.itl_s))
    return min(shares)
