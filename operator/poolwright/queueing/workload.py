"""What comes in: joint lengths of requests and how they arrive, boiled down to the moments that the formulas need.

Joint samples and not means: means alone lose 10-25 % of accuracy, because long prompts and long answers share
sequences. Symbols: docs/model.md section 9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

INPUT_CV: Final = 1.2
"""Coefficient of variation of prompt lengths where only a mean is known [ratio]. Chat traces have 1.0 to 1.4 (Azure
2023 conversation 0.96 overall, code 0.99, ShareGPT 1.3); too high a value plans more replicas."""

OUTPUT_CV: Final = 0.9
"""The same for answers [ratio]: Azure 2023 conversation 0.77, ShareGPT 1.0, geometric lengths 1."""

QUANTILES: Final = 16
"""Lengths that stand for a distribution where only its mean is known."""

BIN_EDGES: Final = (*(0.09 * step for step in range(11)), 0.94, 0.965, 0.98, 0.99, 0.996, 1.0)
"""Levels between which lengths are averaged [ratio]: narrow ones above 90 %, where percentiles are asked for."""


@dataclass(frozen=True)
class Workload:
    """Joint samples of a tier's requests.

    Attributes
    ----------
    input_tokens, output_tokens
        Lengths of prompt (to be computed, cached prefix taken off) and answer, each at least 1, shape (samples,).
    weights
        Share of each sample, summing to 1.
    cached_tokens
        Mean tokens of cached prefix per request: in the context, but not computed again.
    """

    input_tokens: Array
    output_tokens: Array
    weights: Array
    cached_tokens: float = 0.0

    @classmethod
    def from_samples(
        cls, input_tokens: ArrayLike, output_tokens: ArrayLike, weights: ArrayLike | None = None, cached: float = 0.0
    ) -> "Workload":
        """Return the workload of observed requests; equal weights where none are given."""
        inputs = np.atleast_1d(np.asarray(input_tokens, dtype=np.float64))
        outputs = np.atleast_1d(np.asarray(output_tokens, dtype=np.float64))
        given = np.ones_like(inputs) if weights is None else np.asarray(weights, dtype=np.float64)
        if not (inputs.shape == outputs.shape == given.shape) or inputs.size == 0:
            raise ValueError(f"shapes {inputs.shape}, {outputs.shape}, {given.shape} must be equal and not empty")
        if not (np.all(inputs >= 1.0) and np.all(outputs >= 1.0) and np.all(given >= 0.0) and given.sum() > 0.0):
            raise ValueError("input_tokens and output_tokens must be at least 1, weights not negative and not all 0")
        return cls(inputs, outputs, given / given.sum(), cached)

    @classmethod
    def from_means(cls, input_tokens: float, output_tokens: float, *, cached_prefix_ratio: float = 0.0) -> "Workload":
        """Return independent log-normal lengths with these means and the usual spread, as quantile bins.

        >>> workload = Workload.from_means(1000.0, 200.0)
        >>> round(workload.mean_input), round(workload.mean_output)
        (1000, 200)
        """
        computed = max(input_tokens * (1.0 - cached_prefix_ratio), 1.0)
        inputs, outputs = _lognormal(computed, INPUT_CV), _lognormal(max(output_tokens, 1.0), OUTPUT_CV)
        grid_in, grid_out = (each.ravel() for each in np.meshgrid(inputs, outputs, indexing="ij"))
        return cls.from_samples(grid_in, grid_out, cached=input_tokens * cached_prefix_ratio)

    @property
    def mean_input(self) -> float:
        """E[I], computed prompt tokens."""
        return self._mean(self.input_tokens)

    @property
    def mean_output(self) -> float:
        """E[O]."""
        return self._mean(self.output_tokens)

    @cached_property
    def moments(self) -> "Moments":
        """Everything that the formulas need."""
        inputs, outputs = self.input_tokens, self.output_tokens
        later = np.maximum(outputs - 1.0, 0.0)
        m = max(self._mean(later), 1e-9)
        middle = self.cached_tokens + inputs + outputs / 2.0
        c = self._mean(later * middle) / m
        square = self._mean(later * (middle**2 + outputs**2 / 12.0)) / m
        mean_in = self.mean_input
        in2, in3 = self._mean(inputs**2), self._mean(inputs**3)
        return Moments(
            m=m,
            c=c,
            sc2=max(square - c * c, 0.0),
            in1=mean_in,
            in2=in2,
            in3=in3,
            ci2=max(in2 / mean_in**2 - 1.0, 0.0),
            eta=self._eta(),
            input_bins=_bins(inputs, self.weights),
            output_bins=_bins(outputs, self.weights),
            bin_weights=np.diff(BIN_EDGES),
        )

    def work_cv2(self, per_input_s: ArrayLike, per_token_s: ArrayLike) -> Array:
        """Return the squared coefficient of variation of a request's work, in the broadcast shape of the prices."""
        price, pace = np.asarray(per_input_s, dtype=np.float64), np.asarray(per_token_s, dtype=np.float64)
        inputs, later = self.input_tokens, self.output_tokens - 1.0
        mean = price * self._mean(inputs) + pace * self._mean(later)
        square = price**2 * self._mean(inputs**2) + pace**2 * self._mean(later**2)
        square = square + 2.0 * price * pace * self._mean(inputs * later)
        return np.asarray(np.maximum(square / np.maximum(mean, 1e-12) ** 2 - 1.0, 0.0))

    def _mean(self, values: Array) -> float:
        return float(np.dot(values, self.weights))

    def _eta(self) -> float:
        """Return int (1-F)^2 / int (1-F) of the answer length: 1 when fixed, 1/2 when exponential."""
        order = np.argsort(self.output_tokens)
        lengths = self.output_tokens[order]
        survival = np.clip(1.0 - np.concatenate(([0.0], np.cumsum(self.weights[order])[:-1])), 0.0, 1.0)
        steps = np.diff(lengths, prepend=0.0)
        return float(np.sum(survival**2 * steps) / np.sum(survival * steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Moments of a workload: ``m`` later tokens, ``c`` and ``sc2`` mean and variance of context, ``in*`` of prompts.

    ``ci2`` is the squared coefficient of variation of prompts, ``eta`` the spread of answers, `X
    """

    m: float
    c: float
    sc2: float
    in1: float
    in2: float
    in3: float
    ci2: float
    eta: float
    input_bins: Array
    output_bins: Array
    bin_weights: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Requests per second of the whole pool, and their index of dispersion (1 is Poisson)."""

    rate_per_s: float
    dispersion: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDistribution:
    """A distribution of rates over windows of 10-60 s, Poisson inside each; weights are shares of time."""

    rates_per_s: Sequence[float]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        """Refuse what is no distribution."""
        if len(self.rates_per_s) != len(self.weights) or not self.rates_per_s:
            raise ValueError(f"{len(self.rates_per_s)} rates and {len(self.weights)} weights: need equally many, some")
        if min(self.rates_per_s) < 0.0 or min(self.weights) < 0.0 or sum(self.weights) <= 0.0:
            raise ValueError("rates and weights must not be negative, and not all weights 0")


def rate_levels(rates: Arrivals | RateDistribution) -> tuple[Array, Array, float]:
    """Return rates [1/s], their shares of time, and the index of dispersion inside each."""
    if isinstance(rates, Arrivals):
        return np.array([rates.rate_per_s]), np.ones(1), rates.dispersion
    return np.array(rates.rates_per_s, dtype=np.float64), np.array(rates.weights, dtype=np.float64), 1.0


def request_weights(rates_per_s: Array, weights: Array) -> Array:
    """Return shares of requests: percentiles are taken over requests, and a busy window has more of them than time."""
    raw = weights * np.maximum(rates_per_s, 1e-9)
    return np.asarray(raw / raw.sum())


def _lognormal(mean: float, cv: float) -> Array:
    """Return QUANTILES equally likely log-normal lengths with this mean, none below 1."""
    sigma = np.sqrt(np.log1p(cv * cv))
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    raw = np.exp(sigma * ndtri(levels))
    return np.asarray(np.maximum(raw * (mean / raw.mean()), 1.0), dtype=np.float64)


def _bins(values: Array, weights: Array) -> Array:
    """Return the mean of each bin."""
    order = np.argsort(values)
    edges = np.concatenate(([0.0], np.cumsum(weights[order])))
    integral = np.concatenate(([0.0], np.cumsum(values[order] * weights[order])))
    levels = np.array(BIN_EDGES) * edges[-1]
    return np.asarray(np.diff(np.interp(levels, edges, integral)) / np.diff(levels), dtype=np.float64)
