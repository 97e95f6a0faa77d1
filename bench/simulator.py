"""How long the compiled kernel takes for an hour of real traffic: ``make bench-simulator``, last line JSON.

An hour of the Azure conversation trace of 2023 (``azure2023_conversation.csv`` in the folder that POOLWRIGHT_TRACES
names; otherwise a trace drawn from the profile that ships) on eight replicas of one accelerator, on one core. Seconds
are the median of several runs after the first; the ratio to the step-by-step reference, and what routing does to times
to first token, are from the same run and carry over to other machines. Exits 1 above ``MOST_S``.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits
from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.memory import memory_plan
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_law
from poolwright.replay.profile import load_profile
from poolwright.replay.traces import Trace, read_azure_csv
from poolwright.simulator.layout import Law, law_of
from poolwright.simulator.pool import Arrivals, Pool, Routing, simulate
from poolwright.simulator.replica import Replica
from poolwright.simulator.step_table import StepTable

TRACE: Final = "azure2023_conversation.csv"
HOUR_S: Final = 3600.0
MOST_S: Final = 0.050
"""[s] A plan asks for a few dozen such simulations, and may take a second or two."""
REPLICAS: Final = 8
ROUNDS: Final = 31
MODEL, ACCELERATOR = "llama-3.1-8b", "l4"
"""Eight of them sustain some 1.3 times this trace: queues form, and batches are neither empty nor full."""
MAX_NUM_SEQS, MAX_NUM_BATCHED_TOKENS = 128, 1024
PACES: Final = (0.5, 1.0, 1.25)
"""Times as fast as the trace came, for comparing routing: from idle to nearly full."""


def main() -> int:
    """Measure, print what was measured and one line of JSON; 1 when it takes too long."""
    trace = hour()
    pool, table = replicas(int((trace.input_tokens + trace.output_tokens).max()))
    law = law_of(table, MAX_NUM_SEQS)
    arrivals = Arrivals(time_s=trace.arrivals_s, input_tokens=trace.input_tokens, output_tokens=trace.output_tokens)
    first_s = seconds(lambda: simulate(arrivals, pool, law))
    print(f"{len(trace)} requests: {trace.source}")
    print(f"first simulation, compiler and its cache included: {first_s:.2f} s")
    median_s = statistics.median(seconds(lambda: simulate(arrivals, pool, law)) for _ in range(ROUNDS))
    outcome = simulate(arrivals, pool, law)
    reference_s = seconds(lambda: step_by_step(arrivals, pool, table))
    print(f"{outcome.steps.sum()} steps, replicas busy {outcome.busy_s.mean() / HOUR_S:.0%} of the hour")
    print(f"step-by-step reference: {reference_s:.1f} s, {reference_s / median_s:.0f} times as long")
    compare_routing(arrivals, pool, law)
    result = {
        "requests": len(trace),
        "replicas": REPLICAS,
        "seconds": round(median_s, 5),
        "requests_per_s": round(len(trace) / median_s),
    }
    print(json.dumps(result))
    return 0 if median_s <= MOST_S else 1


def compare_routing(arrivals: Arrivals, pool: Pool, law: Law) -> None:
    """Print how long a simulation takes under each policy, and what becomes of times to first token."""
    print(f"{'routing':14} {'[ms]':>6}" + "".join(f"   TTFT p50 p95 p99 [s] at x{pace:<4}" for pace in PACES))
    for routing in Routing:
        routed = replace(pool, routing=routing)
        own_s = statistics.median(seconds(lambda: simulate(arrivals, routed, law)) for _ in range(5))  # noqa: B023
        row = f"{routing:14} {own_s * 1e3:6.1f}"
        for pace in PACES:
            faster = replace(arrivals, time_s=arrivals.time_s / pace)
            ttft_s = simulate(faster, routed, law).first_token_s - faster.time_s
            row += "   " + " ".join(f"{each:8.2f}" for each in np.quantile(ttft_s, (0.5, 0.95, 0.99)))
        print(row)


def hour() -> Trace:
    """Return an hour of the trace where it lies, or of its profile."""
    path = Path(os.environ.get("POOLWRIGHT_TRACES", ".")) / TRACE
    if path.exists():
        trace = read_azure_csv(path)
    else:
        print(f"no {path}: drawing a trace from the profile that ships")
        trace = load_profile().trace(np.random.default_rng(0))
    within = trace.arrivals_s < HOUR_S
    return Trace(
        arrivals_s=trace.arrivals_s[within],
        input_tokens=trace.input_tokens[within],
        output_tokens=trace.output_tokens[within],
        source=trace.source,
    )


def replicas(longest_tokens: int) -> tuple[Pool, StepTable]:
    """Return the pool and its step times."""
    catalogue = load_catalogue()
    config = ReplicaConfig(
        accelerator=catalogue.accelerator(ACCELERATOR),
        model=catalogue.model(MODEL),
        weight_format="bf16",
        kv_format="bf16",
    )
    memory = memory_plan(config, max_num_seqs=MAX_NUM_SEQS, max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS)
    pool = Pool(
        replicas=REPLICAS,
        max_num_seqs=MAX_NUM_SEQS,
        max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
        blocks=int(memory.kv_capacity_tokens // config.block_tokens),
        block_tokens=config.block_tokens,
    )
    law = step_law(config)
    table = StepTable.of(
        lambda n, c, p: law.seconds(decode_sequences=n, context_tokens=c, prefill_tokens=p),
        max_num_seqs=MAX_NUM_SEQS,
        max_context_tokens=longest_tokens,
        max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
    )
    return pool, table


def step_by_step(arrivals: Arrivals, pool: Pool, table: StepTable) -> None:
    """Serve the same requests by the engine's own scheduler."""
    limits = Limits(max_num_seqs=pool.max_num_seqs, max_num_batched_tokens=pool.max_num_batched_tokens)
    engines = [
        Replica(limits=limits, blocks=BlockPool(pool.blocks, pool.block_tokens), step_time_s=table.step_time_s)
        for _ in range(pool.replicas)
    ]
    columns = (arrivals.time_s.tolist(), arrivals.input_tokens.tolist(), arrivals.output_tokens.tolist())
    for number, (at_s, prompt, output) in enumerate(zip(*columns, strict=True)):
        for engine in engines:
            engine.advance(at_s)
        min(engines, key=lambda engine: engine.in_flight).submit(Request(number, prompt, output), at_s)
    for engine in engines:
        engine.advance(1e9)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes [s]."""
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


if __name__ == "__main__":
    sys.exit(main())
