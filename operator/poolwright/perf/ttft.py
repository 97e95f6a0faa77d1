"""Time to first token: of a request that arrives while others run, and of a wave that arrives all at once.

Kept apart, because planning wants the former, a restart or a scale-up the latter, and a benchmark's mean mixes both.
Queueing for a slot is not in it (``closed_loop``, and the queueing room for open arrivals). Section 6 of docs/model.md.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.perf.step_time import StepLaw

Array = NDArray[np.float64]

BUNCHING: Final = 2.0
"""Prompts that arrive together in a closed loop whose answers differ in length [1]: sequences that start together end
nearly together. Measured in an event simulation of closed loops; erring low makes TTFT look short at high
concurrency."""

FIXED_LENGTH_BUNCHING: Final = 8.0
"""The same where all answers are equally long [1]: sequences admitted in one step end in one step, so groups persist
and merge. Erring low overstates how often prompts interrupt decoding, and understates TTFT."""

PREFILL_FIRST_BUNCH_WEIGHT: Final = 1.4
"""Weight of the bunch's extra work where prompts run alone [1], from the same simulation."""

MIXED_BUNCH_WEIGHT: Final = 2.0
"""Weight of the bunch's extra work where prompts share steps with decoding [1], from the same simulation."""


EULER: Final = 0.5772156649015329
"""Euler's constant [1], of the harmonic numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillLoad:
    """What a prompt meets when it arrives; arrays of any broadcastable shapes.

    Attributes
    ----------
    input_tokens, output_tokens
        Mean tokens of prompt and answer.
    cached_prefix_ratio
        Share of the prompt that the prefix cache holds, in [0, 1).
    decode_sequences
        Sequences that decode meanwhile.
    bunching
        Prompts that arrive together, relative to a steady stream, at least 1.
    mean_step_s, decode_step_s
        Mean time between tokens, and of a step without prompts [s].
    """

    input_tokens: Array
    output_tokens: Array
    cached_prefix_ratio: Array
    decode_sequences: Array
    bunching: Array
    mean_step_s: Array
    decode_step_s: Array

    @property
    def fresh_tokens(self) -> Array:
        """Prompt tokens that must be computed: never less than one."""
        return np.maximum(self.input_tokens * (1.0 - self.cached_prefix_ratio), 1.0)

    @property
    def arrivals_per_step(self) -> Array:
        """Prompts that arrive in a step on average: each sequence leaves after its output tokens."""
        rate: Array = self.decode_sequences / np.maximum(self.output_tokens, 1.0)
        return rate

    @property
    def bunch(self) -> Array:
        """Prompts that arrive together: not more than there are users."""
        return np.minimum(self.bunching, np.maximum(self.decode_sequences, 1.0))

    @property
    def context_tokens(self) -> Array:
        """Mean context of a decoding sequence [tokens]."""
        return self.input_tokens + 0.5 * self.output_tokens


def prefill_pass_s(law: StepLaw, load: PrefillLoad, prompts: ArrayLike) -> Array:
    """Return the time to compute ``prompts`` prompts at once [s], equation (6.2): in chunks of the budget at most.

    Engines that mix carry the decoding sequences along in the same steps.
    """
    sharing = load.decode_sequences * (1.0 - law.work.prefill_alone)
    budget = np.maximum(law.work.token_budget - sharing, 1.0)
    wanted = load.fresh_tokens * np.asarray(prompts, dtype=np.float64)
    chunk = np.minimum(wanted, budget)
    step_s = law.seconds(
        decode_sequences=sharing,
        context_tokens=load.context_tokens,
        prefill_tokens=chunk * law.work.stages,
        prefill_context_tokens=load.input_tokens * load.cached_prefix_ratio,
        prefill_sequences=chunk * law.work.stages / load.fresh_tokens,
    )
    passed: Array = step_s * np.maximum(wanted / chunk, 1.0)
    return passed


def front_end_s(law: StepLaw, load: PrefillLoad) -> Array:
    """Return the time before a request is known to the scheduler [s]."""
    total: Array = law.work.front_end_s + law.work.front_end_s_per_token * load.input_tokens
    return total


def later_ttft_s(law: StepLaw, load: PrefillLoad) -> Array:
    """Return the mean TTFT [s] of a request that arrives while others run, equation (6.3), queueing for a slot apart.

    A whole step passes before it starts: in a closed loop a successor arrives just after the boundary it needed.
    """
    arrivals = load.arrivals_per_step
    alone_s = prefill_pass_s(law, load, 1.0)
    bunch_s = prefill_pass_s(law, load, 1.0 + load.bunch * arrivals)
    busy = np.minimum(1.0, load.bunch * arrivals * alone_s / load.mean_step_s)
    first_s = load.decode_step_s * (1.0 - busy) + alone_s * (1.0 + busy)
    first_s = first_s + PREFILL_FIRST_BUNCH_WEIGHT * (bunch_s - alone_s)
    mixed_s = load.mean_step_s + alone_s + MIXED_BUNCH_WEIGHT * (bunch_s - alone_s)
    prefill_alone = law.work.prefill_alone
    total: Array = (
        front_end_s(law, load)
        + prefill_alone * first_s
        + (1.0 - prefill_alone) * mixed_s
        + (law.work.admission_steps + balance_wait_steps(law, arrivals)) * load.decode_step_s
    )
    return total * law.efficiencies.first_token


def balance_wait_steps(law: StepLaw, arrivals: Array) -> Array:
    """Return steps that a prompt waits until each group of data-parallel attention has one, equation (6.10).

    Collecting one prompt for each of ``d`` groups takes ``d H_d`` arrivals; a prompt waits half of that, or of the
    engine's limit.
    """
    groups = np.asarray(law.work.data_groups)
    harmonic = np.log(groups) + EULER + 0.5 / groups
    collecting = groups * harmonic / np.maximum(arrivals, 1e-9)
    steps: Array = 0.5 * np.minimum(law.work.balance_steps, collecting)
    return steps


def wave_ttft_s(law: StepLaw, load: PrefillLoad, wave_requests: ArrayLike) -> Array:
    """Return the mean TTFT [s] of requests that arrive all at once on an idle replica, equation (6.4).

    Steps fill the budget one after the other; a request waits for half of them on average.
    """
    idle = replace(load, decode_sequences=np.zeros(()))
    wave = np.maximum(np.asarray(wave_requests, dtype=np.float64), 1.0)
    total_s = prefill_pass_s(law, idle, wave)
    steps = np.maximum(wave * load.fresh_tokens / law.work.token_budget, 1.0)
    mean: Array = front_end_s(law, load) + total_s * (steps + 1.0) / (2.0 * steps)
    return mean * law.efficiencies.first_token
