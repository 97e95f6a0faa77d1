"""Model-based sizing on means: a linear iteration model fitted at one operating point, and a birth-death chain.

A step among n sequences takes alpha + beta n, the prompt of one among n takes gamma + delta n; both lines go through
two measurements, of one request alone and of the largest batch under load, at the lengths seen first. In the chain n
requests leave at n / (time of a request among n). The largest rate at which the mean time to first token and the mean
time between tokens meet the objectives is what one replica is taken to serve; an HPA below applies the number. Source:
inferno, the optimiser of llm-d's workload-variant-autoscaler (docs/modeling-optimization.md): linear ITL, state-
dependent M/M/1/K, mean values.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from poolwright.queueing.classic import birth_death
from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed, VariantSeen
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import asked_for
from poolwright.replay.policies.hpa import ROUNDING, HpaSettings, Stabilised
from poolwright.replay.policies.settings import settings_of
from poolwright.simulator.layout import Law

QUEUE_RATIO: Final = 10.0
"""Places in the queue over places in the batch [1]: as in the source; far more than any objective leaves room for."""
LENGTH_RATIO: Final = 0.05
"""Change of mean lengths below which the chain is not solved again [ratio]."""
HALVINGS: Final = 24
"""Steps of the search for the rate: seven digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeansOnlySettings:
    """Settings.

    Attributes
    ----------
    factor
        What the demand is multiplied by: the only safety that means leave room for.
    window_s, interval_s
        Over which arrivals are averaged, and between decisions [s].
    stabilisation_s
        Of the HPA below [s].
    min_replicas, max_replicas
        Bounds.
    """

    factor: float = 1.0
    window_s: float = 60.0
    interval_s: float = 60.0
    stabilisation_s: float = 300.0
    min_replicas: int = 1
    max_replicas: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """Linear times over the number of sequences [s]: of a step that decodes, and of a whole prompt."""

    decode_base_s: float
    decode_each_s: float
    prefill_base_s: float
    prefill_each_s: float

    def decode_s(self, sequences: float) -> float:
        """Return the time of a step [s]."""
        return self.decode_base_s + self.decode_each_s * sequences

    def prefill_s(self, sequences: float) -> float:
        """Return the time of a prompt among so many [s]."""
        return self.prefill_base_s + self.prefill_each_s * sequences


def largest_batch(*, input_tokens: float, output_tokens: float, max_num_seqs: int, chunk_tokens: int) -> int:
    """Return the sequences that decode at most while prompts come as fast as answers end: steps hold both.

    >>> largest_batch(input_tokens=1000.0, output_tokens=250.0, max_num_seqs=256, chunk_tokens=500)
    100
    """
    return max(2, min(max_num_seqs, int(chunk_tokens * output_tokens / (input_tokens + output_tokens))))


def fitted(law: Law, *, input_tokens: float, output_tokens: float, batch: int, chunk_tokens: int) -> Iteration:
    """Return the lines through two measurements: one request alone, and a batch under load, at given lengths."""
    axes = (law.sequences, law.contexts, law.prefills)
    step = RegularGridInterpolator(axes, law.times_s, bounds_error=False, fill_value=None)
    context = input_tokens + output_tokens / 2.0
    # Under load every step carries the prompts of those who take the places of the ones that end in it.
    mixed_s = float(step((batch, context, min(batch * input_tokens / output_tokens, chunk_tokens - batch))))
    alone_s = float(step((1, context, 0.0)))
    passes = max(math.ceil(input_tokens / chunk_tokens), 1)
    first_s = passes * float(step((0, context, input_tokens / passes)))
    among_s = math.ceil(input_tokens / max(chunk_tokens - batch, 1)) * mixed_s
    decode_each_s, prefill_each_s = (mixed_s - alone_s) / (batch - 1), (among_s - first_s) / (batch - 1)
    return Iteration(
        decode_base_s=alone_s - decode_each_s,
        decode_each_s=decode_each_s,
        prefill_base_s=first_s - prefill_each_s,
        prefill_each_s=prefill_each_s,
    )


