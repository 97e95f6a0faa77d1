"""One candidate with the replicas a load needs on it, and what they cost: what ``optimise`` compares.

Equation (10.4) of docs/model.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.perf.cost import usd_per_s
from poolwright.planner.candidates import Candidate, sustained_per_s, with_limits, workload_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import TierPolicy
from poolwright.planner.prices import price_usd_per_s
from poolwright.planner.snapshot import Variant, VariantState
from poolwright.planner.verify import Judge, Verdict, closed_form, verified
from poolwright.queueing.workload import Workload

LIMITS_RATIO: Final = 0.9
"""Share of the best rate above which running replicas keep their batch limits [ratio]: changing them is a rollout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A candidate with the number of replicas that the load needs and what they cost [$/s]; None without a price."""

    candidate: Candidate
    variant: Variant
    verdict: Verdict
    cost_usd_per_s: float | None
    power_w: float

    @property
    def rank(self) -> tuple[bool, float, float, str]:
        """Order of preference: priced ones by cost, others by power, then by name."""
        return self.cost_usd_per_s is None, self.cost_usd_per_s or 0.0, self.power_w, self.variant.key

    @property
    def replica_usd_per_s(self) -> float | None:
        """Cost of one replica [$/s]."""
        return None if self.cost_usd_per_s is None else self.cost_usd_per_s / self.verdict.replicas

    @property
    def replica_power_w(self) -> float:
        """Power limit of one replica's accelerators [W]."""
        return self.power_w / self.verdict.replicas


def variant_of(tier: str, candidate: Candidate) -> Variant:
    """Return the variant that a candidate is for a tier."""
    config = candidate.config
    return Variant(
        tier=tier,
        accelerator=config.accelerator.name,
        weight_format=config.weight_format,
        kv_format=config.kv_format,
        tensor_parallel=config.tensor_parallel,
    )


def least_cost(candidate: Candidate, workload: Workload, load: Load, prices: Mapping[str, float]) -> float:
    """Return a cost [$/s] that no number of replicas that carries the load can be below; infinite without a price.

    What a replica sustains without objectives is more than it serves within them, however many share the load.
    """
    config = candidate.config
    price = usd_per_s(config, price_usd_per_s(config.accelerator, prices))
    sustained = sustained_per_s(candidate, workload)
    if price is None or sustained <= 0.0:
        return math.inf
    return price * max(math.ceil(load.rate_per_s / sustained), 1)


def offer_of(
    tier: TierPolicy,
    load: Load,
    candidate: Candidate,
    prices: Mapping[str, float],
    running: Sequence[VariantState] = (),
    judge: Judge = closed_form,
) -> Offer:
    """Return a candidate's offer, with the limits that its running replicas have where those are good enough."""
    config = candidate.config
    variant = variant_of(tier.name, candidate)
    workload = workload_of(load)
    state = next((each for each in running if each.variant == variant and each.has_limits), None)
    if state is not None:
        sequences, tokens = state.max_num_seqs, state.max_num_batched_tokens
        as_is = with_limits(candidate, workload, tier.objectives, sequences=sequences, tokens=tokens)
        if as_is.limits.rate_per_s >= LIMITS_RATIO * candidate.limits.rate_per_s:
            candidate = as_is
    verdict = verified(candidate, workload, load, tier.objectives, judge)
    each_usd_per_s = usd_per_s(config, price_usd_per_s(config.accelerator, prices))
    return Offer(
        candidate=candidate,
        variant=variant,
        verdict=verdict,
        cost_usd_per_s=None if each_usd_per_s is None else each_usd_per_s * verdict.replicas,
        power_w=config.accelerator.tdp_w * config.accelerators * verdict.replicas,
    )
