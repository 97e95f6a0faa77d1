"""The single entry point of planning: policy, snapshot and history in, plan out. Total, deterministic, cheap.

Reads top to bottom as the data flows: what is remembered, the load of each tier, candidates, the proposal, the limits,
the transition, the plan. Knows nothing of Kubernetes, clocks or logs. docs/model.md section 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.hardware.catalogue import Catalogue
from poolwright.planner.allotment import Allotment, shares, told, within
from poolwright.planner.candidates import Rejected, candidates
from poolwright.planner.ceilings import ReplicaCost, ceilings_of
from poolwright.planner.constraints import Constraint
from poolwright.planner.demand import load_of
from poolwright.planner.judge import simulated
from poolwright.planner.limits import Contender, Situation, limited
from poolwright.planner.margin import looked
from poolwright.planner.memory import remembered, with_wanted
from poolwright.planner.menu import Menu, Option, menu_of, options_of
from poolwright.planner.optimise import Proposal, optimised
from poolwright.planner.outcome import Load, Plan, Step, TierPlan
from poolwright.planner.policy import PoolPolicy, TierPolicy
from poolwright.planner.reason import Reason
from poolwright.planner.signal import believed
from poolwright.planner.snapshot import History, Known, Missing, Snapshot, Variant, VariantState
from poolwright.planner.tier_plan import Granted, candidate_of, replica_cost, tier_plan, unpriced, wanted_of
from poolwright.planner.transition import Change, overlapped
from poolwright.planner.verify import Judge

COLD_START_S: Final = 120.0
"""Time from order to readiness assumed until a start was seen [s]: pulling a cached image and reading 16 GB from a
local disk; a first download takes longer. Erring low forecasts too little ahead."""

MAX_COLD_START_S: Final = 3600.0
"""Longest horizon that is forecast over [s]: trends of minutes say nothing about hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _TierState:
    """One tier on its way through planning."""

    tier: TierPolicy
    load: Load
    proposal: Proposal
    running: tuple[VariantState, ...]

    @property
    def variant(self) -> Variant | None:
        """The variant to run: the proposed one, otherwise the largest that runs."""
        if self.proposal.offer is not None:
            return self.proposal.offer.variant
        largest = max(self.running, key=lambda each: (each.wanted, each.variant.key), default=None)
        return None if largest is None else largest.variant

    def state_of(self, variant: Variant) -> VariantState | None:
        """Return what runs of a variant."""
        return next((each for each in self.running if each.variant == variant), None)


def plan(
    policy: PoolPolicy,
    snapshot: Snapshot,
    history: History,
    catalogue: Catalogue,
    now_s: float,
    *,
    allotment: Allotment | None = None,
    judge: Judge = simulated,
) -> Plan:
    """Return the decision for one pool.

    Parameters
    ----------
    policy
        What the user wants.
    snapshot
        What is the case; anything in it may be missing or absurd.
    history
        What the previous plan handed back; empty at the start.
    catalogue
        Accelerators that the menu names.
    now_s
        The moment [s], on the clock of ``history``.
    allotment
        What the plan of a fleet leaves to the pool; None where it shares nothing.
    judge
        Who decides how many replicas do: a simulation, or the closed form alone where time is dearer than exactness.

    Returns
    -------
    Plan
        Equal for equal arguments; within every bound; never lower while a needed signal is missing.
    """
    tiers = sorted(policy.tiers, key=lambda tier: (tier.priority, tier.name))
    horizon_s = _horizon_s(snapshot)
    history = replace(history, removed=tuple(each for each in history.removed if each[0] < now_s))
    history = remembered(history, [tier.name for tier in tiers], snapshot, horizon_s=horizon_s, now_s=now_s)
    history = looked(history, tiers, snapshot, now_s)
    prices = dict(policy.prices_usd_per_s)
    menu = menu_of(policy, snapshot, catalogue)
    options, refused = _affordable(policy, within(allotment, tuple(options_of(policy, menu))), prices)
    states = [
        _tier_state(policy, tier, snapshot, history, options, refused, menu, judge, horizon_s=horizon_s, now_s=now_s)
        for tier in tiers
    ]
    variants = {state.variant for state in states if state.variant} | {each.variant for each in snapshot.variants}
    costs = {variant: replica_cost(variant, catalogue, prices) for variant in variants}
    constraints = (*shares(allotment, sorted(costs.items())), *ceilings_of(policy, snapshot, costs))
    counts, limit_steps = _limited(policy, states, constraints, history, now_s)
    granted, change_steps = overlapped(_changes(states, counts), constraints)
    plans = tuple(
        _tier_plan(
            policy,
            each,
            granted,
            (
                *told(allotment, each.tier.name),
                *limit_steps.get(each.tier.name, ()),
                *change_steps.get(each.tier.name, ()),
            ),
            costs,
            catalogue,
        )
        for each in states
    )
    wishes = [(each.tier.name, wanted_of(each.load, each.proposal)) for each in states]
    window_s = policy.scaling.scale_down_stabilisation_s
    history = with_wanted(history, wishes, window_s=window_s, now_s=now_s)
    removed = sum(max(each.wanted - granted.get(each.variant.key, 0), 0) for each in snapshot.variants)
    return Plan(
        tiers=plans,
        history=replace(history, removed=(*history.removed, *(((now_s, removed),) if removed else ()))),
        missing=_missing(tiers, snapshot),
        warnings=menu.refused,
    )


