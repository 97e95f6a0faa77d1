"""What is replayed: traces, fleets, objectives, and which part of a trace others are tuned on."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_variant import FleetVariant, after, variant_of

OBJECTIVES: Final = Objectives(ttft_s=1.0, itl_s=0.05)
"""95 % of first tokens within a second, 50 ms between tokens: a chat that feels immediate."""
LONG_PROMPTS: Final = Objectives(ttft_s=10.0, itl_s=0.1)
"""For prompts of 12,000 tokens on average and 126,000 at most: a prompt alone takes from one to ten seconds."""
COLD_START_S: Final = 120.0
"""[s] A node that stands by, an image that is cached, 70 GB from local disks."""
MAX_NUM_SEQS, MAX_NUM_BATCHED_TOKENS = 128, 512
"""Limits of a replica: steps of 512 tokens take 42 ms, within the objective."""
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One trace on one fleet.

    Attributes
    ----------
    name, trace, factor
        What it is called, and what ``find_source`` takes.
    until_s, tuned_s
        How much is replayed, and the first part of it on which settings are tuned before they are frozen [s]; figures
        are of the rest.
    kinds
        ``(accelerator, tensor parallelism, quota)`` of each kind of replica, the cheapest per request first.
    objectives
        What is promised.
    is_day_scale
        Whether traffic changes over hours, so that the bars for such traces apply.
    """

    name: str
    trace: str
    factor: float
    until_s: float
    tuned_s: float
    kinds: tuple[tuple[str, int, int | None], ...] = (("h100-sxm", 4, None),)
    is_day_scale: bool = False
    objectives: Objectives = OBJECTIVES


SEVERAL: Final = (("h100-sxm", 4, 8), ("h200-sxm", 4, None))
"""Eight replicas on the accelerator that is cheaper per request, the rest on another."""

CASES: Final = (
    Case(name="azure2023", trace="azure2023", factor=12.0, until_s=3480.0, tuned_s=1200.0),
    Case(name="azure2024", trace="azure2024", factor=1.0, until_s=2 * DAY_S, tuned_s=DAY_S, is_day_scale=True),
    Case(name="servegen", trace="servegen", factor=0.2, until_s=1.5 * DAY_S, tuned_s=DAY_S / 2, is_day_scale=True),
    Case(name="mooncake", trace="mooncake", factor=4.0, until_s=3480.0, tuned_s=1200.0, objectives=LONG_PROMPTS),
    Case(name="step", trace="step", factor=2.0, until_s=2 * HOUR_S, tuned_s=HOUR_S / 2),
    Case(name="ramp", trace="ramp", factor=2.0, until_s=2 * HOUR_S, tuned_s=HOUR_S / 2),
    Case(name="burst", trace="burst", factor=2.0, until_s=6 * HOUR_S, tuned_s=2 * HOUR_S),
    Case(name="night", trace="night", factor=2.0, until_s=2 * DAY_S, tuned_s=DAY_S, is_day_scale=True),
    Case(
        name="azure2024-two-gpus",
        trace="azure2024",
        factor=1.0,
        until_s=2 * DAY_S,
        tuned_s=DAY_S,
        kinds=SEVERAL,
        is_day_scale=True,
    ),
)
LONG: Final = (
    Case(name="azure2024-week", trace="azure2024", factor=1.0, until_s=7 * DAY_S, tuned_s=DAY_S, is_day_scale=True),
    Case(name="servegen-14-days", trace="servegen", factor=0.2, until_s=14 * DAY_S, tuned_s=DAY_S, is_day_scale=True),
)
"""Whole traces: only default settings, ours and static are played on them."""


def case_of(name: str) -> Case:
    """Return a case by name."""
    return next(each for each in (*CASES, *LONG) if each.name == name)


@lru_cache
def variants_of(case: Case, longest_tokens: int) -> tuple[FleetVariant, ...]:
    """Return the kinds of replicas of a case, which hold its longest request."""
    catalogue = load_catalogue()
    return tuple(
        variant_of(
            ReplicaConfig(
                accelerator=catalogue.accelerator(accelerator),
                model=catalogue.model("llama-3.1-70b"),
                weight_format="fp8",
                kv_format="bf16",
                tensor_parallel=degree,
            ),
            max_num_seqs=MAX_NUM_SEQS,
            max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
            max_context_tokens=longest_tokens,
            cold_start=after(COLD_START_S),
            quota=quota,
        )
        for accelerator, degree, quota in case.kinds
    )
