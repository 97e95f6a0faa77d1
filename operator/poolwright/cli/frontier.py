"""The picture of a frontier: cost against latency for every candidate, with the front, the choice and the runners-up.

Needs the extra ``plots``. The numbers are ``planner.frontier``'s.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from poolwright.cli.pool_file import refuse
from poolwright.planner.advice.frontier import Frontier, Point
from poolwright.units import ms_from_s, percent_from_ratio, usd_per_h_from_usd_per_s

SUFFIXES: Final = (".png", ".svg")
LATENCIES: Final = (("TTFT", "ttft_s", "on_ttft_front"), ("ITL", "itl_s", "on_itl_front"))
MARKERS: Final = ("o", "s", "^", "v", "D", "P", "X")
"""Coprime to the ten colours, so that seventy variants differ."""


def check_target(target: str) -> None:
    """Refuse a file that no picture can be written to, before anything is computed."""
    if Path(target).suffix not in SUFFIXES:
        refuse(f"--frontier is {target}, must end in {' or '.join(SUFFIXES)}")


def draw(frontiers: Sequence[Frontier], target: str) -> None:
    """Write the picture: a row for each tier, a panel for each latency."""
    try:
        figures = import_module("matplotlib.figure")
    except ModuleNotFoundError:
        refuse("--frontier draws with matplotlib, which is not installed: pip install 'poolwright[plots]'")
    figure = figures.Figure(figsize=(13, 5 * len(frontiers)), layout="constrained")
    panels = figure.subplots(len(frontiers), len(LATENCIES), squeeze=False)
    for row, frontier in zip(panels, frontiers, strict=True):
        for axis, (name, latency, front) in zip(row, LATENCIES, strict=True):
            _panel(axis, frontier, name, latency, front)
        row[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
    try:
        figure.savefig(target, dpi=120, metadata={"Date": None} if target.endswith(".svg") else {"Software": None})
    except OSError as error:
        refuse(f"--frontier {target}: {error.strerror}")


def _panel(axis: Any, frontier: Frontier, name: str, latency: str, front: str) -> None:
    """Draw one latency against cost."""
    variants = sorted({each.variant for each in frontier.points})
    for index, variant in enumerate(variants):
        own = [each for each in frontier.points if each.variant == variant]
        marker = MARKERS[index % len(MARKERS)]
        label = variant.removeprefix(f"{frontier.tier}-")
        axis.plot(_costs(own), _values(own, latency), marker + ":", markersize=4, alpha=0.6, linewidth=0.6, label=label)
    best = [each for each in frontier.points if getattr(each, front)]
    axis.step(_costs(best), _values(best, latency), where="post", color="black", linewidth=1.2, label="Pareto front")
    _named(axis, frontier, latency)
    objective_s = getattr(frontier, f"{latency.removesuffix('_s')}_objective_s")
    if objective_s is not None:
        axis.axhline(ms_from_s(objective_s), color="tab:red", linewidth=0.8, linestyle="--", label="objective")
    percentile = percent_from_ratio(frontier.percentile_ratio)
    axis.set(xscale="log", yscale="log", xlabel="$/h", ylabel=f"p{percentile:g} {name} [ms]")
    _ticks(axis)
    axis.set_title(f"{frontier.tier}: {name}")
    axis.grid(visible=True, which="both", alpha=0.2)


def _named(axis: Any, frontier: Frontier, latency: str) -> None:
    """Ring the choice and number the runners-up; the legend has their names."""
    named = [each for each in frontier.points if each.is_chosen]
    runners = [each for each in frontier.points if each.is_runner_up and not each.is_chosen]
    for number, each in enumerate([*named, *runners], start=1 - len(named)):
        at = (usd_per_h_from_usd_per_s(each.cost_usd_per_s), ms_from_s(getattr(each, latency)))
        colour, words = ("tab:green", "chosen") if each.is_chosen else ("tab:orange", f"runner-up {number}")
        name = f"{words}: {each.replicas} x {each.variant.removeprefix(f'{frontier.tier}-')}"
        style = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 1.8}
        axis.plot(*at, "o", label=name, **style)
        mark = "chosen" if each.is_chosen else str(number)
        axis.annotate(mark, at, textcoords="offset points", xytext=(-9, 9), fontsize=8, color=colour)


def _ticks(axis: Any) -> None:
    """Write 1, 2, 5 of every power of ten as plain numbers."""
    ticker = import_module("matplotlib.ticker")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        each.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        each.set_minor_formatter(ticker.NullFormatter())


def _costs(points: Sequence[Point]) -> list[float]:
    return [usd_per_h_from_usd_per_s(each.cost_usd_per_s) for each in points]


def _values(points: Sequence[Point], latency: str) -> list[float]:
    return [ms_from_s(getattr(each, latency)) for each in points]
