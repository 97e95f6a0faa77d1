"""Time to first token: of a request that arrives while others run, and of a wave that arrives all at once.

Kept apart, because planning wants the former, a restart or a scale-up the latter, and a benchmark's mean mixes both.
Queueing for a slot is not in it (``closed_loop``, and the queueing room for open arrivals). Section 6 of docs/model.md.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.perf.engine_traits import EngineTraits
from poolwright.perf.step_time import StepLaw

Array = NDArray[np.float64]

BUNCHING: Final = 2.0
"""Prompts that arrive together in a closed loop, relative to a steady stream [1]: sequences that start together end
together. Measured in an event simulation of closed loops; erring low makes TTFT look short at high concurrency."""

PREFILL_FIRST_BUNCH_WEIGHT: Final = 1.4
"""Weight of the bunch's extra work where prompts run alone [1], from the same simulation."""

MIXED_BUNCH_WEIGHT: Final = 2.0
"""Weight of the bunch's extra work where prompts share steps with decoding [1], from the same simulation."""


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
    mean_step_s, decode_step_s
        Mean time between tokens, and of a step without prompts [s].
    """

    input_tokens: Array
    output_tokens: Array
    cached_prefix_ratio: Array
    decode_sequences: Array
    mean_step_s: Array
    decode_step_s: Array

    @property
    def fresh_tokens(self) -> Array:
        """Prompt tokens that must be computed: never less than one."""
        return np.maximum(self.input_tokens * (1.0 - self.cached_prefix_ratio), 1.0)

    @property
    def context_tokens(self) -> Array:
        """Mean context of a decoding sequence [tokens]."""
        return self.input_tokens + 0.5 * self.output_tokens


def prefill_pass_s(law: StepLaw, engine: EngineTraits, load: PrefillLoad, prompts: ArrayLike) -> Array:
    """Return the time to compute ``prompts`` prompts at once [s], equation (6.2): in chunks where the budget is smaller.

    Engines that mix carry the decoding sequences along in the same steps.
    """
    sharing = np.zeros(()) if engine.is_prefill_first else load.decode_sequences
    budget = np.maximum(engine.token_budget * law.work.data_groups - sharing, 1.0)
    wanted = load.fresh_tokens * prompts
    chunk = np.minimum(wanted, budget)
    step_s = law.seconds(
        decode_sequences=sharing,
        context_tokens=load.context_tokens,
        prefill_tokens=chunk * law.work.stages,
        prefill_context_tokens=load.input_tokens * load.cached_prefix_ratio,
        prefill_sequences=chunk * law.work.stages / load.fresh_tokens,
    )
    passed: Array = law.efficiencies.prefill * step_s * np.maximum(wanted / chunk, 1.0)
    return passed


def front_end_s(engine: EngineTraits, load: PrefillLoad) -> Array:
    """Return the time before a request is known to the scheduler [s]."""
    return engine.front_end_s + engine.front_end_s_per_token * load.input_tokens


def later_ttft_s(law: StepLaw, engine: EngineTraits, load: PrefillLoad) -> Array:
    """Return the mean TTFT [s] of a request that arrives while others run, equation (6.3), queueing for a slot apart.

    A whole step passes before it starts: in a closed loop a successor arrives just after the boundary it needed.
    """
    arrivals = load.decode_sequences / np.maximum(load.output_tokens, 1.0)
    alone_s = prefill_pass_s(law, engine, load, 1.0)
    bunch_s = prefill_pass_s(law, engine, load, 1.0 + BUNCHING * arrivals)
    admission_s = engine.admission_steps * load.decode_step_s
    if engine.is_prefill_first:
        busy = BUNCHING * load.decode_sequences * alone_s / (np.maximum(load.output_tokens, 1.0) * load.mean_step_s)
        busy = np.minimum(1.0, busy)
        waiting_s = load.decode_step_s * (1.0 - busy) + alone_s * (1.0 + busy)
        extra_s = PREFILL_FIRST_BUNCH_WEIGHT * (bunch_s - alone_s)
    else:
        waiting_s = load.mean_step_s + alone_s
        extra_s = MIXED_BUNCH_WEIGHT * (bunch_s - alone_s)
    total: Array = front_end_s(engine, load) + waiting_s + extra_s + admission_s
    return total


def wave_ttft_s(law: StepLaw, engine: EngineTraits, load: PrefillLoad, wave_requests: ArrayLike) -> Array:
    """Return the mean TTFT [s] of requests that arrive all at once on an idle replica, equation (6.4).

    Steps fill the budget one after the other; a request waits for half of them on average.
    """
    idle = PrefillLoad(
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        cached_prefix_ratio=load.cached_prefix_ratio,
        decode_sequences=np.zeros(()),
        mean_step_s=load.mean_step_s,
        decode_step_s=load.decode_step_s,
    )
    wave = np.maximum(np.asarray(wave_requests, dtype=np.float64), 1.0)
    total_s = prefill_pass_s(law, engine, idle, wave)
    steps = np.maximum(wave * load.fresh_tokens / (engine.token_budget * law.work.data_groups), 1.0)
    mean: Array = front_end_s(engine, load) + total_s * (steps + 1.0) / (2.0 * steps)
    return mean
