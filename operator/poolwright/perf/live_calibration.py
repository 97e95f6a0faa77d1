"""Learns a running deployment's factors from what its engine reports: batch, prompts, time between tokens, TTFT.

The observations are gathered elsewhere; when to learn, and whether to use the result, is decided elsewhere too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.perf.calibration import FIRST_TOKEN_PARAMETERS, Calibration, calibrate
from poolwright.perf.closed_loop import Requests, loaded
from poolwright.perf.deployment_fit import identified_parameters
from poolwright.perf.efficiency import Efficiencies
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepLaw
from poolwright.perf.ttft import later_ttft_s
from poolwright.perf.work import step_work

Array = NDArray[np.float64]

LIVE_NOISE_LOG: Final = 0.15
"""Spread of a scrape's mean ITL around the model's [log]: a scrape averages tens of seconds of a changing batch."""

MOST_OBSERVATIONS: Final = 512
"""Newest observations that are used [1]: older ones describe older software or other traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one scrape of one replica says, oldest first in a sequence of them.

    Attributes
    ----------
    running
        Sequences that decode.
    input_tokens, output_tokens
        Mean tokens of prompts and answers.
    cached_prefix_ratio
        Share of prompts found in the prefix cache, in [0, 1).
    itl_s, ttft_s
        Mean time between tokens, and mean TTFT without waiting for a slot; NaN where nothing was reported.
    """

    running: float
    input_tokens: float
    output_tokens: float
    cached_prefix_ratio: float = 0.0
    itl_s: float
    ttft_s: float = float("nan")


def calibrate_live(
    config: ReplicaConfig,
    observations: Sequence[Observation],
    parameters: Sequence[str] | None = None,
) -> Calibration:
    """Return the factors of a running replica; the sourced constants where nothing usable was observed."""
    recent = [each for each in observations[-MOST_OBSERVATIONS:] if each.running > 0.0]
    free = parameters or identified_parameters(len(recent))
    work = step_work(config)
    running = np.array([each.running for each in recent])
    requests = Requests(
        input_tokens=np.array([each.input_tokens for each in recent]),
        output_tokens=np.array([each.output_tokens for each in recent]),
        cached_prefix_ratio=np.array([each.cached_prefix_ratio for each in recent]),
    )

    def itl_s(factors: Efficiencies) -> Array:
        return loaded(StepLaw(work=work, efficiencies=factors), requests, running).mean_step_s

    def ttft_s(factors: Efficiencies) -> Array:
        law = StepLaw(work=work, efficiencies=factors)
        return later_ttft_s(law, loaded(law, requests, running))

    steps = calibrate(itl_s, np.array([each.itl_s for each in recent]), parameters=free, noise_log=LIVE_NOISE_LOG)
    first = calibrate(
        ttft_s,
        np.array([each.ttft_s for each in recent]),
        parameters=FIRST_TOKEN_PARAMETERS,
        start=steps.efficiencies,
        noise_log=LIVE_NOISE_LOG,
    )
    return merged(steps, first)


def merged(steps: Calibration, first: Calibration) -> Calibration:
    """Return one result of both fits: residual and drift are those of steps."""
    return Calibration(
        efficiencies=first.efficiencies,
        provenance={**steps.provenance, **first.provenance},
        posterior_sd_log={**steps.posterior_sd_log, **first.posterior_sd_log},
        residual_log=steps.residual_log,
        drift_log=steps.drift_log,
        observations=steps.observations,
    )