def sustained_per_s(model: Iteration, *, output_tokens: float, batch: int, objectives: Objectives) -> float:
    """Return the largest rate of one replica at which both means meet the objectives [1/s]; 0 where none does."""
    present = np.arange(1, batch + 1, dtype=np.float64)
    request_s = model.prefill_base_s + model.prefill_each_s * present
    request_s = request_s + max(output_tokens - 1.0, 0.0) * (model.decode_base_s + model.decode_each_s * present)
    leaving = present / request_s
    service = np.concatenate((leaving, np.full(int(QUEUE_RATIO * batch), leaving[-1])))

    def is_met(rate_per_s: float) -> bool:
        chain = birth_death(rate_per_s, service, batch)
        ttft_s = chain.mean_wait_s + model.prefill_s(chain.mean_in_service)
        itl_s = model.decode_s(chain.mean_in_service)
        return ttft_s <= (objectives.ttft_s or math.inf) and itl_s <= (objectives.itl_s or math.inf)

    low, high = 0.0, float(leaving.max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if is_met(middle) else (low, middle)
    return low


@dataclass(slots=True)
class MeansOnly:
    """A sizer with the model of each variant, fitted once, and the rates of its window."""

    settings: MeansOnlySettings
    variants: tuple[FleetVariant, ...]
    objectives: Objectives
    _after: Stabilised
    _rates: deque[tuple[float, float]] = field(default_factory=deque)
    _models: dict[str, tuple[Iteration, int]] = field(default_factory=dict)
    _solved: dict[str, tuple[float, float]] = field(default_factory=dict)
    _output_tokens: float | None = None
    _decided_s: float = -math.inf

    @classmethod
    def made(
        cls, variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]
    ) -> "MeansOnly":
        """Return one with the settings given."""
        own = settings_of(MeansOnlySettings, "means-only", given)
        after = HpaSettings(
            stabilisation_s=own.stabilisation_s, min_replicas=own.min_replicas, max_replicas=own.max_replicas
        )
        return cls(own, variants, objectives, Stabilised(after))

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what is asked for; nothing until a request has finished, or between decisions."""
        own = self.settings
        if observed.seen_s < 0.0:
            return {}
        self._rates.append((observed.seen_s, observed.arrivals_per_s))
        while self._rates[0][0] <= observed.seen_s - own.window_s:
            self._rates.popleft()
        self._look(observed)
        if now_s < self._decided_s + own.interval_s or not self._models:
            return {}
        self._decided_s = now_s
        demand = own.factor * sum(rate for _, rate in self._rates) / len(self._rates)
        return self._spread(observed.variants, demand, now_s)

    def _look(self, observed: Observed) -> None:
        """Remember mean lengths; fit at the first ones."""
        finished = sum(each.finished for each in observed.variants)
        if not finished:
            return
        inputs = sum(each.finished_input_tokens for each in observed.variants) / finished
        self._output_tokens = sum(each.finished_output_tokens for each in observed.variants) / finished
        if not self._models:
            self._models = {each.key: self._fitted(each, inputs, self._output_tokens) for each in self.variants}

    @staticmethod
    def _fitted(variant: FleetVariant, inputs: float, outputs: float) -> tuple[Iteration, int]:
        chunk = variant.max_num_batched_tokens
        batch = largest_batch(
            input_tokens=inputs, output_tokens=outputs, max_num_seqs=variant.max_num_seqs, chunk_tokens=chunk
        )
        return fitted(variant.law, input_tokens=inputs, output_tokens=outputs, batch=batch, chunk_tokens=chunk), batch

    def _each_per_s(self, variant: FleetVariant) -> float:
        output_tokens = self._output_tokens or 1.0
        solved = self._solved.get(variant.key)
        if solved is None or abs(output_tokens / solved[0] - 1.0) > LENGTH_RATIO:
            model, batch = self._models[variant.key]
            rate = sustained_per_s(model, output_tokens=output_tokens, batch=batch, objectives=self.objectives)
            solved = self._solved[variant.key] = (output_tokens, rate)
        return solved[1]

    def _spread(self, seen: tuple[VariantSeen, ...], demand: float, now_s: float) -> dict[str, int]:
        """Return replicas by variant: the first as far as its quota goes, the rest of the demand on the next."""
        wanted: dict[str, int] = {}
        left = demand
        for variant, each in zip(self.variants, seen, strict=True):
            rate = self._each_per_s(variant)
            count = math.ceil(left / rate - ROUNDING) if rate > 0.0 else 0
            wanted[each.key] = count if each.quota is None else min(count, each.quota)
            left = max(left - wanted[each.key] * rate, 0.0)
        total, current = sum(wanted.values()), asked_for(seen)
        extra = self._after.settled(total, current, now_s) - total
        for each in seen:
            room = math.inf if each.quota is None else each.quota - wanted[each.key]
            moved = int(max(-wanted[each.key], min(extra, room)))
            wanted[each.key] += moved
            extra -= moved
        return wanted
