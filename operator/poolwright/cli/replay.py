"""``poolwright replay``: a trace through a simulated fleet, under one policy or several side by side.

Exit code 2 when the input is wrong.
"""

import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from poolwright.cli.plan import json_value
from poolwright.cli.pool_file import refuse
from poolwright.cli.replica_options import replica_of
from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet import FleetRules
from poolwright.replay.fleet_replay import Replayed
from poolwright.replay.fleet_summary import Summary, summary_of
from poolwright.replay.fleet_sweep import Run, played, sweep
from poolwright.replay.fleet_variant import FleetVariant, after, variant_of
from poolwright.replay.policies import policy_of
from poolwright.replay.source import Source
from poolwright.replay.source_files import find_source
from poolwright.simulator.pool import Routing
from poolwright.units import SECONDS_PER_HOUR, ms_from_s, percent_from_ratio, s_from_ms

TRACES: Final = "POOLWRIGHT_TRACES"
"""Environment variable that names the folder of traces."""
PIPE_COLUMNS: Final = 150
"""Width of the table where the output is no terminal: it fits."""


@click.command()
@click.argument("trace")
@click.option("--policy", "policies", multiple=True, default=("static",), help="Who decides; repeat to compare.")
@click.option("--set", "settings", multiple=True, help="Setting of the policies, as name=number; may be repeated.")
@click.option("--model", default="llama-3.1-70b", show_default=True, help="Catalogue name, or path of a config.json.")
@click.option("--accelerator", "accelerators", multiple=True, default=("h100-sxm",), help="Catalogue name; repeatable.")
@click.option("--tp", default=4, show_default=True, type=click.IntRange(1, 64), help="Accelerators of a replica.")
@click.option("--weights", help="Format of the weights. Default: the model's own.")
@click.option("--kv", default="bf16", show_default=True, help="Format of the KV cache.")
@click.option("--ttft", default=1000.0, show_default=True, type=click.FloatRange(1.0), help="Objective [ms].")
@click.option("--itl", default=50.0, show_default=True, type=click.FloatRange(0.1), help="Objective [ms].")
@click.option("--percentile", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.9999), help="Of TTFT.")
@click.option("--replicas", default=4, show_default=True, type=click.IntRange(0, 10_000), help="At the beginning.")
@click.option("--cold-start", type=click.FloatRange(0.0), help="Seconds to readiness. Default: by size of weights.")
@click.option("--routing", default="LeastRequests", show_default=True, type=click.Choice([*map(str, Routing)]))
@click.option("--prefix-affinity", is_flag=True, help="Prefer replicas that know the beginning of a prompt.")
@click.option("--factor", default=1.0, show_default=True, type=click.FloatRange(1e-4, 1e4), help="Times the traffic.")
@click.option("--hours", default=math.inf, type=click.FloatRange(0.01), help="Hours to replay. Default: all.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of everything random.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 256), help="Processes of a comparison.")
@click.option("--scheduler", help="Address of a Dask scheduler that plays the comparison instead.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON (SI units).")
def replay(trace: str, **options: Any) -> None:
    """Replay TRACE (azure2023, azure2024, servegen, mooncake, step, ramp, burst, night, or a path) through a fleet."""
    folder = Path(os.environ[TRACES]) if TRACES in os.environ else None
    try:
        source = find_source(trace, folder, factor=options["factor"], seed=options["seed"])
        runs = _runs(trace, folder, source, options)
        began_s = time.perf_counter()
        found = _with_progress(runs, min(runs[0].until_s, source.duration_s), options)
    except ValueError as error:
        refuse(str(error))
    seconds = time.perf_counter() - began_s
    summaries = [summary_of(each, run.variants) for each, run in zip(found, runs, strict=True)]
    if options["as_json"]:
        rows = [{"policy": run.policy, **dataclasses.asdict(each)} for run, each in zip(runs, summaries, strict=True)]
        document = {"trace": source.name, "source": source.citation, "seconds": round(seconds, 2), "policies": rows}
        click.echo(json.dumps(json_value(document), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    console.print(table_of([run.policy for run in runs], summaries))
    served = sum(each.requests for each in summaries)
    click.echo(f"{source.citation}; {served} requests in {seconds:.1f} s")


def _runs(trace: str, folder: Path | None, source: Source, options: dict[str, Any]) -> list[Run]:
    """Return one run for each policy."""
    variants = tuple(_variant(name, source.longest_tokens, options) for name in options["accelerators"])
    goals = Objectives(
        percentile_ratio=options["percentile"], ttft_s=s_from_ms(options["ttft"]), itl_s=s_from_ms(options["itl"])
    )
    settings = dict(_setting(each) for each in options["settings"])
    for policy in options["policies"]:
        policy_of(policy, variants, goals, _own(policy, settings, options))
    return [
        Run(
            trace=trace,
            folder=folder,
            factor=options["factor"],
            until_s=options["hours"] * SECONDS_PER_HOUR,
            variants=variants,
            policy=policy,
            settings=_own(policy, settings, options),
            initial={variants[0].key: options["replicas"]},
            rules=FleetRules(
                tiers=(goals,),
                routing=Routing(options["routing"]),
                seed=options["seed"],
                prefix_affinity=options["prefix_affinity"],
            ),
        )
        for policy in options["policies"]
    ]


def _own(policy: str, settings: dict[str, float], options: dict[str, Any]) -> dict[str, float]:
    """Return the settings of a policy: a static one stays at the number that it begins with."""
    if policy == "static":
        return {"replicas": float(options["replicas"]), **settings}
    return settings


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        refuse(f"--set {text}: expected name=number")


def _variant(accelerator: str, longest_tokens: int, options: dict[str, Any]) -> FleetVariant:
    config = replica_of({**options, "accelerator": accelerator})
    seconds = options["cold_start"]
    start = None if seconds is None else after(seconds)
    return variant_of(config, max_context_tokens=longest_tokens, cold_start=start)


def _with_progress(runs: list[Run], until_s: float, options: dict[str, Any]) -> list[Replayed]:
    """Play all runs, and show on the error output how far they are."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        if len(runs) == 1 and options["scheduler"] is None:
            task = progress.add_task(runs[0].policy, total=until_s)
            return [played(runs[0], lambda now_s: progress.update(task, completed=now_s))]
        task = progress.add_task(f"{len(runs)} replays", total=len(runs))
        found: dict[int, Replayed] = {}
        for index, made in sweep(runs, workers=options["workers"], scheduler=options["scheduler"]):
            found[index] = made
            progress.advance(task)
        return [found[index] for index in range(len(runs))]


def table_of(policies: list[str], summaries: list[Summary]) -> Table:
    """Return one row per policy."""
    table = Table(box=None, pad_edge=False)
    names = ("requests", "accelerator h", "$", "kWh", "in time", "minutes violating", "TTFT p95", "mean ITL")
    for name in ("policy", *names, "started", "stopped", "shed or lost"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for policy, each in zip(policies, summaries, strict=True):
        table.add_row(
            policy,
            f"{each.requests}",
            f"{each.accelerator_hours:.1f}",
            f"{each.usd:.2f}",
            f"{each.kwh:.2f}",
            f"{percent_from_ratio(each.attainment_ratio[0]):.2f} %",
            f"{percent_from_ratio(each.violating_ratio):.2f} %",
            f"{each.ttft_p95_s[0]:.3f} s",
            f"{ms_from_s(each.itl_mean_s[0]):.1f} ms",
            f"{each.started}",
            f"{each.stopped}",
            f"{each.shed + each.lost}",
        )
    return table
