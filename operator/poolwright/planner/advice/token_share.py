"""Which part of a replica's time a token of each kind takes at an operating point: what prices and energy follow from.

Three parts of a step are caused by somebody: prompt tokens that are computed, sequences that get a token, context that
is read for them. The rest (reading the weights, fixed work, idle time kept for percentiles) is rent for a place in the
batch: paid by slots, and by context as far as memory and not a limit bounds the batch. What context and answer cause
together is shared equally. Equations (12.1) to (12.4) of docs/model.md.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from poolwright.queueing.station import Station, kv_limit
from poolwright.queueing.steady import Limits, steady
from poolwright.queueing.workload import Array, Workload

ATTENTION_TOKENS: Final = 8192.0
"""Prompt length whose multiples show the square term of prefill [tokens]: long enough to be bound by compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Something of each kind of token: computed prompt tokens, cached prompt tokens, answer tokens."""

    input: float
    cached: float
    output: float

    def dot(self, other: "Tokens") -> float:
        """Return the sum over kinds of the product."""
        return self.input * other.input + self.cached * other.cached + self.output * other.output

    def over(self, other: "Tokens") -> "Tokens":
        """Return the ratio of each kind; 0 where there are no tokens."""
        pairs = ((self.input, other.input), (self.cached, other.cached), (self.output, other.output))
        ratios = [own / count if count > 0.0 else 0.0 for own, count in pairs]
        return Tokens(input=ratios[0], cached=ratios[1], output=ratios[2])

    def times(self, factor: float) -> "Tokens":
        """Return each kind times a factor."""
        return Tokens(input=self.input * factor, cached=self.cached * factor, output=self.output * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Seconds of a replica that things take where it works; made by ``operating_point``.

    Attributes
    ----------
    rate_per_s
        Requests that one replica serves [1/s].
    batch
        Mean sequences in a step.
    prompt_s, prompt_square_s
        Seconds of a computed prompt token, and of the square of a prompt: T = prompt_s I + prompt_square_s I^2.
    slot_s
        Seconds of a sequence for a step, its share of the rent included.
    context_s
        Seconds of a token of context for a step, its share of the rent included.
    rent_ratio, memory_ratio
        Share of the time that nobody causes, and which share of that is paid by context.
    """

    rate_per_s: float
    batch: float
    prompt_s: float
    prompt_square_s: float
    slot_s: float
    context_s: float
    rent_ratio: float
    memory_ratio: float


def operating_point(station: Station, workload: Workload, rate_per_s: float) -> OperatingPoint:
    """Return what takes how long on a replica that serves ``rate_per_s`` > 0; equations (12.1) and (12.2).

    Notes
    -----
    The parts add up to one second per second whatever the rate: seconds of a mean request times the rate are 1.
    """
    moments = workload.moments
    limits = Limits(
        max_num_seqs=float(station.max_num_seqs),
        max_num_batched_tokens=float(station.max_num_batched_tokens),
        kv_capacity_tokens=station.kv_capacity_tokens,
        block_tokens=station.block_tokens,
    )
    state = steady(station.grid(workload), moments, limits, rate_per_s)
    slope, price = float(state.slope_s), max(float(state.price_s), 0.0)
    context = min(float(state.context_slope_s), slope / moments.c)
    caused = rate_per_s * (price * moments.in1 + slope * moments.m)
    shrink = 1.0 / max(caused, 1.0)
    rent = max(1.0 - caused * shrink, 0.0)
    fits = kv_limit(moments, station.kv_capacity_tokens, station.block_tokens)
    memory = min(station.max_num_seqs / fits, 1.0) if fits > 0.0 else 1.0
    steps = rate_per_s * moments.m
    square = min(_square_s(station), price * moments.in1 / moments.in2) * shrink
    return OperatingPoint(
        rate_per_s=rate_per_s,
        batch=float(state.batch),
        prompt_s=price * shrink - square * moments.in2 / moments.in1,
        prompt_square_s=square,
        slot_s=(slope - context * moments.c) * shrink + rent * (1.0 - memory) / steps,
        context_s=context * shrink + rent * memory / (steps * moments.c),
        rent_ratio=rent,
        memory_ratio=memory,
    )


def request_seconds(point: OperatingPoint, inputs: Array, outputs: Array, cached: float) -> tuple[Array, Array, Array]:
    """Return seconds of a replica that requests take through each kind of their tokens; equations (12.3) and (12.4).

    Parameters
    ----------
    inputs, outputs, cached
        Computed prompt tokens and answers of each request, shape (requests,), and cached prompt tokens of all of them.
    """
    steps = np.maximum(outputs - 1.0, 0.0)
    read_s = point.context_s * steps
    by_input = point.prompt_s * inputs + point.prompt_square_s * inputs**2 + 0.5 * read_s * inputs
    by_output = point.slot_s * steps + read_s * (0.5 * outputs + 0.5 * (inputs + cached))
    return by_input, 0.5 * read_s * cached, by_output


def cached_token_s(point: OperatingPoint, output_tokens: float) -> float:
    """Return seconds of a replica that a cached prompt token takes with a mean answer: it is only held and read."""
    return 0.5 * point.context_s * max(output_tokens - 1.0, 0.0)


def _square_s(station: Station) -> float:
    """Return the square term of a prompt's time [s], from three long prompts on an empty replica."""
    lengths = ATTENTION_TOKENS * np.array([1.0, 2.0, 3.0])
    one, two, three = station.step_time(np.zeros(3), np.zeros(3), lengths)
    return max(float(three - 2.0 * two + one) / (2.0 * ATTENTION_TOKENS**2), 0.0)