def loads_of(policy: PoolPolicy, snapshot: Snapshot, history: History, now_s: float) -> tuple[Load, ...]:
    """Return the load that ``plan`` would plan each tier for, in the order of the policy's tiers."""
    horizon_s = _horizon_s(snapshot)
    names = [tier.name for tier in policy.tiers]
    history = remembered(history, names, snapshot, horizon_s=horizon_s, now_s=now_s)
    history = looked(history, policy.tiers, snapshot, now_s)
    return tuple(
        load_of(
            tier,
            snapshot.signals(tier.name),
            history,
            headroom_ratio=policy.scaling.headroom_ratio,
            horizon_s=horizon_s,
            now_s=now_s,
        )
        for tier in policy.tiers
    )


def _horizon_s(snapshot: Snapshot) -> float:
    """Return how far ahead replicas ordered now will serve [s]."""
    seen = believed(snapshot.cold_start_s, minimum=0.0, maximum=MAX_COLD_START_S)
    return seen.value if isinstance(seen, Known) else COLD_START_S


def _affordable(
    policy: PoolPolicy, options: Sequence[Option], prices: Mapping[str, float]
) -> tuple[tuple[Option, ...], tuple[Rejected, ...]]:
    """Return options whose cost a budget can be held against, and why others are out."""
    if policy.budget.usd_per_s is None:
        return tuple(options), ()
    judged = [(each, unpriced(each, prices)) for each in options]
    refused = {reason.name: reason for _, reason in judged if reason is not None}
    return tuple(each for each, reason in judged if reason is None), tuple(refused.values())


def _tier_state(
    policy: PoolPolicy,
    tier: TierPolicy,
    snapshot: Snapshot,
    history: History,
    options: Sequence[Option],
    refused: Sequence[Rejected],
    menu: Menu,
    judge: Judge,
    *,
    horizon_s: float,
    now_s: float,
) -> _TierState:
    """Return a tier's load and what the model proposes for it."""
    load = load_of(
        tier,
        snapshot.signals(tier.name),
        history,
        headroom_ratio=policy.scaling.headroom_ratio,
        horizon_s=horizon_s,
        now_s=now_s,
    )
    running = tuple(each for each in snapshot.variants if each.variant.tier == tier.name)
    found, rejected = candidates(policy.model, options, load, tier.objectives)
    proposal = optimised(tier, load, found, (*rejected, *refused), running, dict(policy.prices_usd_per_s), judge)
    if proposal.reason is Reason.NO_ACCELERATOR and menu.refused:
        proposal = replace(proposal, detail="; ".join(menu.refused))
    return _TierState(tier=tier, load=load, proposal=proposal, running=running)


def _limited(
    policy: PoolPolicy,
    states: Sequence[_TierState],
    constraints: tuple[Constraint, ...],
    history: History,
    now_s: float,
) -> tuple[dict[str, int], dict[str, tuple[Step, ...]]]:
    """Return replicas of each tier's variant after every limit, and the steps, by tier."""
    contenders = []
    for state in states:
        variant = state.variant
        if variant is None:
            continue
        running = state.state_of(variant)
        current = running.wanted if running else 0
        is_held = state.proposal.offer is None
        wanted = current if is_held else wanted_of(state.load, state.proposal)
        contenders.append(
            Contender(
                tier=state.tier.name, load=state.load, variant=variant, current=current, wanted=wanted, is_held=is_held
            )
        )
    situation = Situation(
        contenders=tuple(contenders), scaling=policy.scaling, constraints=constraints, history=history, now_s=now_s
    )
    counts, steps = limited(situation)
    names = [each.tier for each in contenders]
    return dict(zip(names, counts, strict=True)), dict(zip(names, steps, strict=True))


def _changes(states: Sequence[_TierState], counts: Mapping[str, int]) -> list[Change]:
    """Return every tier that runs or shall run something, for the overlap of old and new variants."""
    changes = []
    for state in states:
        variant = state.variant
        if variant is None:
            continue
        running = state.state_of(variant)
        changes.append(
            Change(
                tier=state.tier.name,
                variant=variant,
                replicas=counts[state.tier.name],
                ready=running.ready if running else 0,
                old=tuple(each for each in state.running if each.variant != variant),
                may_lower=state.load.may_lower,
            )
        )
    return changes


def _tier_plan(
    policy: PoolPolicy,
    state: _TierState,
    granted: Mapping[str, int],
    steps: tuple[Step, ...],
    costs: Mapping[Variant, ReplicaCost],
    catalogue: Catalogue,
) -> TierPlan:
    """Return the plan of one tier: the chosen variant first, then old ones that still have replicas."""
    offer, chosen = state.proposal.offer, state.variant
    old = [each.variant for each in state.running if each.variant != chosen and granted.get(each.variant.key, 0)]
    parts = []
    for variant in ([chosen] if chosen else []) + sorted(old):
        running = state.state_of(variant)
        candidate = offer.candidate if offer is not None and variant == offer.variant else None
        if candidate is None and running is not None:
            candidate = candidate_of(running, policy, state.tier, state.load, catalogue)
        replicas = granted.get(variant.key, 0)
        parts.append(Granted(variant=variant, replicas=replicas, candidate=candidate, state=running))
    return tier_plan(state.tier, state.load, state.proposal, parts, steps, costs)


def _missing(tiers: Sequence[TierPolicy], snapshot: Snapshot) -> tuple[str, ...]:
    """Return the needed signals that nobody reports, with their reasons; a stated demand needs none."""
    found = []
    for tier in tiers:
        if tier.static_rate_per_s is not None:
            continue
        signals = snapshot.signals(tier.name)
        for name in ("arrivals_per_s", "waiting", "input_tokens_mean", "output_tokens_mean"):
            signal = getattr(signals, name)
            if isinstance(signal, Missing):
                found.append(f"{tier.name}.{name}: {signal.reason}{f' ({signal.detail})' if signal.detail else ''}")
    return tuple(found)
