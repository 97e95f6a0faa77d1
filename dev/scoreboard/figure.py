"""Plots over time of one replay: replicas against the bound, queue, and time to first token."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from poolwright.replay.fleet_minutes import PERCENTILES
from poolwright.units import SECONDS_PER_HOUR
from scoreboard.cases import Case
from scoreboard.play import played, world_of


def timeline(case: Case, policies: tuple[str, ...], path: Path) -> None:
    """Draw a case under some policies."""
    _, _, bound = world_of(case)
    figure, axes = plt.subplots(3, 1, figsize=(10, 8), sharex=True)
    hours = [minute * bound.window_s / SECONDS_PER_HOUR for minute in range(len(bound.counts))]
    axes[0].step(hours, bound.counts.sum(axis=1), color="black", linewidth=0.7, label="bound")
    for policy in policies:
        recorded = played(case, policy, {}).recorded
        at = hours[: len(recorded.spent)]
        spent = recorded.spent[: len(at)]
        axes[0].plot(at, spent["replica_s"] / bound.window_s, linewidth=0.8, label=policy)
        axes[1].plot(at, spent["waiting"] / spent["looks"].clip(1), linewidth=0.6)
        axes[2].plot(at, recorded.ttft_s[: len(at), 0, PERCENTILES.index(0.95)], linewidth=0.6)
    axes[2].axhline(case.objectives.ttft_s or 0.0, color="black", linestyle=":", linewidth=0.8)
    for axis, name in zip(axes, ("replicas", "requests waiting", "p95 TTFT [s]"), strict=True):
        axis.set_ylabel(name)
    axes[1].set_yscale("symlog")
    axes[1].set_ylim(bottom=0.0)
    axes[2].set_yscale("log")
    axes[2].set_xlabel("hours")
    axes[0].legend(loc="upper right", fontsize=8)
    figure.suptitle(case.name)
    figure.tight_layout()
    # Without a date, equal runs draw equal bytes.
    figure.savefig(path, dpi=90, metadata={"Software": ""})
    plt.close(figure)
