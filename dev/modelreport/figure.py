"""One picture: predicted over measured of every row, against its load."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from modelreport.rows import Measured
from modelreport.score import QUANTITIES, Errors

mpl.use("Agg")
from matplotlib import pyplot as plt


def scatter(errors: Errors, data: Measured, path: Path) -> None:
    """Write the picture as PNG."""
    figure, axes = plt.subplots(1, len(QUANTITIES), figsize=(13, 4), sharey=True)
    load = np.array([each.load for each in data.questions])
    kinds = np.array([each.kind for each in data.questions])
    for axis, quantity in zip(axes, QUANTITIES, strict=True):
        for kind, colour in (("closed", "tab:blue"), ("static", "tab:green"), ("open", "tab:orange")):
            chosen = kinds == kind
            ratios = np.clip(errors.ratios[quantity][chosen], 0.1, 10.0)
            axis.scatter(load[chosen], ratios, s=8, alpha=0.5, color=colour, label=kind, linewidths=0)
        axis.axhspan(1 / 1.15, 1.15, color="0.9", zorder=0)
        axis.set(title=quantity, xscale="log", yscale="log", xlabel="users, batch, or requests per second")
    axes[0].set_ylabel("predicted / measured (clipped to 0.1 to 10)")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)
