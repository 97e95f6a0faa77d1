"""What a request costs on each model that a pool names, and the right-sizing that follows from it, tier by tier.

A cost here is a replica's price over the rate that it serves within the objectives: whole replicas, minimum and
headroom are the plan's. Equation (12.16) of docs/model.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from poolwright.hardware.catalogue import Catalogue
from poolwright.perf.cost import usd_per_s
from poolwright.planner.advice.right_size import Choice, ModelCost, right_sized, within_budget
from poolwright.planner.candidates import Candidate, candidates, workload_of
from poolwright.planner.menu import menu_of, options_of
from poolwright.planner.outcome import Load, Plan
from poolwright.planner.policy import PoolPolicy, RatedModel, TierPolicy
from poolwright.planner.prices import price_usd_per_s
from poolwright.planner.snapshot import Snapshot
from poolwright.queueing.predict import predict
from poolwright.queueing.workload import Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSize:
    """The choices of one tier, the models compared, and what requests cost with and without them [$/s]."""

    tier: str
    rate_per_s: float
    models: tuple[ModelCost, ...]
    choices: tuple[Choice, ...]
    usd_per_s: float
    own_usd_per_s: float | None


def right_sizes(policy: PoolPolicy, snapshot: Snapshot, made: Plan, catalogue: Catalogue) -> tuple[RightSize, ...]:
    """Return right-sizing for every tier of a plan; nothing where the pool names no classes of tasks.

    A budget is shared by the tiers as their requests are.
    """
    if not policy.task_classes:
        return ()
    tiers = {each.name: each for each in policy.tiers}
    total_per_s = sum(each.load.rate_per_s for each in made.tiers)
    found = []
    for each in made.tiers:
        share = each.load.rate_per_s / total_per_s if total_per_s > 0.0 else 1.0 / len(made.tiers)
        budget = None if policy.budget.usd_per_s is None else policy.budget.usd_per_s * share
        models = [
            _cost(policy, snapshot, catalogue, tiers[each.tier], each.load, rated) for rated in policy.rated_models
        ]
        found.append(_right_size(policy, each.load, models, budget))
    return tuple(found)


def _right_size(policy: PoolPolicy, load: Load, models: Sequence[ModelCost], budget: float | None) -> RightSize:
    choices = within_budget(right_sized(policy.task_classes, models), load.rate_per_s, budget)
    own = models[0].usd_per_request if models else None
    return RightSize(
        tier=load.tier,
        rate_per_s=load.rate_per_s,
        models=tuple(models),
        choices=choices,
        usd_per_s=sum(load.rate_per_s * one.task.request_ratio * one.usd_per_request for one in choices),
        own_usd_per_s=None if own is None else own * load.rate_per_s,
    )


def _cost(
    policy: PoolPolicy, snapshot: Snapshot, catalogue: Catalogue, tier: TierPolicy, load: Load, rated: RatedModel
) -> ModelCost:
    """Return what a request costs on a model's cheapest variant."""
    own = replace(policy, model=rated.model)
    options = tuple(options_of(own, menu_of(own, snapshot, catalogue)))
    found, _ = candidates(rated.model, options, load, tier.objectives)
    prices = dict(policy.prices_usd_per_s)
    priced = []
    for each in found:
        price = usd_per_s(each.config, price_usd_per_s(each.config.accelerator, prices))
        if price is not None and each.is_feasible:
            priced.append((price / each.limits.rate_per_s, each.name, each))
    best = min(priced, key=lambda one: one[:2], default=None)
    return ModelCost(
        name=rated.model.name,
        parameters=float(rated.model.parameters_total),
        usd_per_request=None if best is None else best[0],
        latency_s=0.0 if best is None else _latency_s(best[2], load),
        accuracy_ratios=dict(rated.accuracy_ratios),
    )


def _latency_s(candidate: Candidate, load: Load) -> float:
    """Return the mean time of a whole request at the rate that a replica serves within the objectives [s]."""
    workload = workload_of(load)
    full = predict(candidate.station, workload, Arrivals(rate_per_s=candidate.limits.rate_per_s), replicas=1)
    return full.ttft_mean_s + max(workload.mean_output - 1.0, 0.0) * full.itl_mean_s
