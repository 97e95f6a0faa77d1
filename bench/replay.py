"""How long replays of real traces through a fleet take: ``make bench-replay``, last line JSON.

Traces lie in the folder that POOLWRIGHT_TRACES names; without it a synthetic day stands in. One process, a decision
every 15 s that follows the rate of arrivals: the fleet's size changes all the time, the policy costs nothing. Rates of
the ServeGen trace are arbitrary (scaled by their authors): its traffic is multiplied so that it needs as many replicas
as the Azure week, and ``--all`` replays it as published as well. Exits 1 when a replay takes longer than it may.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.replay.fleet import FleetRules
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_replay import replay
from poolwright.replay.fleet_variant import FleetVariant, variant_of
from poolwright.replay.source import Source
from poolwright.replay.source_files import find_source

MODEL, ACCELERATOR, TENSOR_PARALLEL = "llama-3.1-70b", "h100-sxm", 4
PER_REPLICA_PER_S: Final = 4.5
"""[1/s] Requests that a replica serves with some room, at these traces' lengths."""
LEAST_REPLICAS: Final = 2
RUNS: Final = (("azure2023", 1.0, 1.0), ("azure2024", 1.0, 180.0), ("servegen", 0.15, 180.0))
"""Trace, times its traffic, and seconds that its replay may take."""
FULL: Final = ("servegen", 1.0, 180.0)
STAND_IN: Final = (("night", 1.0, 180.0),)


@dataclass(frozen=True, slots=True)
class Follow:
    """Wants replicas for the rate that it sees."""

    variant: FleetVariant

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return them."""
        del now_s
        return {self.variant.key: max(LEAST_REPLICAS, -int(-observed.arrivals_per_s // PER_REPLICA_PER_S))}


def main() -> int:
    """Replay every trace, print a line for each and one of JSON in the end; 1 when one took too long."""
    folder = os.environ.get("POOLWRIGHT_TRACES")
    runs = STAND_IN if folder is None else RUNS + ((FULL,) if "--all" in sys.argv else ())
    if folder is None:
        print("POOLWRIGHT_TRACES names no folder: a synthetic trace stands in")
    lines = []
    for name, factor, most_s in runs:
        source = find_source(name, None if folder is None else Path(folder), factor=factor)
        lines.append({"trace": name, "factor": factor, **measured(source), "most_s": most_s})
        print(json.dumps(lines[-1]), flush=True)
    total = {key: sum(line[key] for line in lines) for key in ("requests", "days", "seconds")}
    print(json.dumps({**total, "requests_per_s": round(total["requests"] / total["seconds"]), "peak_mb": peak_mb()}))
    return 0 if all(line["seconds"] <= line["most_s"] for line in lines) else 1


def measured(source: Source) -> dict[str, Any]:
    """Replay a trace and return what it took."""
    variant = kind(source)
    rules = FleetRules()
    # The first simulation loads or compiles the kernel.
    replay((variant,), rules, source.blocks(), Follow(variant), initial={variant.key: 4}, until_s=60.0)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    initial = {variant.key: 8}
    made = replay((variant,), rules, source.blocks(), Follow(variant), initial=initial, until_s=source.duration_s)
    seconds, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    recorded = made.recorded
    return {
        "requests": made.totals.arrived,
        "days": round(source.days, 3),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_s, 2),
        "mean_replicas": round(recorded.replica_s / recorded.until_s, 1),
        "orders": made.started,
        "violating_ratio": round(recorded.violating_ratio, 4),
        "peak_mb": peak_mb(),
    }


def kind(source: Source) -> FleetVariant:
    """Return the kind of replica that all traces are replayed on."""
    catalogue = load_catalogue()
    config = ReplicaConfig(
        accelerator=catalogue.accelerator(ACCELERATOR),
        model=catalogue.model(MODEL),
        weight_format="bf16",
        kv_format="bf16",
        tensor_parallel=TENSOR_PARALLEL,
    )
    return variant_of(config, max_context_tokens=source.longest_tokens)


def peak_mb() -> int:
    """Return the most memory that this process has had [MB]."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    sys.exit(main())
