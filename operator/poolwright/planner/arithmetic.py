"""Steps of the trace that show why a variant and a number of replicas were proposed, as sums a person can do again.

Only words and figures; what is decided is in ``optimise``. Every number printed here is one that was used.
"""

from collections.abc import Sequence

from poolwright.planner.candidates import Candidate, workload_of
from poolwright.planner.explain import ms_text
from poolwright.planner.judge import simulated
from poolwright.planner.offer import Offer
from poolwright.planner.outcome import Load, Step
from poolwright.planner.policy import TierPolicy
from poolwright.planner.reason import Reason
from poolwright.planner.verify import closed_form, expected
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.station import capacity
from poolwright.units import BYTES_PER_GB, BYTES_PER_KIB, ms_from_s, percent_from_ratio, usd_per_h_from_usd_per_s


def memory_step(chosen: Candidate, load: Load) -> Step:
    """Return how many sequences one replica's cache holds, from bytes."""
    config, memory = chosen.config, chosen.memory
    total = config.accelerator.memory_bytes * config.memory_utilisation_ratio
    parts = (memory.weight_bytes, memory.activation_bytes, memory.reserve_bytes)
    weights, activations, reserve = (f"{part / BYTES_PER_GB:.1f}" for part in parts)
    arithmetic: tuple[str, ...] = (
        (
            f"cache on each accelerator = {total / BYTES_PER_GB:.1f} GB usable - {weights} weights - {activations} "
            f"activations - {reserve} reserve = {memory.kv_bytes / BYTES_PER_GB:.1f} GB"
        ),
        (
            f"{memory.kv_bytes / BYTES_PER_GB:.1f} GB / {memory.kv_bytes_per_token / BYTES_PER_KIB:.1f} KiB a token = "
            f"{memory.kv_capacity_tokens:.0f} tokens = {memory.kv_capacity_sequences:.0f} sequences of "
            f"{memory.context_tokens:.0f} tokens, {chosen.limits.kv_limit} with room to fluctuate"
        ),
    )
    beside = "the weights"
    if chosen.held_tokens > 0.0:
        beside = "weights and held context"
        left = chosen.station.kv_capacity_tokens
        arithmetic = (
            *arithmetic,
            (
                f"sessions hold {load.held_token_s:.4g} token-seconds a request x "
                f"{chosen.held_tokens / load.held_token_s:.3g} requests/s that the rest sustains: "
                f"{chosen.held_tokens:.0f} tokens set aside, {left:.0f} left for batches"
            ),
        )
    detail = f"{chosen.limits.kv_limit} sequences fit beside {beside}"
    return Step(
        name="memory", value=float(chosen.limits.kv_limit), reason=Reason.DEMAND, detail=detail, arithmetic=arithmetic
    )


def capacity_step(chosen: Candidate, tier: TierPolicy, load: Load) -> Step:
    """Return what one replica serves: without objectives, and within them."""
    limits, config = chosen.limits, chosen.config
    sustained = capacity(chosen.station, workload_of(load))
    bandwidth = config.accelerator.bandwidth_bytes_per_s
    weights = chosen.memory.weight_bytes
    arithmetic = (
        (
            f"reading the weights once: {weights / BYTES_PER_GB:.1f} GB / {bandwidth / BYTES_PER_GB:.0f} GB/s = "
            f"{ms_from_s(weights / bandwidth):.2f} ms; an idle replica takes {ms_from_s(chosen.floor_itl_s):.2f} ms "
            f"a token and {ms_from_s(chosen.floor_ttft_s):.0f} ms to the first"
        ),
        f"sustained without objectives: {sustained.rate_per_s:.3g} requests/s, bound by {sustained.bound}",
        (
            f"within {objectives_text(tier.objectives)}: {limits.rate_per_s:.3g} requests/s with max_num_seqs "
            f"{limits.max_num_seqs} and max_num_batched_tokens {limits.max_num_batched_tokens}"
        ),
    )
    detail = f"one replica serves {limits.rate_per_s:.3g} requests/s within the objectives"
    return Step(name="capacity", value=limits.rate_per_s, reason=Reason.DEMAND, detail=detail, arithmetic=arithmetic)


def limits_step(chosen: Candidate) -> Step:
    """Return the batch limits, with the best rate at each token budget and the sequences that it takes."""
    limits = chosen.limits
    best = best_by_chunk(limits.rate_curve)
    rows = (
        ("max_num_batched_tokens", [f"{chunk}" for chunk in best]),
        ("best requests/s", [f"{rate:.3g}" for _, rate in best.values()]),
        ("at max_num_seqs", [f"{sequences}" for sequences, _ in best.values()]),
    )
    value = f"{limits.max_num_seqs}/{limits.max_num_batched_tokens}"
    return Step(
        name="limits",
        value=value,
        reason=Reason.DEMAND,
        detail=f"sequences / tokens of a step; {len(limits.rate_curve)} pairs were tried, none above {limits.kv_limit} "
        "sequences",
        arithmetic=tuple(f"{name:<22}" + "".join(f"{cell:>7}" for cell in cells) for name, cells in rows),
    )


