"""Learns dimensionless factors from measurements: maximum a posteriori with log-normal priors around the datasheet.

Works with one observation or none, because every parameter has a prior and physical bounds; a convex robust loss keeps
outliers from dragging it. What is observed and predicted is the caller's: rows of a table (``deployment_fit``) or a
live engine (``live_calibration``). Section 11 of docs/model.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from poolwright.perf.efficiency import DATASHEET, Efficiencies

Array = NDArray[np.float64]
Predict = Callable[[Efficiencies], Array]


class Provenance(StrEnum):
    """Where a factor comes from."""

    DATASHEET = "datasheet"
    LEARNED = "learned"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Log-normal prior of a factor around 1: ``sd_log`` its spread, ``low`` and ``high`` what physics allows."""

    sd_log: float
    low: float
    high: float


PRIORS: Final[Mapping[str, Prior]] = {
    "step": Prior(sd_log=0.35, low=0.5, high=4.0),
    "first_token": Prior(sd_log=0.5, low=0.2, high=10.0),
    "weight_bandwidth": Prior(sd_log=0.1, low=0.6, high=1.35),
    "expert_bandwidth": Prior(sd_log=0.15, low=0.5, high=1.25),
    "kv_bandwidth": Prior(sd_log=0.25, low=0.3, high=1.4),
    "gemm": Prior(sd_log=0.2, low=0.3, high=1.7),
    "expert_gemm": Prior(sd_log=0.3, low=0.2, high=3.0),
    "attention": Prior(sd_log=0.3, low=0.2, high=2.0),
    "link_bandwidth": Prior(sd_log=0.3, low=0.3, high=1.6),
    "link_latency": Prior(sd_log=0.4, low=0.3, high=4.0),
    "kernel_latency": Prior(sd_log=0.4, low=0.3, high=4.0),
    "step_overhead": Prior(sd_log=0.5, low=0.1, high=10.0),
    "routing_skew": Prior(sd_log=0.2, low=0.5, high=1.33),
}
"""Prior of each factor: spreads of published measurements around the constants of ``efficiency`` and ``interconnect``;
``step`` is what one deployment's software is faster or slower than its class (log standard deviation 0.35-0.45 over
published deployments). Bounds keep every ratio at or below 1 and every latency at or above a third of its constant."""

STEP_PARAMETERS: Final = (
    "step",
    "kernel_latency",
    "link_latency",
    "step_overhead",
    "expert_bandwidth",
    "kv_bandwidth",
    "gemm",
    "expert_gemm",
)
"""Factors that times between tokens identify together with their priors."""

FIRST_TOKEN_PARAMETERS: Final = ("first_token",)
"""Factors learned from TTFT: residuals of TTFT never move those of steps."""

NOISE_LOG: Final = 0.1
"""Spread of repeated measurements of one point [log]: repeats of published rows differ by 1.06 in the median."""

INFORMED_RATIO: Final = 0.7
"""A factor counts as learned when its posterior spread is below this share of its prior's [ratio], equation (11.3)."""

DRIFT_LOG: Final = 0.2
"""Change of the residual from older to newer observations that is reported as drift [log]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Factors with what is known about them.

    Attributes
    ----------
    efficiencies
        To evaluate the model with.
    provenance
        Of each factor that was free.
    posterior_sd_log
        Remaining spread of each.
    residual_log
        Median absolute log residual of the observations.
    drift_log
        Median log residual of the newer half minus that of the older half; 0 with fewer than four observations.
    observations
        How many were used.
    """

    efficiencies: Efficiencies
    provenance: Mapping[str, Provenance]
    posterior_sd_log: Mapping[str, float]
    residual_log: float
    drift_log: float
    observations: int

    @property
    def has_drifted(self) -> bool:
        """Whether newer observations differ from older ones: the software or the workload changed."""
        return abs(self.drift_log) > DRIFT_LOG


UNCALIBRATED: Final = Calibration(
    efficiencies=DATASHEET,
    provenance={},
    posterior_sd_log={},
    residual_log=0.0,
    drift_log=0.0,
    observations=0,
)
"""What holds before any observation."""


