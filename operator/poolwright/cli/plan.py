"""``poolwright plan``: what a pool would get for a stated load, without a cluster.

Reads, plans, prints; exit code 1 when the objectives cannot be met, 2 when the input is wrong.
"""

import dataclasses
import json
import math
import sys
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from poolwright.cli.frontier import check_target, draw
from poolwright.cli.pool_file import read_pool, stated
from poolwright.cli.right_size import right_size_lines, right_size_table
from poolwright.cli.sharing import sharing_lines
from poolwright.planner.advice.frontier import frontiers
from poolwright.planner.advice.model_costs import right_sizes
from poolwright.planner.advice.sharing import sharing
from poolwright.planner.explain import dollars, dollars_per_h, explained, ms_text
from poolwright.planner.outcome import Plan
from poolwright.planner.plan import plan as pool_plan
from poolwright.planner.snapshot import History
from poolwright.units import percent_from_ratio

PIPE_COLUMNS: Final = 170
"""Width of the table where the output is no terminal: it fits."""


@click.command()
@click.option("-f", "--file", "path", required=True, help="YAML with one InferencePool; - reads standard input.")
@click.option("--rate", type=click.FloatRange(min=0.0, max=1e6), help="Requests per second, shared by the tiers.")
@click.option("--inventory", help="Accelerators there are, such as h100-sxm=8,l40s=16. Default: enough of each.")
@click.option("--frontier", "target", help="Draw cost against latency of every candidate: a file, .png or .svg.")
@click.option("--sharing", "is_shared", is_flag=True, help="Simulate what tiers would save on the same replicas.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan with its steps as JSON (SI units).")
def plan(
    path: str, rate: float | None, inventory: str | None, target: str | None, *, is_shared: bool, as_json: bool
) -> None:
    """Plan a pool without a cluster: accelerators, replicas, batch limits, latency, cost, and why."""
    if target is not None:
        check_target(target)
    file = read_pool(path)
    policy, snapshot = stated(file, rate, inventory)
    made = pool_plan(policy, snapshot, History(), file.catalogue, 0.0)
    document = dataclasses.asdict(made)
    notes: list[str] = []
    if is_shared:
        shared = sharing(policy, made, file.catalogue)
        document["sharing"] = None if shared is None else dataclasses.asdict(shared)
        notes += sharing_lines(shared)
    sizes = right_sizes(policy, snapshot, made, file.catalogue)
    if sizes:
        document["right_size"] = [dataclasses.asdict(each) for each in sizes]
    if target is not None:
        found = frontiers(policy, snapshot, made, file.catalogue)
        draw(found, target)
        document["frontier"] = [dataclasses.asdict(each) for each in found]
    if as_json:
        click.echo(json.dumps(json_value(document), indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
        console.print(plan_table(made))
        click.echo(explained(made))
        for each in sizes:
            console.print(right_size_table(each))
            click.echo("\n".join(right_size_lines(each, file.pool.spec.model.name)))
        for line in notes:
            click.echo(line)
    sys.exit(0 if all(tier.meets_objectives for tier in made.tiers) else 1)


def plan_table(plan: Plan) -> Table:
    """Return one row per variant."""
    table = Table(box=None, pad_edge=False)
    for name in ("tier", "runs on", "replicas", "max_num_seqs", "max_num_batched_tokens"):
        table.add_column(name, justify="left" if name in ("tier", "runs on") else "right")
    for name in ("TTFT", "ITL", "utilisation", "$/h", "$ per M tokens", "binding"):
        table.add_column(name, justify="right")
    for tier in plan.tiers:
        for each in tier.variants:
            table.add_row(
                tier.tier,
                each.variant.key.removeprefix(f"{tier.tier}-"),
                str(each.replicas),
                str(each.max_num_seqs),
                str(each.max_num_batched_tokens),
                ms_text(each.predicted.ttft_s),
                ms_text(each.predicted.itl_s),
                f"{percent_from_ratio(each.predicted.utilisation_ratio):.0f} %",
                dollars_per_h(each.cost_usd_per_s),
                dollars(each.usd_per_million_tokens),
                tier.binding,
            )
    return table


def json_value(value: Any) -> Any:
    """Return a value that JSON has: infinite and undefined numbers become null."""
    if isinstance(value, dict):
        return {key: json_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
