"""Steady state of one replica at a given request rate, or of one fixed batch: means only.

Percentiles, bursts and slot waiting under open arrivals are the queueing room's; this is what a benchmark row at a
stated rate needs. Equations (6.8) and (6.9) of docs/model.md.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.perf.closed_loop import OperatingPoint, Requests, loaded, resident_limit
from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepLaw, step_law
from poolwright.perf.ttft import PrefillLoad, front_end_s, prefill_pass_s, wave_ttft_s

Array = NDArray[np.float64]

BISECTIONS: Final = 40
"""Halvings of the search for the batch that carries a rate [1]: error below 1e-9 of the limit."""

MOST_UTILISATION_RATIO: Final = 0.98
"""Utilisation at which the wait before prefill is cut off [ratio]: beyond it no steady state is worth a number."""


def open_loop(
    config: ReplicaConfig,
    requests: Requests,
    *,
    requests_per_s: ArrayLike,
    efficiencies: Efficiencies = DATASHEET,
) -> OperatingPoint:
    """Return the steady state at a request rate [1/s], equation (6.8); saturated where the rate cannot be carried."""
    limit = resident_limit(config, requests)
    return carry(step_law(config, efficiencies), requests, np.asarray(requests_per_s, dtype=np.float64), limit)


def carry(law: StepLaw, requests: Requests, rate: Array, limit: Array) -> OperatingPoint:
    """Return the steady state of a law at a rate: the smallest batch whose departures match it, by bisection."""
    outputs = np.asarray(requests.output_tokens, dtype=np.float64)
    steps = np.maximum(outputs - 1.0, 1.0)
    low, high = np.zeros_like(rate * limit), rate * 0.0 + limit
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        departs = middle / (steps * loaded(law, requests, middle).mean_step_s)
        low, high = np.where(departs < rate, middle, low), np.where(departs < rate, high, middle)
    load = loaded(law, requests, high)
    carried = np.minimum(rate, high / (steps * load.mean_step_s))
    is_saturated = carried < rate * (1.0 - 1e-6)
    first_s, wait_s = _open_ttft_s(law, load, carried)
    return OperatingPoint(
        decode_sequences=high,
        resident_sequences=np.minimum(high + carried * first_s, limit),
        tpot_s=load.mean_step_s,
        decode_step_s=load.decode_step_s,
        later_ttft_s=np.where(is_saturated, np.inf, first_s),
        wave_ttft_s=wave_ttft_s(law, load, high),
        wait_s=np.where(is_saturated, np.inf, wait_s),
        requests_per_s=carried,
        output_tokens_per_s=carried * outputs,
        is_saturated=is_saturated,
        iterations=BISECTIONS,
        converged=True,
    )


def _open_ttft_s(law: StepLaw, load: PrefillLoad, rate: Array) -> tuple[Array, Array]:
    """Return mean TTFT and its wait [s] for Poisson arrivals: half a step, then a single server of prompts (M/D/1)."""
    pass_s = prefill_pass_s(law, load, 1.0)
    utilisation = np.minimum(rate * pass_s, MOST_UTILISATION_RATIO)
    wait_s = 0.5 * load.mean_step_s + 0.5 * utilisation / (1.0 - utilisation) * pass_s
    total: Array = law.efficiencies.first_token * (front_end_s(law, load) + wait_s + pass_s)
    return total, wait_s


def static_batch(
    config: ReplicaConfig, requests: Requests, *, batch: ArrayLike, efficiencies: Efficiencies = DATASHEET
) -> OperatingPoint:
    """Return a batch that starts together and runs to its end: no arrivals, no waiting, equation (6.9)."""
    return run_batch(step_law(config, efficiencies), requests, np.asarray(batch, dtype=np.float64))


def run_batch(law: StepLaw, requests: Requests, batch: Array) -> OperatingPoint:
    """Return a static batch under a law."""
    inputs = np.asarray(requests.input_tokens, dtype=np.float64)
    outputs = np.asarray(requests.output_tokens, dtype=np.float64)
    step_s = law.seconds(decode_sequences=batch, context_tokens=inputs + 0.5 * outputs, prefill_tokens=0.0)
    first_s = (
        law.seconds(
            decode_sequences=0.0,
            context_tokens=0.0,
            prefill_tokens=batch * inputs,
            prefill_sequences=batch,
        )
        * law.efficiencies.first_token
    )
    rate = batch / (first_s + np.maximum(outputs - 1.0, 0.0) * step_s)
    return OperatingPoint(
        decode_sequences=batch,
        resident_sequences=batch,
        tpot_s=step_s,
        decode_step_s=step_s,
        later_ttft_s=first_s,
        wave_ttft_s=first_s,
        wait_s=np.zeros_like(step_s),
        requests_per_s=rate,
        output_tokens_per_s=rate * outputs,
        is_saturated=np.zeros_like(step_s, dtype=np.bool_),
        iterations=0,
        converged=True,
    )
