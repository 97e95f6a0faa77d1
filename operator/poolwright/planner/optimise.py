"""Which candidate serves a tier: the cheapest that meets the objectives, unless a change costs more than it saves.

Returns a proposal; limits come afterwards. A candidate without a price is ranked after all priced ones, by power.
Equations (10.4) and (10.6) of docs/model.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.planner.arithmetic import (
    capacity_step,
    choice_step,
    choice_text,
    limits_step,
    memory_step,
    offer_text,
    replicas_step,
    shortfall,
)
from poolwright.planner.candidates import Candidate, Rejected, workload_of
from poolwright.planner.confirm import confirmed
from poolwright.planner.judge import simulated
from poolwright.planner.offer import Offer, least_cost, offer_of, variant_of
from poolwright.planner.outcome import Load, RunnerUp, Step
from poolwright.planner.policy import TierPolicy
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import VariantState
from poolwright.planner.verify import Judge
from poolwright.queueing.predict import predict
from poolwright.queueing.station import CapacityBound
from poolwright.queueing.workload import Arrivals

CHURN_RATIO: Final = 0.15
"""Saving below which a tier stays on the variant that it runs [ratio]: a change pays for both variants during a cold
start and puts a warm fleet at risk; loads move by more within minutes."""

RUNNERS_UP: Final = 3
"""Losing variants that are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a tier should run and who judged it, or why nothing serves it (``offer`` None)."""

    offer: Offer | None
    reason: Reason
    binding: Binding
    detail: str
    judge: Judge = simulated
    runners_up: tuple[RunnerUp, ...] = ()
    steps: tuple[Step, ...] = ()


def optimised(
    tier: TierPolicy,
    load: Load,
    found: Sequence[Candidate],
    rejected: Sequence[Rejected],
    running: Sequence[VariantState],
    prices: Mapping[str, float],
    judge: Judge = simulated,
) -> Proposal:
    """Return the proposal for one tier.

    Parameters
    ----------
    tier, load
        Objectives and demand.
    found, rejected
        Candidates that run the model, and ways that do not.
    running
        What the tier runs now: kept where the saving is small, and always while a signal is missing.
    prices
        Price overrides by accelerator [$/s].
    judge
        Who decides how many replicas of the best offer do.
    """
    current = current_of(running)
    offers = _offers(tier, load, found, running, prices)
    if not offers:
        return _nothing(tier, load, found, rejected)
    offers = confirmed(
        offers,
        lambda offer: offer_of(tier, load, offer.candidate, prices, running, judge),
        None if current is None else current.variant,
    )
    best = offers[0]
    kept = next((each for each in offers if current is not None and each.variant == current.variant), None)
    is_changing = current is not None and current.unschedulable == 0 and sum(each.wanted > 0 for each in running) > 1
    chosen = kept if kept is not None and (is_changing or _stays(kept, best, load)) else best
    reason = Reason.CHEAPEST if chosen is best else Reason.CHURN
    others = [each for each in offers if each is not chosen][:RUNNERS_UP]
    return Proposal(
        offer=chosen,
        reason=reason,
        binding=_binding(tier, load, chosen),
        judge=judge,
        detail=choice_text(chosen, others),
        runners_up=tuple(_runner_up(each) for each in others),
        steps=(
            memory_step(chosen.candidate, load),
            capacity_step(chosen.candidate, tier, load),
            limits_step(chosen.candidate),
            choice_step(chosen, others, reason),
            replicas_step(chosen, load, tier),
        ),
    )


def current_of(running: Sequence[VariantState]) -> VariantState | None:
    """Return the variant that a tier runs or is changing to: the youngest one, by age and then by size.

    A change that is under way is finished before another begins: each costs a cold start, and the first minutes of a
    measurement would otherwise change the target with every reading. A change whose replicas find no node is not
    waited for.
    """
    wanted = [each for each in running if each.wanted > 0]
    return min(wanted, key=lambda each: (each.age_s, -each.wanted, each.variant.key), default=None)


def _offers(
    tier: TierPolicy,
    load: Load,
    found: Sequence[Candidate],
    running: Sequence[VariantState],
    prices: Mapping[str, float],
) -> list[Offer]:
    """Return feasible offers, best first: branch and bound over a cost that no offer can be below.

    Sizing is dear and the bound is cheap, so candidates that cannot win are left out once enough lost.
    """
    workload = workload_of(load)
    runs = {each.variant for each in running}
    bounded = sorted(
        ((least_cost(each, workload, load, prices), each) for each in found if each.is_feasible),
        key=lambda pair: (pair[0], pair[1].name),
    )
    offers: list[Offer] = []
    for bound, each in bounded:
        costs = [offer.cost_usd_per_s for offer in offers if offer.cost_usd_per_s is not None]
        has_lost = len(offers) > RUNNERS_UP and bound > min(costs, default=math.inf)
        if has_lost and variant_of(tier.name, each) not in runs:
            continue
        offer = offer_of(tier, load, each, prices, running)
        if offer.verdict.is_feasible:
            offers.append(offer)
    return sorted(offers, key=lambda offer: offer.rank)


def _stays(kept: Offer, best: Offer, load: Load) -> bool:
    """Return whether a tier stays on what it runs, equation (10.6)."""
    if not load.may_lower:
        return True
    if kept.cost_usd_per_s is None or best.cost_usd_per_s is None:
        return kept.cost_usd_per_s is not None or kept.power_w * (1.0 - CHURN_RATIO) <= best.power_w
    return kept.cost_usd_per_s * (1.0 - CHURN_RATIO) <= best.cost_usd_per_s


def _binding(tier: TierPolicy, load: Load, offer: Offer) -> Binding:
    """Return the objective with least to spare on a replica at its best rate; with plenty, what bounds throughput."""
    full = Arrivals(rate_per_s=offer.candidate.limits.rate_per_s)
    prediction = predict(offer.candidate.station, workload_of(load), full, replicas=1)
    attained = prediction.attainment(tier.objectives)
    name = min(attained, key=lambda each: attained[each])
    if attained[name] > (1.0 + tier.objectives.percentile_ratio) / 2.0:
        return Binding.KV_CACHE if prediction.capacity.bound is CapacityBound.KV_CACHE else Binding.THROUGHPUT
    return {"ttft": Binding.TTFT, "itl": Binding.ITL, "end_to_end": Binding.END_TO_END}[name]


def _runner_up(offer: Offer) -> RunnerUp:
    return RunnerUp(
        variant=offer.variant,
        replicas=offer.verdict.replicas,
        cost_usd_per_s=offer.cost_usd_per_s,
        detail=offer_text(offer),
    )


def _nothing(tier: TierPolicy, load: Load, found: Sequence[Candidate], rejected: Sequence[Rejected]) -> Proposal:
    """Return why nothing serves the tier, with the nearest miss and its figures."""
    if found:
        ratio, text = min(shortfall(each, tier, load) for each in found)
        binding = Binding.ITL if text.startswith("ITL") else Binding.TTFT
        limit = "below the physical floor" if ratio > 1.0 else "out of reach"
        detail = f"the objectives are {limit} of every accelerator that may be used; nearest: {text}"
        return Proposal(offer=None, reason=Reason.NO_FEASIBLE_CANDIDATE, binding=binding, detail=detail)
    if rejected:
        detail = "; ".join(dict.fromkeys(each.detail for each in rejected[:RUNNERS_UP]))
        return Proposal(offer=None, reason=Reason.MODEL_DOES_NOT_FIT, binding=Binding.KV_CACHE, detail=detail)
    detail = "no accelerator may be used"
    return Proposal(offer=None, reason=Reason.NO_ACCELERATOR, binding=Binding.ACCELERATORS, detail=detail)
