"""Steady state of one replica under a fixed number of users: batch, time between tokens, first token, throughput.

Residents are bounded by cache and limits, the rest wait by Little's law; a damped fixed point, vectorised. Means only:
percentiles under open arrivals are the queueing room's. Equations (6.5) to (6.7) of docs/model.md.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.memory import memory_plan
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepLaw, step_law
from poolwright.perf.ttft import BUNCHING, PrefillLoad, later_ttft_s, prefill_pass_s, wave_ttft_s

Array = NDArray[np.float64]

ROUNDS: Final = 60
"""Most rounds of the damped fixed point [1]; it halves its error each round."""

TOLERANCE: Final = 1e-6
"""Change of the decode batch relative to the residents that counts as converged [1]."""

MOST_SEQUENCES: Final = 65_536
"""Stands for no limit on sequences [1]."""

PROFILED_SEQUENCES: Final = 1024
"""Most sequences for which engines reserve logits when they size the cache [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What users ask for: mean tokens of prompt and answer, the share of the prompt that the prefix cache holds.

    ``bunching`` says how many prompts arrive together (``ttft.FIXED_LENGTH_BUNCHING`` where all answers are equally
    long).
    """

    input_tokens: ArrayLike
    output_tokens: ArrayLike
    cached_prefix_ratio: ArrayLike = 0.0
    bunching: ArrayLike = BUNCHING


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Where a replica settles; arrays in the shape of the question.

    Attributes
    ----------
    decode_sequences
        Mean sequences that decode.
    resident_sequences
        Mean sequences admitted, decoding or in prefill.
    tpot_s
        Mean time per output token after the first [s].
    decode_step_s
        Step without prompts at that batch [s].
    later_ttft_s
        Mean TTFT in steady state, wait for a slot included [s].
    wave_ttft_s
        Mean TTFT of the first wave, when all arrive at once [s].
    wait_s
        Wait for a slot, part of ``later_ttft_s`` [s].
    requests_per_s, output_tokens_per_s
        Completed by the replica.
    is_saturated
        Whether the cache or a limit keeps sequences out.
    iterations, converged
        Of the fixed point.
    """

    decode_sequences: Array
    resident_sequences: Array
    tpot_s: Array
    decode_step_s: Array
    later_ttft_s: Array
    wave_ttft_s: Array
    wait_s: Array
    requests_per_s: Array
    output_tokens_per_s: Array
    is_saturated: NDArray[np.bool_]
    iterations: int
    converged: bool


def closed_loop(
    config: ReplicaConfig,
    requests: Requests,
    *,
    concurrency: ArrayLike,
    efficiencies: Efficiencies = DATASHEET,
) -> OperatingPoint:
    """Return the steady state with ``concurrency`` users who each send a request when the last one is answered.

    Equation (6.6): the decoding share of a user's cycle, by Little's law at the replica.

    Parameters
    ----------
    requests
        Mean lengths, scalars or arrays that broadcast with ``concurrency``.
    concurrency
        Users, >= 1.
    """
    limit = resident_limit(config, requests)
    return settle(step_law(config, efficiencies), requests, np.asarray(concurrency, dtype=np.float64), limit)


def settle(law: StepLaw, requests: Requests, users: Array, limit: Array) -> OperatingPoint:
    """Return the steady state for a law (of one replica or a stack), given how many sequences fit at once."""
    residents = np.minimum(users, limit)
    outputs = np.asarray(requests.output_tokens, dtype=np.float64)
    steps = np.maximum(outputs - 1.0, 0.0)
    decode = residents * np.ones_like(outputs)
    converged, rounds = False, 0
    while not converged and rounds < ROUNDS:
        load = loaded(law, requests, decode)
        decoding_s = steps * load.mean_step_s
        wanted = residents * decoding_s / np.maximum(later_ttft_s(law, load) + decoding_s, 1e-12)
        converged = bool(np.all(np.abs(wanted - decode) < TOLERANCE * residents))
        decode = 0.5 * (decode + wanted)
        rounds += 1
    load = loaded(law, requests, decode)
    first_s = later_ttft_s(law, load)
    rate = residents / (first_s + steps * load.mean_step_s)
    wait_s = (users - residents) / rate
    return OperatingPoint(
        decode_sequences=decode,
        resident_sequences=residents,
        tpot_s=load.mean_step_s,
        decode_step_s=load.decode_step_s,
        later_ttft_s=first_s + wait_s,
        wave_ttft_s=wave_ttft_s(law, load, residents) + wait_s,
        wait_s=wait_s,
        requests_per_s=rate,
        output_tokens_per_s=rate * outputs,
        is_saturated=users > limit,
        iterations=rounds,
        converged=converged,
    )


def resident_limit(config: ReplicaConfig, requests: Requests) -> Array:
    """Return how many sequences fit at once: cache over the mean footprint, and the engine's own limit."""
    inputs = np.asarray(requests.input_tokens, dtype=np.float64)
    context = inputs + 0.5 * np.asarray(requests.output_tokens, dtype=np.float64)
    ceiling = config.engine.max_sequences or MOST_SEQUENCES
    capacities = [
        memory_plan(
            config,
            max_num_seqs=min(ceiling, PROFILED_SEQUENCES),
            max_num_batched_tokens=config.engine.token_budget,
            context_tokens=float(each),
        ).kv_capacity_sequences
        for each in context.flat
    ]
    most = ceiling * config.attention_data_parallel
    limit: Array = np.clip(np.array(capacities).reshape(context.shape), 1.0, most)
    return limit


def loaded(law: StepLaw, requests: Requests, decode_sequences: Array) -> PrefillLoad:
    """Return what prompts meet when ``decode_sequences`` decode: mean lengths and step times."""
    load = PrefillLoad(
        input_tokens=np.asarray(requests.input_tokens, dtype=np.float64),
        output_tokens=np.asarray(requests.output_tokens, dtype=np.float64),
        cached_prefix_ratio=np.asarray(requests.cached_prefix_ratio, dtype=np.float64),
        decode_sequences=decode_sequences,
        bunching=np.asarray(requests.bunching, dtype=np.float64),
        mean_step_s=decode_sequences,
        decode_step_s=decode_sequences,
    )
    mean_s, decode_s = mean_step_s(law, load)
    return replace(load, mean_step_s=mean_s, decode_step_s=decode_s)


def mean_step_s(law: StepLaw, load: PrefillLoad) -> tuple[Array, Array]:
    """Return the mean time between tokens and that of a step without prompts [s], equation (6.5).

    Prompts come whole, not as a thin stream: a share of steps carries one or several (bunched) prompts, the others
    none. Where prompts run alone, decoding waits for their steps.
    """
    decode_s = law.seconds(
        decode_sequences=load.decode_sequences, context_tokens=load.context_tokens, prefill_tokens=0.0
    )
    arrivals = load.arrivals_per_step
    carrying = -np.expm1(-arrivals / load.bunch)
    prompts = np.maximum(arrivals / np.maximum(carrying, 1e-12), 1.0)
    pass_s = prefill_pass_s(law, load, prompts)
    sharing = 1.0 - law.work.prefill_alone
    budget = np.maximum(law.work.token_budget - sharing * load.decode_sequences, 1.0)
    steps = np.maximum(prompts * load.fresh_tokens / budget, 1.0)
    added_s = np.maximum(pass_s - sharing * steps * decode_s, 0.0)
    return decode_s + added_s * arrivals / prompts, decode_s
