"""From what was seen of a tier to the load that is planned for: arrivals, where they are heading, backlog, headroom.

A missing signal is never zero: the last known maximum stands in and ``may_lower`` says that capacity may only be held
or raised. Decides nothing about replicas. Formula: docs/model.md section 10.
"""

import math
from dataclasses import dataclass
from typing import Final

from poolwright.forecast.ahead import demand_ahead
from poolwright.forecast.burst import rate_levels
from poolwright.planner.deadline import deferred_load
from poolwright.planner.margin import margin_of
from poolwright.planner.memory import last_dispersion, last_known_max, last_lengths, windows_of
from poolwright.planner.outcome import Load, Step
from poolwright.planner.policy import TierPolicy
from poolwright.planner.reason import Reason
from poolwright.planner.session import session_load
from poolwright.planner.signal import MAX_AGE_S, MAX_RATE_PER_S, MAX_REQUESTS, MAX_TOKENS, believed
from poolwright.planner.snapshot import History, Known, Missing, TierSignals
from poolwright.units import PERCENT

DRAIN_S: Final = 60.0
"""Time in which a backlog is worked off [s]: replay found a minute enough; shorter orders replicas for queues that are
gone before they start, longer leaves requests beyond their objective."""

EDGE_SIGMAS: Final = 3.0
"""Standard deviations of a count that chance explains [1]: one false step in 700 normal readings, and that only plans
for what was really there for a moment. Lower orders replicas for noise, higher sees small steps later."""

