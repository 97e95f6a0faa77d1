"""Whether a bias of some deployments tells about others: one factor per class of deployments, group left out."""

import numpy as np
from numpy.typing import NDArray

from modelreport.regimes import Regime, group_of
from modelreport.rows import Measured
from modelreport.score import Errors

Array = NDArray[np.float64]

DEPLOYMENT_SD_LOG = 0.35
"""Spread of one deployment around its class [log]."""
CLASS_SD_LOG = 0.2
"""Prior spread of a class around the constants [log]."""


def shared(data: Measured, base: Errors, by: str) -> Regime:
    """Return errors with each quantity multiplied by its class's factor, learned from all other groups."""
    names = np.array(group_of(data))
    classes = np.array([_class_of(data, index, by) for index in range(len(names))])
    ratios = {quantity: values * _factors(values, names, classes) for quantity, values in base.ratios.items()}
    return Regime(name=f"one bias per {by}, group left out", errors=Errors(ratios=ratios), judged=len(names))


def _class_of(data: Measured, index: int, by: str) -> str:
    engine = data.questions[index].config.engine.name
    return engine if by == "engine" else f"{data.rows[index]['model_key']} {engine}"


def _factors(ratios: Array, names: NDArray[np.str_], classes: NDArray[np.str_]) -> Array:
    """Return for each row the factor of its class, from the medians of the class's other groups, shrunk to 1."""
    factors = np.ones(len(ratios))
    for name, kind in sorted(set(zip(names.tolist(), classes.tolist(), strict=True))):
        others = [
            float(np.median(-np.log(found)))
            for other in np.unique(names[(classes == kind) & (names != name)])
            if (found := _known(ratios[(classes == kind) & (names == other)])).size
        ]
        precision = 1.0 / CLASS_SD_LOG**2 + len(others) / DEPLOYMENT_SD_LOG**2
        factors[(names == name) & (classes == kind)] = np.exp(sum(others) / DEPLOYMENT_SD_LOG**2 / precision)
    return factors


def _known(values: Array) -> Array:
    return values[np.isfinite(values) & (values > 0.0)]
