"""How ``poolwright plan`` prints right-sizing: a row for each class of tasks, and what it would save."""

from collections.abc import Sequence

from rich.table import Table

from poolwright.planner.advice.model_costs import RightSize
from poolwright.planner.advice.right_size import PER_THOUSAND, Choice
from poolwright.planner.explain import dollars_per_h
from poolwright.units import percent_from_ratio


def right_size_table(found: RightSize) -> Table:
    """Return one row per class of tasks."""
    table = Table(box=None, pad_edge=False, title=f"right-sizing of tier {found.tier}", title_justify="left")
    for name in ("task class", "model"):
        table.add_column(name, justify="left")
    for name in ("requests", "accuracy", "at least", "$/1000 successful", "runner-up", "$/1000", "utility", "served"):
        table.add_column(name, justify="right")
    for each in found.choices:
        table.add_row(
            each.task.name,
            each.model or "none",
            _percent(each.task.request_ratio),
            _percent(each.accuracy_ratio) if each.model else "-",
            _percent(each.task.min_accuracy_ratio),
            _thousand(each.usd_per_success),
            each.runner_up or "-",
            _thousand(each.runner_up_usd_per_success),
            f"{each.utility:.3g}",
            _percent(each.served_ratio),
        )
    return table


def right_size_lines(found: RightSize, deployed: str) -> list[str]:
    """Return the arithmetic of every choice, the saving, and that this is advice."""
    lines = [f"  {each.task.name}: {each.detail}" for each in found.choices]
    lines.append(f"  {_saving(found.choices, found)}; advice only: the pool deploys {deployed}")
    return lines


def _saving(choices: Sequence[Choice], found: RightSize) -> str:
    cost = dollars_per_h(found.usd_per_s)
    if any(each.model is None for each in choices):
        return f"{cost} $/h of busy replicas for the classes that have a model"
    return f"{cost} $/h of busy replicas, {dollars_per_h(found.own_usd_per_s)} $/h with the pool's own model for all"


def _percent(ratio: float) -> str:
    return f"{percent_from_ratio(ratio):.0f} %"


def _thousand(usd: float | None) -> str:
    return "-" if usd is None else f"{PER_THOUSAND * usd:.3g}"