COMPLETE_RATIO: Final = 0.999
"""Share of ready replicas that must report for a sum over them to count as complete [ratio]: all, but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """Requests per second, whether something observed says so, and whether it may lower capacity."""

    rate_per_s: float
    is_observed: bool
    may_lower: bool
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lengths:
    """Mean tokens of prompt and answer, and where they come from."""

    input_tokens: float
    output_tokens: float
    may_lower: bool
    step: Step


def load_of(
    tier: TierPolicy, signals: TierSignals, history: History, *, headroom_ratio: float, horizon_s: float, now_s: float
) -> Load:
    """Return the load of a tier that is planned for.

    Parameters
    ----------
    tier
        Policy with objectives, hint and perhaps a static rate.
    signals
        What its replicas report; every value is judged before it is used.
    history
        Remembered windows, this cycle's included.
    headroom_ratio
        Share added on top of everything else, at least 0.
    horizon_s, now_s
        How far ahead replicas ordered now will serve [s], and the moment.

    Returns
    -------
    Load
        With ``rate_per_s`` at least the believed arrivals, and the steps that led to it.

    Notes
    -----
    Docs/model.md equation (10.1):
    ``(max(now, ahead) * margin + backlog beyond the objective / DRAIN_S) * (1 + headroom)``.
    """
    present = _present_rate(tier, signals, history)
    lengths = _lengths(tier, signals, history)
    sessions = session_load(tier.hint)
    waiting = believed(signals.waiting, minimum=0.0, maximum=MAX_REQUESTS)
    wanted_per_s, wanted_steps = _wanted(tier, history, present, waiting, horizon_s=horizon_s, now_s=now_s)
    rate_per_s = wanted_per_s * (1.0 + headroom_ratio)
    is_smooth = tier.static_rate_per_s is not None or tier.deadline_s is not None
    dispersion = None if is_smooth else last_dispersion(history, tier.name)
    rates_per_s, weights = rate_levels(rate_per_s, dispersion)
    return Load(
        tier=tier.name,
        rate_per_s=rate_per_s,
        rates_per_s=rates_per_s,
        weights=weights,
        input_tokens_mean=lengths.input_tokens,
        output_tokens_mean=lengths.output_tokens,
        cached_prefix_ratio=sessions.cached_prefix_ratio,
        held_token_s=sessions.held_token_s(lengths.input_tokens, lengths.output_tokens),
        is_observed=present.is_observed,
        may_lower=present.may_lower and (rate_per_s == 0.0 or (lengths.may_lower and _is_counted(tier, waiting))),
        steps=(
            present.step,
            lengths.step,
            *((sessions.step,) if sessions.step else ()),
            *wanted_steps,
            *_headroom(wanted_per_s, headroom_ratio),
            *_bursts(rates_per_s, weights),
        ),
    )


def _wanted(
    tier: TierPolicy, history: History, present: _Rate, waiting: Known | Missing, *, horizon_s: float, now_s: float
) -> tuple[float, tuple[Step, ...]]:
    """Return demand and backlog: ahead of now, or averaged over a deadline where the tier has nothing else."""
    if tier.deadline_s is not None and present.is_observed and present.may_lower:
        windows = windows_of(history, tier.name)
        queued = waiting.value if isinstance(waiting, Known) else 0.0
        return deferred_load(
            windows, rate_per_s=present.rate_per_s, waiting=queued, deadline_s=tier.deadline_s, now_s=now_s
        )
    ahead_per_s, ahead_steps = _ahead(tier, history, present, horizon_s=horizon_s, now_s=now_s)
    margin = margin_of(history, tier.name) if present.is_observed else 1.0
    backlog_per_s, backlog_steps = _backlog(tier, waiting, present)
    steps = (*ahead_steps, *_margin(ahead_per_s, margin), *backlog_steps)
    return ahead_per_s * margin + backlog_per_s, steps


def _present_rate(tier: TierPolicy, signals: TierSignals, history: History) -> _Rate:
    if tier.static_rate_per_s is not None:
        detail = f"the spec states {tier.static_rate_per_s:.4g} requests/s"
        step = Step(name="arrivals", value=tier.static_rate_per_s, reason=Reason.STATIC_DEMAND, detail=detail)
        return _Rate(rate_per_s=tier.static_rate_per_s, is_observed=False, may_lower=True, step=step)
    arrivals = believed(signals.arrivals_per_s, minimum=0.0, maximum=MAX_RATE_PER_S)
    if isinstance(arrivals, Missing):
        return _unseen_rate(arrivals, last_known_max(history, tier.name))
    reporting = believed(signals.reporting_ratio, minimum=0.0, maximum=1.0)
    if isinstance(reporting, Known) and reporting.value < COMPLETE_RATIO:
        return _partial_rate(arrivals.value, reporting.value, last_known_max(history, tier.name))
    return _seen_rate(arrivals.value, signals, last_dispersion(history, tier.name))


def _seen_rate(rate_per_s: float, signals: TierSignals, dispersion: float | None) -> _Rate:
    """Return what arrives: the mean over the window, or over its last part where that is higher than chance explains.

    A mean follows a step only after the whole window.
    """
    detail = f"{rate_per_s:.4g} requests/s arrive"
    arithmetic: tuple[str, ...] = ()
    edge = believed(signals.edge_per_s, minimum=0.0, maximum=MAX_RATE_PER_S)
    length = believed(signals.edge_s, minimum=1.0, maximum=MAX_AGE_S)
    if isinstance(edge, Known) and isinstance(length, Known):
        spread = max(dispersion or 1.0, 1.0)
        noise_per_s = EDGE_SIGMAS * math.sqrt(rate_per_s * spread / length.value)
        if edge.value > rate_per_s + noise_per_s:
            detail = f"{edge.value:.4g} requests/s arrive since {length.value:.0f} s: a step"
            arithmetic = (
                (
                    f"{edge.value:.4g}/s > {rate_per_s:.4g}/s + {EDGE_SIGMAS:g} sqrt({rate_per_s:.4g}/s x dispersion "
                    f"{spread:.3g} / {length.value:.0f} s) = {rate_per_s + noise_per_s:.4g}/s"
                ),
            )
            rate_per_s = edge.value
    step = Step(name="arrivals", value=rate_per_s, reason=Reason.DEMAND, detail=detail, arithmetic=arithmetic)
    return _Rate(rate_per_s=rate_per_s, is_observed=True, may_lower=True, step=step)


def _unseen_rate(arrivals: Missing, last_max: float | None) -> _Rate:
    why = f"arrivals are missing ({arrivals.reason}{': ' if arrivals.detail else ''}{arrivals.detail})"
    if last_max is None:
        detail = f"{why} and were never seen: nothing is lowered until they are"
        step = Step(name="arrivals", value=0.0, reason=Reason.ZERO_MEASUREMENT, detail=detail)
        return _Rate(rate_per_s=0.0, is_observed=False, may_lower=False, step=step)
    detail = f"{why}: the last known maximum of {last_max:.4g} requests/s stands in"
    step = Step(name="arrivals", value=last_max, reason=Reason.SIGNAL_MISSING, detail=detail)
    return _Rate(rate_per_s=last_max, is_observed=False, may_lower=False, step=step)


def _partial_rate(seen_per_s: float, reporting_ratio: float, last_max: float | None) -> _Rate:
    rate_per_s = max(seen_per_s, last_max or 0.0)
    detail = (
        f"only {reporting_ratio * PERCENT:.0f} % of the ready replicas report {seen_per_s:.4g} requests/s: "
        f"the larger of that and the last known maximum, {rate_per_s:.4g}, stands in"
    )
    step = Step(name="arrivals", value=rate_per_s, reason=Reason.SIGNAL_MISSING, detail=detail)
    return _Rate(rate_per_s=rate_per_s, is_observed=True, may_lower=False, step=step)


def _lengths(tier: TierPolicy, signals: TierSignals, history: History) -> _Lengths:
    inputs = believed(signals.input_tokens_mean, minimum=1.0, maximum=MAX_TOKENS)
    outputs = believed(signals.output_tokens_mean, minimum=1.0, maximum=MAX_TOKENS)
    if isinstance(inputs, Known) and isinstance(outputs, Known):
        return _lengths_as(inputs.value, outputs.value, Reason.DEMAND, "seen", may_lower=True)
    last = last_lengths(history, tier.name)
    if last is not None:
        return _lengths_as(*last, Reason.SIGNAL_MISSING, "last seen; now missing", may_lower=False)
    hint = tier.hint
    return _lengths_as(
        session_load(hint).input_tokens_mean,
        hint.output_tokens_mean,
        Reason.ZERO_MEASUREMENT,
        "the hint in the spec; nothing was seen yet",
        may_lower=tier.static_rate_per_s is not None,
    )


def _lengths_as(inputs: float, outputs: float, reason: Reason, source: str, *, may_lower: bool) -> _Lengths:
    detail = f"{inputs:.0f} tokens in, {outputs:.0f} out ({source})"
    step = Step(name="lengths", value=f"{inputs:.0f}/{outputs:.0f}", reason=reason, detail=detail)
    return _Lengths(input_tokens=inputs, output_tokens=outputs, may_lower=may_lower, step=step)


def _ahead(
    tier: TierPolicy, history: History, present: _Rate, *, horizon_s: float, now_s: float
) -> tuple[float, tuple[Step, ...]]:
    """Return demand when replicas ordered now will serve; a stated demand and one that stands in need no forecast."""
    if not present.is_observed:
        return present.rate_per_s, ()
    ahead = demand_ahead(
        windows_of(history, tier.name), rate_per_s=present.rate_per_s, now_s=now_s, horizon_s=horizon_s
    )
    detail = (
        f"in {horizon_s:.0f} s, when replicas ordered now serve, at most {ahead.rate_per_s:.4g} requests/s (95 % sure)"
    )
    grown = f"{present.rate_per_s:.4g} now x {ahead.growth_ratio:.3f} growth"
    arithmetic = (f"max({grown}, {ahead.recent_per_s:.4g} high window) = {ahead.rate_per_s:.4g} requests/s",)
    step = Step(name="forecast", value=ahead.rate_per_s, reason=Reason.DEMAND, detail=detail, arithmetic=arithmetic)
    return ahead.rate_per_s, (step,)


def _margin(ahead_per_s: float, margin: float) -> tuple[Step, ...]:
    if margin == 1.0:
        return ()
    value = ahead_per_s * margin
    arithmetic = (f"{ahead_per_s:.4g} x {margin:.4g} = {value:.4g} requests/s",)
    detail = f"margin {margin:.4g}, corrected by how often objectives were missed"
    return (Step(name="margin", value=value, reason=Reason.DEMAND, detail=detail, arithmetic=arithmetic),)


def _is_counted(tier: TierPolicy, waiting: Known | Missing) -> bool:
    """Return whether the backlog is known; a stated demand needs none."""
    return tier.static_rate_per_s is not None or isinstance(waiting, Known)


def _backlog(tier: TierPolicy, waiting: Known | Missing, present: _Rate) -> tuple[float, tuple[Step, ...]]:
    """Return the extra rate that works off in a minute what waits beyond the objective (Little's law)."""
    if isinstance(waiting, Missing) or tier.static_rate_per_s is not None:
        return 0.0, ()
    rate_per_s = present.rate_per_s
    allowed_s = tier.objectives.ttft_s or tier.objectives.end_to_end_s or DRAIN_S
    excess = max(waiting.value - rate_per_s * allowed_s, 0.0)
    if excess == 0.0:
        return 0.0, ()
    extra_per_s = excess / DRAIN_S
    arithmetic = (
        f"{waiting.value:.0f} waiting - {rate_per_s:.4g}/s x {allowed_s:.4g} s allowed = {excess:.4g} requests",
        f"{excess:.4g} requests / {DRAIN_S:.0f} s = {extra_per_s:.4g} requests/s",
    )
    detail = f"{excess:.0f} requests wait beyond the objective; worked off in {DRAIN_S:.0f} s"
    step = Step(name="backlog", value=extra_per_s, reason=Reason.BACKLOG, detail=detail, arithmetic=arithmetic)
    return extra_per_s, (step,)


def _headroom(rate_per_s: float, headroom_ratio: float) -> tuple[Step, ...]:
    if headroom_ratio == 0.0:
        return ()
    value = rate_per_s * (1.0 + headroom_ratio)
    arithmetic = (f"{rate_per_s:.4g} x (1 + {headroom_ratio:.3g}) = {value:.4g} requests/s",)
    detail = f"{headroom_ratio * PERCENT:.0f} % headroom asked for in the spec"
    return (Step(name="headroom", value=value, reason=Reason.HEADROOM, detail=detail, arithmetic=arithmetic),)


def _bursts(rates_per_s: tuple[float, ...], weights: tuple[float, ...]) -> tuple[Step, ...]:
    if len(rates_per_s) == 1:
        return ()
    levels = ", ".join(f"{rate:.4g}/s ({weight:.3f})" for rate, weight in zip(rates_per_s, weights, strict=True))
    detail = f"arrivals are burstier than Poisson: planned over rates {levels}"
    return (Step(name="bursts", value=max(rates_per_s), reason=Reason.DEMAND, detail=detail),)
