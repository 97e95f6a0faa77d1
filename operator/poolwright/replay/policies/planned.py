"""Ours: the planner's own demand, forecast, verdict and limits, on what a scrape shows.

Everything that decides is the shipped code: ``planner.memory`` remembers, ``planner.demand`` says what load to plan
for, the number is the closed form's and the judge's (laid out by ``sizing``), ``planner.limits`` holds it back. Only
the choice of an accelerator is simpler than a plan's: the cheapest first, the next one where its quota ends.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from poolwright.forecast.burst import index_of_dispersion
from poolwright.planner.demand import load_of
from poolwright.planner.limits import Contender, Situation, limited
from poolwright.planner.margin import looked
from poolwright.planner.memory import remembered, with_wanted
from poolwright.planner.outcome import Load
from poolwright.planner.policy import Scaling, TierPolicy
from poolwright.planner.snapshot import History, Known, Missing, MissingReason, Signal, Snapshot, TierSignals, Variant
from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Latencies, Observed, VariantSeen, merged
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import asked_for
from poolwright.replay.policies.settings import settings_of
from poolwright.replay.policies.sizing import Sizing

TIER: Final = "tier"
"""Name of the only tier."""
DISPERSION_S: Final = 300.0
"""Windows that the index of dispersion is taken over [s]: as long as the operator keeps readings of a pod."""
MIN_INTERVALS: Final = 8
"""Fewest of them [count], as in the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSettings:
    """Settings: those of a pool's ``scaling``, and the operator's window.

    Attributes
    ----------
    headroom_ratio, stabilisation_s
        As in ``planner.policy.Scaling``.
    window_s
        Window of rates and lengths [s], the operator's ``metrics_window_s``.
    min_replicas, max_replicas
        Bounds.
    """

    headroom_ratio: float = 0.0
    stabilisation_s: float = Scaling().scale_down_stabilisation_s
    window_s: float = 60.0
    min_replicas: int = 1
    max_replicas: int = 1000