def best_by_chunk(curve: Sequence[tuple[int, int, float]]) -> dict[int, tuple[int, float]]:
    """Return the fewest sequences with the best rate [1/s], and that rate, by token budget.

    >>> best_by_chunk([(8, 512, 3.0), (16, 512, 5.0), (32, 512, 5.0), (8, 1024, 4.0)])
    {512: (16, 5.0), 1024: (8, 4.0)}
    """
    best: dict[int, tuple[int, float]] = {}
    for sequences, chunk, rate in sorted(curve):
        if chunk not in best or rate > best[chunk][1]:
            best[chunk] = (sequences, rate)
    return dict(sorted(best.items()))


def replicas_step(chosen: Offer, load: Load, tier: TierPolicy) -> Step:
    """Return how many replicas follow from the load, with the probability at one fewer, that number and one more."""
    per_replica = chosen.candidate.limits.rate_per_s
    goal = percent_from_ratio(tier.objectives.percentile_ratio)
    tried = tuple(_with_count(chosen, load, tier, count, attained) for count, attained in chosen.verdict.attainment)
    arithmetic = (
        (
            f"{load.rate_per_s:.4g} requests/s / {per_replica:.3g} per replica = {load.rate_per_s / per_replica:.2f}; "
            "many replicas share their queues, few do not"
        ),
        f"asked for: {goal:g} % within the objectives",
        _judge_text(chosen),
        *tried,
    )
    replicas = chosen.verdict.replicas
    detail = f"{replicas} {'replica' if replicas == 1 else 'replicas'} for {load.rate_per_s:.4g} requests/s"
    return Step(name="replicas", value=float(replicas), reason=Reason.DEMAND, detail=detail, arithmetic=arithmetic)


def _judge_text(chosen: Offer) -> str:
    """Return who decided the number."""
    verdict = chosen.verdict
    if not verdict.requests:
        return f"the closed form proposes {verdict.proposed} and decides"
    agrees = "as" if verdict.proposed == verdict.replicas else "not"
    return (
        f"a simulation of {verdict.requests} requests for each number decides, {agrees} the {verdict.proposed} "
        "that the closed form proposes:"
    )


def _with_count(chosen: Offer, load: Load, tier: TierPolicy, count: int, attained: float) -> str:
    """Return what so many replicas would give: probability, percentiles and cost."""
    judge = simulated if chosen.verdict.requests else closed_form
    predicted = expected(chosen.candidate, workload_of(load), load, tier.objectives, count, 1.0, judge)
    each = chosen.replica_usd_per_s
    cost = "" if each is None else f", {usd_per_h_from_usd_per_s(each * count):.2f} $/h"
    percentile = percent_from_ratio(tier.objectives.percentile_ratio)
    times = f"p{percentile:g} TTFT {ms_text(predicted.ttft_s)}, ITL {ms_text(predicted.itl_s)}"
    return f"with {count}: {percent_from_ratio(attained):.1f} %, {times}{cost}"


def choice_step(chosen: Offer, others: Sequence[Offer], reason: Reason) -> Step:
    """Return the comparison of offers."""
    arithmetic = tuple(offer_text(each) for each in (chosen, *others))
    return Step(
        name="choice",
        value=chosen.variant.key,
        reason=reason,
        detail=choice_text(chosen, others),
        arithmetic=arithmetic,
    )


def choice_text(chosen: Offer, others: Sequence[Offer]) -> str:
    """Return one sentence: what was chosen and what the next would cost."""
    if not others:
        return f"{chosen.candidate.name} is the only one that meets the objectives"
    return f"{offer_text(chosen)}; next: {offer_text(others[0])}"


def offer_text(offer: Offer) -> str:
    """Return replicas times price of one offer."""
    count, cost = offer.verdict.replicas, offer.cost_usd_per_s
    if cost is None:
        return f"{count} x {offer.candidate.name}: no price is known, {offer.power_w:.0f} W"
    total = usd_per_h_from_usd_per_s(cost)
    return f"{count} x {offer.candidate.name} at {total / count:.2f} $/h = {total:.2f} $/h"


def objectives_text(objectives: Objectives) -> str:
    """Return objectives as people write them.

    >>> objectives_text(Objectives(ttft_s=0.8, itl_s=0.04))
    'p95 TTFT 800 ms, ITL 40 ms'
    """
    stated = {"TTFT": objectives.ttft_s, "ITL": objectives.itl_s, "end to end": objectives.end_to_end_s}
    values = ", ".join(f"{name} {ms_from_s(value):g} ms" for name, value in stated.items() if value is not None)
    return f"p{percent_from_ratio(objectives.percentile_ratio):g} {values}"


def shortfall(candidate: Candidate, tier: TierPolicy, load: Load) -> tuple[float, str]:
    """Return by what ratio an infeasible candidate misses on an idle replica (1 or less: only under load), in words."""
    objectives = tier.objectives
    whole_s = candidate.floor_ttft_s + max(load.output_tokens_mean - 1.0, 0.0) * candidate.floor_itl_s
    misses = [
        (
            floor / objective,
            (
                f"{name} on an idle {candidate.name} is {ms_from_s(floor):.3g} ms, "
                f"the objective is {ms_from_s(objective):.3g} ms"
            ),
        )
        for name, floor, objective in (
            ("TTFT of a mean prompt", candidate.floor_ttft_s, objectives.ttft_s),
            ("ITL", candidate.floor_itl_s, objectives.itl_s),
            ("a mean request's time", whole_s, objectives.end_to_end_s),
        )
        if objective is not None
    ]
    ratio, text = max(misses)
    if ratio <= 1.0:
        text += f", but not at the {percent_from_ratio(objectives.percentile_ratio):g}th percentile of lengths"
    return ratio, text
