"""A fleet of made-up pools: log-normal rates that swing over a day, a few shapes of requests, and quotas."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import Catalogue
from poolwright.planner.fleet.columns import Column
from poolwright.planner.fleet.plan import FleetPlan
from poolwright.planner.fleet.request import FleetLimits, FleetRequest, Supply
from poolwright.planner.menu import Menu, Option, options_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, Scaling, TierPolicy
from poolwright.queueing.objectives import Objectives

SEED: Final = 1
SHAPES: Final = (
    ("meta-llama/Llama-3.1-8B-Instruct", 1000.0, 200.0, Objectives(ttft_s=0.8, itl_s=0.05)),
    ("meta-llama/Llama-3.1-8B-Instruct", 4000.0, 300.0, Objectives(ttft_s=2.0, itl_s=0.08)),
    ("Qwen/Qwen2.5-32B-Instruct", 1500.0, 300.0, Objectives(ttft_s=2.0, itl_s=0.08)),
)
"""Model, mean tokens of prompt and answer, objectives: what pools have in common."""
QUOTA_RATIO: Final = 0.7
"""Quota over what pools take when nothing is shared [ratio]: the best types are short, and all can still be served."""
MEDIAN_RATE_PER_S, SPREAD = 20.0, 1.0
"""Rates of pools are log-normal: most small, some large."""
HOURS: Final = (0, 6, 12, 18)
MOST_SWING: Final = 0.8
"""Rates swing by up to this over a day, each pool with a share and an hour of its own [ratio]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Pools with their rates in each hour looked at, and what they share."""

    requests: tuple[FleetRequest, ...]
    rates_per_s: dict[int, tuple[float, ...]]
    limits: FleetLimits

    def at(self, hour: int) -> tuple[FleetRequest, ...]:
        """Return the pools with the rates of an hour."""
        return tuple(with_rate(each, rate) for each, rate in zip(self.requests, self.rates_per_s[hour], strict=True))

    def at_peak(self) -> tuple[FleetRequest, ...]:
        """Return the pools with their largest rates."""
        most = [max(rates) for rates in zip(*self.rates_per_s.values(), strict=True)]
        return tuple(with_rate(each, rate) for each, rate in zip(self.requests, most, strict=True))


def scenario_of(catalogue: Catalogue, pools: int, accelerators: int) -> Scenario:
    """Return pools over the first so many priced accelerators, without anything shared yet."""
    priced = sorted(
        (
            each
            for each in catalogue.accelerators.values()
            if each.price_usd_per_s and "bf16" in each.peak_flop_per_s and each.name != "cpu"
        ),
        key=lambda each: each.name,
    )[:accelerators]
    options: dict[str, tuple[Option, ...]] = {}
    random = Random(SEED)  # noqa: S311 - repeatable, and nothing secret
    requests, means, swings, starts = [], [], [], []
    for number in range(pools):
        requests.append(request_of(catalogue, number, random.randrange(len(SHAPES)), priced, options))
        means.append(random.lognormvariate(math.log(MEDIAN_RATE_PER_S), SPREAD))
        swings.append(random.uniform(0.0, MOST_SWING))
        starts.append(random.uniform(0.0, 24.0))
    rates = {
        hour: tuple(
            mean * (1.0 + swing * math.cos((hour - start) / 24.0 * math.tau))
            for mean, swing, start in zip(means, swings, starts, strict=True)
        )
        for hour in HOURS
    }
    return Scenario(requests=tuple(requests), rates_per_s=rates, limits=FleetLimits())


def request_of(
    catalogue: Catalogue,
    number: int,
    shape: int,
    accelerators: Sequence[Accelerator],
    options: dict[str, tuple[Option, ...]],
) -> FleetRequest:
    """Return one pool of a shape, with any rate."""
    name, inputs, outputs, objectives = SHAPES[shape]
    policy = PoolPolicy(
        namespace="bench",
        name=f"pool-{number:04d}",
        model=catalogue.model(name),
        tiers=(TierPolicy(name="chat", objectives=objectives),),
        accelerators=tuple(AcceleratorChoice(name=each.name) for each in accelerators),
        max_tensor_parallel=4,
        scaling=Scaling(max_replicas=10_000),
    )
    if name not in options:
        options[name] = tuple(options_of(policy, Menu(accelerators=tuple(accelerators), refused=())))
    load = Load(
        tier="chat",
        rate_per_s=1.0,
        rates_per_s=(1.0,),
        weights=(1.0,),
        input_tokens_mean=inputs,
        output_tokens_mean=outputs,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )
    return FleetRequest(policy=policy, loads=(load,), options=options[name])


def with_rate(request: FleetRequest, rate_per_s: float) -> FleetRequest:
    """Return a pool at another rate."""
    return replace(request, loads=(replace(request.loads[0], rate_per_s=rate_per_s, rates_per_s=(rate_per_s,)),))


def quotas(free: FleetPlan, scenario: Scenario) -> FleetLimits:
    """Return a quota for each type that the pools would take, and none for the others."""
    taken = occupied([each.column for each in free.choices])
    return replace(
        scenario.limits,
        supplies=tuple(
            Supply(accelerator=name, quota=int(count * QUOTA_RATIO)) for name, count in sorted(taken.items())
        ),
    )


def occupied(columns: Sequence[Column]) -> dict[str, int]:
    """Return accelerators by name."""
    total: dict[str, int] = {}
    for each in columns:
        for name, count in each.accelerators:
            total[name] = total.get(name, 0) + count
    return total