@dataclass(slots=True)
class Planned:
    """A pool's planner with its history and the scrapes of the last minutes."""

    settings: PlannedSettings
    tier: TierPolicy
    variants: tuple[FleetVariant, ...]
    sizings: tuple[Sizing, ...]
    history: History = field(default_factory=History)
    load: Load | None = None
    _seen: deque[Observed] = field(default_factory=deque)

    @classmethod
    def made(cls, variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> "Planned":
        """Return one with the settings given."""
        own = settings_of(PlannedSettings, "planned", given)
        tier = TierPolicy(name=TIER, objectives=objectives)
        return cls(own, tier, variants, tuple(Sizing.of(each, objectives) for each in variants))

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what a plan wants; nothing before the first scrape."""
        if observed.seen_s < 0.0:
            return {}
        self._seen.append(observed)
        while self._seen[0].seen_s <= observed.seen_s - DISPERSION_S:
            self._seen.popleft()
        horizon_s = observed.cold_start_s
        snapshot = Snapshot(tiers=((TIER, self._signals(observed, now_s)),))
        self.history = remembered(self.history, [TIER], snapshot, horizon_s=horizon_s, now_s=now_s)
        self.history = looked(self.history, (self.tier,), snapshot, now_s)
        self.load = load_of(
            self.tier,
            snapshot.signals(TIER),
            self.history,
            headroom_ratio=self.settings.headroom_ratio,
            horizon_s=horizon_s,
            now_s=now_s,
        )
        return self._spread(observed.variants, self.load, now_s)

    def _signals(self, observed: Observed, now_s: float) -> TierSignals:
        """Return what the operator would have of these scrapes."""
        since_s = observed.seen_s - self.settings.window_s
        recent = [each for each in self._seen if each.seen_s > since_s]
        age_s = now_s - observed.seen_s
        seen = [each for one in recent for each in one.variants]
        finished = sum(each.finished for each in seen)

        def mean(total: int) -> Signal:
            if finished == 0:
                return Missing(reason=MissingReason.NOT_YET, detail="no request finished in the window")
            return Known(value=total / finished, age_s=age_s)

        def percentile(several: list[Latencies]) -> Signal:
            value_s = merged(several).percentile_s(self.tier.objectives.percentile_ratio)
            if value_s is None:
                return Missing(reason=MissingReason.NOT_YET, detail="nothing measured in the window")
            return Known(value=value_s, age_s=age_s)

        reporting = sum(each.reporting for each in observed.variants)
        return TierSignals(
            ttft_s=percentile([each.ttft for each in recent]),
            itl_s=percentile([each.itl for each in recent]),
            arrivals_per_s=Known(
                value=sum(each.arrived for each in recent) / sum(each.window_s for each in recent), age_s=age_s
            ),
            edge_per_s=Known(value=observed.arrivals_per_s, age_s=age_s),
            edge_s=Known(value=observed.window_s, age_s=age_s),
            dispersion=self._dispersion(age_s),
            running=Known(value=float(observed.running), age_s=age_s),
            waiting=Known(value=float(observed.waiting), age_s=age_s),
            input_tokens_mean=mean(sum(each.finished_input_tokens for each in seen)),
            output_tokens_mean=mean(sum(each.finished_output_tokens for each in seen)),
            # The gateway counts every arrival, so only the backlog can be partial.
            reporting_ratio=Known(value=1.0 if reporting else 0.0, age_s=age_s),
        )

    def _dispersion(self, age_s: float) -> Signal:
        """Return variance over mean of arrivals by scrape."""
        counts = [float(each.arrived) for each in self._seen]
        if len(counts) < MIN_INTERVALS or sum(counts) < len(counts):
            return Missing(reason=MissingReason.NOT_YET, detail=f"{len(counts)} intervals")
        return Known(value=index_of_dispersion(counts), age_s=age_s)

    def _spread(self, seen: tuple[VariantSeen, ...], load: Load, now_s: float) -> dict[str, int]:
        """Return replicas by variant after the limits: what these add or hold goes to the first one with room."""
        wanted = self._needed(seen, load)
        total, current = sum(wanted.values()), asked_for(seen)
        contender = Contender(
            tier=TIER,
            load=load,
            variant=Variant(tier=TIER, accelerator=seen[0].key, weight_format="", kv_format=""),
            current=current,
            wanted=total,
        )
        scaling = Scaling(
            min_replicas=self.settings.min_replicas,
            max_replicas=self.settings.max_replicas,
            scale_down_stabilisation_s=self.settings.stabilisation_s,
        )
        situation = Situation(
            contenders=(contender,), scaling=scaling, constraints=(), history=self.history, now_s=now_s
        )
        (count,), _ = limited(situation)
        window_s = self.settings.stabilisation_s
        self.history = with_wanted(self.history, [(TIER, total)], window_s=window_s, now_s=now_s)
        return placed(seen, wanted, min(count, self.settings.max_replicas))

    def _needed(self, seen: tuple[VariantSeen, ...], load: Load) -> dict[str, int]:
        """Return replicas by variant: what the first one's quota does not serve of the load goes to the next."""
        wanted = dict.fromkeys((each.key for each in seen), 0)
        left = load
        for sizing, each in zip(self.sizings, seen, strict=True):
            if left.rate_per_s <= 0.0:
                break
            count = sizing.needed(left)
            wanted[each.key] = count if each.quota is None else min(count, each.quota)
            if wanted[each.key] == count:
                break
            share = max(1.0 - sizing.served_per_s(left, wanted[each.key]) / left.rate_per_s, 0.0)
            rates = tuple(rate * share for rate in left.rates_per_s)
            left = replace(left, rate_per_s=left.rate_per_s * share, rates_per_s=rates)
        return wanted


def placed(seen: tuple[VariantSeen, ...], wanted: Mapping[str, int], total: int) -> dict[str, int]:
    """Return the wish with as many replicas as the limits leave.

    What is held beyond the wish stays where it runs; what is added goes to the first variants with room.
    """
    counts = dict(wanted)
    extra = total - sum(counts.values())
    for each in seen:
        kept = min(max(each.wanted - counts[each.key], 0), max(extra, 0))
        counts[each.key] += kept
        extra -= kept
    for each in seen:
        room = extra if each.quota is None else min(extra, each.quota - counts[each.key])
        moved = max(room, -counts[each.key]) if extra < 0 else max(room, 0)
        counts[each.key] += moved
        extra -= moved
    return counts
