"""Two pictures: errors of the closed form by load, and by how many replicas rules are off."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from queuereport.grid import FIGURES, LOADS, Cell
from queuereport.search import RULES, Row

mpl.use("Agg")
from matplotlib import pyplot as plt


def errors_by_load(cells: Sequence[Cell], path: Path) -> None:
    """Write quantiles of each figure's error against load."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6), sharex=True)
    for axis, name in zip(axes.flat, FIGURES, strict=True):
        for gap_cv, colour in ((1.0, "tab:blue"), (2.0, "tab:orange"), (4.0, "tab:red")):
            errors = [
                [each.errors[name] for each in cells if (each.load, each.gap_cv) == (load, gap_cv)] for load in LOADS
            ]
            middle = [float(np.nanmedian(each)) for each in errors]
            axis.plot(LOADS, np.clip(middle, -1.0, 1.0), "o-", color=colour, label=f"gaps of CV {gap_cv:g}")
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        axis.set(title=name, xlabel="load")
    axes[0, 0].set_ylabel("median error")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def replicas_off(rows: Sequence[Row], path: Path) -> None:
    """Write histograms of replicas too many or too few, by rule."""
    figure, axes = plt.subplots(1, len(RULES), figsize=(13, 3), sharey=True)
    places = np.arange(-4, 5)
    for axis, rule in zip(axes, RULES, strict=True):
        off = np.clip([row.off(rule) for row in rows], -4, 4)
        shares = [float(np.mean(off == place)) for place in places]
        axis.bar(
            places, shares, color=["tab:red" if at < 0 else "tab:green" if at == 0 else "tab:orange" for at in places]
        )
        axis.set(title=rule, xlabel="replicas off (4: and more)")
    axes[0].set_ylabel("share of questions")
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)