def calibrate(
    predict: Predict,
    measured_s: Array,
    *,
    parameters: Sequence[str] = STEP_PARAMETERS,
    start: Efficiencies = DATASHEET,
    priors: Mapping[str, Prior] = PRIORS,
    noise_log: float = NOISE_LOG,
    weights: Array | None = None,
) -> Calibration:
    """Return the factors that explain measurements best without leaving their priors, equation (11.1).

    Minimises ``sum w rho(log(predicted / measured) / noise) + sum (log factor / sd)^2 / 2`` with the pseudo-Huber loss
    ``rho``, which is convex: a redescending loss would keep a wrong start.

    Parameters
    ----------
    predict
        Predicted times [s] for given factors, in the order of ``measured_s``.
    measured_s
        Measured times [s]; entries that are not positive and finite are ignored.
    parameters
        Free factors; the others stay as in ``start``.
    start
        Centre of the search and of factors that are not free; priors are centred at the datasheet.
    weights
        Weight of each measurement, 1 where None.

    Returns
    -------
    Calibration
        ``UNCALIBRATED`` factors (``start``) where nothing was measured.
    """
    usable = np.isfinite(measured_s) & (measured_s > 0.0)
    count = int(np.sum(usable))
    if count == 0:
        return replace(UNCALIBRATED, efficiencies=start)
    log_measured = np.log(measured_s[usable])
    scale = np.ones(count) if weights is None else np.sqrt(weights[usable])
    spread = np.array([priors[name].sd_log for name in parameters])
    low = np.log([priors[name].low for name in parameters])
    high = np.log([priors[name].high for name in parameters])

    def residuals(point: Array) -> Array:
        log_predicted = np.log(predict(moved(start, parameters, point))[usable])
        loss = scale * _root_of_loss((log_predicted - log_measured) / noise_log)
        return np.concatenate([loss, point / spread])

    found = least_squares(
        residuals, np.zeros(len(parameters)), bounds=(low, high), diff_step=np.full(len(parameters), 1e-4)
    )
    efficiencies = moved(start, parameters, found.x)
    remaining = dict(zip(parameters, _posterior_sd_log(np.asarray(found.jac, dtype=np.float64)), strict=True))
    errors = np.log(predict(efficiencies)[usable]) - log_measured
    return Calibration(
        efficiencies=efficiencies,
        provenance={name: _provenance(sd, priors[name]) for name, sd in remaining.items()},
        posterior_sd_log=remaining,
        residual_log=float(np.median(np.abs(errors))),
        drift_log=_drift(errors),
        observations=count,
    )


def _provenance(remaining_sd_log: float, prior: Prior) -> Provenance:
    """Return whether measurements say more of a factor than its prior does, equation (11.3)."""
    return Provenance.LEARNED if remaining_sd_log < INFORMED_RATIO * prior.sd_log else Provenance.DATASHEET


def _posterior_sd_log(jacobian: Array) -> list[float]:
    """Return the spread that remains of each factor, equation (11.2): of the Gaussian that fits the minimum."""
    return [float(each) for each in np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))]


def moved(start: Efficiencies, parameters: Sequence[str], logs: Array) -> Efficiencies:
    """Return factors with the named ones multiplied by ``exp(logs)``."""
    changes = {name: getattr(start, name) * float(np.exp(log)) for name, log in zip(parameters, logs, strict=True)}
    return replace(start, **changes)


def _root_of_loss(residual: Array) -> Array:
    """Return the signed root of the pseudo-Huber loss, so that a least-squares solver minimises the loss itself."""
    root: Array = np.sign(residual) * np.sqrt(2.0 * (np.sqrt(1.0 + residual * residual) - 1.0))
    return root


def _drift(errors: Array) -> float:
    """Return how the median residual moved from the older to the newer half of the observations, equation (11.3)."""
    half = errors.size // 2
    if half < 2:  # noqa: PLR2004 - medians of single observations are noise
        return 0.0
    return float(np.median(errors[-half:]) - np.median(errors[:half]))
