"""How many (limits, rate) candidates a second the closed form checks on one core; fails below 30,000.

The median of several rounds of CPU time: a machine shared with others slows single rounds down.
"""

import statistics
import sys
import time
from typing import Final

import numpy as np

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_law
from poolwright.planner.candidates import step_time_of
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import CHUNKS, LOADS, feasible_rates
from poolwright.queueing.step_grid import step_grid
from poolwright.queueing.workload import Workload

ROUNDS: Final = 9
LEAST_PER_S: Final = 30_000.0
MOST_SEQUENCES: Final = 300.0
KV_TOKENS: Final = 400_000.0
BLOCK_TOKENS: Final = 16


def main() -> int:
    """Print the figure and compare it with what the planner needs."""
    catalogue = load_catalogue()
    config = ReplicaConfig(
        accelerator=catalogue.accelerator("h100-sxm"),
        model=catalogue.model("llama-3.1-8b"),
        weight_format="bf16",
        kv_format="bf16",
    )
    workload, objectives = Workload.from_means(1024.0, 256.0), Objectives(ttft_s=0.8, itl_s=0.04)
    law = step_grid(
        step_time_of(step_law(config)),
        context_tokens=workload.moments.c,
        max_sequences=MOST_SEQUENCES,
        max_prefill_tokens=float(CHUNKS[-1]),
    )
    sequences = np.unique(np.round(np.geomspace(4.0, MOST_SEQUENCES, 12)))
    caps, chunks = (each.ravel() for each in np.meshgrid(sequences, np.array(CHUNKS, float), indexing="ij"))
    rates = []
    for _ in range(ROUNDS):
        start_s = time.process_time()
        feasible_rates(law, workload, objectives, caps, chunks, KV_TOKENS, BLOCK_TOKENS)
        rates.append(len(caps) * len(LOADS) / (time.process_time() - start_s))
    rate = statistics.median(rates)
    print(f"queueing: {rate:,.0f} candidate checks a second on one core, {len(caps) * len(LOADS)} candidates a call")
    return 0 if rate >= LEAST_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
