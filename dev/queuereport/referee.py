"""The kernel under step times that were measured, against two published simulators; and against a real engine's log."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.engine_traits import VLLM
from poolwright.perf.memory import memory_plan
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_law
from poolwright.replay.traces import read_azure_csv
from poolwright.simulator.layout import law_of
from poolwright.simulator.pool import Arrivals, Outcome, Pool, simulate
from poolwright.simulator.step_table import StepLaw, StepTable

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
MEASURED = "measured"
SPAN_S = 600.0
CACHE_TOKENS = 400_000
"""More than two A100-80GB hold beside these weights: one referee counts no cache, and neither says it was full."""
BROKEN_BATCH = "64"
"""Row of Splitwise's table that is left out: it prefills 32,768 tokens in an eighth of the time of 16,384."""
CHUNK, SEQUENCES = 2048, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One figure: what the kernel says, and what others said, in seconds."""

    name: str
    kernel: float
    others: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Kernel over the mean of the others."""
        return self.kernel / float(np.mean(self.others))


def measured_law(folder: Path) -> StepLaw:
    """Return step times of Llama-2-70B on two A100, interpolated from Splitwise's tables.

    Prompt times by prompt tokens of the step, token times by batch; a mixed step takes the sum less one idle step.
    Token times were measured at one context, so they do not grow with it.
    """
    prompts, tokens = _tables(folder)
    sizes, prompt_s = (np.array(each) for each in zip(*sorted(prompts.items()), strict=True))
    batches, token_s = (np.array(each) for each in zip(*sorted(tokens.items()), strict=True))

    def at(grid: Array, values: Array, wanted: Array) -> Array:
        inside = RegularGridInterpolator((grid,), values, bounds_error=False, fill_value=None)
        return np.asarray(inside(np.asarray(wanted, dtype=np.float64)[..., None]))

    def law(n: object, c: object, p: object) -> Array:
        sequences, _, prefill = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (n, c, p)))
        decode = np.where(sequences > 0.0, at(batches, token_s, np.maximum(sequences, 1.0)), 0.0)
        first = np.where(prefill > 0.0, at(sizes, prompt_s, np.maximum(prefill, 1.0)), 0.0)
        shared = np.where((sequences > 0.0) & (prefill > 0.0), token_s[0], 0.0)
        return np.asarray(np.maximum(decode + first - shared, 1e-4))

    return law


def _tables(folder: Path) -> tuple[dict[float, float], dict[float, float]]:
    prompts: dict[float, list[float]] = {}
    tokens: dict[float, list[float]] = {}
    with (folder / MEASURED / "splitwise_llama2_70b.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            is_pair = row["hardware"] == "a100-80gb" and row["tensor_parallel"] == "2"
            if not is_pair or row["batch_size"] == BROKEN_BATCH:
                continue
            size = float(row["prompt_size"]) * float(row["batch_size"])
            prompts.setdefault(size, []).append(float(row["prompt_time"]) / 1e3)
            tokens.setdefault(float(row["batch_size"]), []).append(float(row["token_time"]) / 1e3)
    return tuple({key: float(np.median(each)) for key, each in table.items()} for table in (prompts, tokens))  # type: ignore[return-value]


def referee_rows(folder: Path, traces: Path) -> dict[int, dict[str, Compared]]:
    """Return time between tokens, end to end and first token at the median, by replicas."""
    trace = read_azure_csv(traces / "azure2023_conversation.csv")
    kept = trace.arrivals_s < SPAN_S
    requests = Arrivals(
        time_s=trace.arrivals_s[kept], input_tokens=trace.input_tokens[kept], output_tokens=trace.output_tokens[kept]
    )
    longest = int((requests.input_tokens + requests.output_tokens).max())
    table = StepTable.of(
        measured_law(folder),
        max_num_seqs=SEQUENCES,
        max_context_tokens=longest,
        max_num_batched_tokens=CHUNK,
        points=40,
    )
    others: dict[int, list[dict[str, str]]] = {}
    with (folder / MEASURED / "referee_a100_tp2_conversation.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            others.setdefault(int(row["replicas"]), []).append(row)
    found = {}
    for replicas, rows in sorted(others.items()):
        pool = Pool(
            replicas=replicas,
            max_num_seqs=SEQUENCES,
            max_num_batched_tokens=CHUNK,
            blocks=CACHE_TOKENS // 16,
            block_tokens=16,
        )
        seen = percentiles(simulate(requests, pool, law_of(table, SEQUENCES)), requests)
        found[replicas] = {
            name: Compared(name=name, kernel=seen[name], others=tuple(float(row[name]) for row in rows))
            for name in ("tbt_p50", "e2e_p50", "ttft_p50")
        }
    return found


def percentiles(outcome: Outcome, requests: Arrivals) -> dict[str, float]:
    """Return p50 and p90 of a run [s]: times between tokens are those of requests, on average."""
    first, whole = outcome.first_token_s - requests.time_s, outcome.finish_s - requests.time_s
    between = outcome.mean_itl_s[np.isfinite(outcome.mean_itl_s)]
    times = {"ttft": first, "e2e": whole, "tbt": between}
    return {f"{name}_p{at}": float(np.percentile(each, at)) for name, each in times.items() for at in (50, 90)}


def log_rows(folder: Path, *, bias: float = 1.0) -> list[Compared]:
    """Return times of the real vLLM run against the kernel under the performance model.

    ``bias`` is a factor on every step [1].
    """
    lines = (folder / MEASURED / "vllm_rtxpro6000_llama31_8b_requests.jsonl").read_text(encoding="utf-8").splitlines()
    logged = sorted((json.loads(line) for line in lines), key=lambda each: each["queued_ts"])
    came = np.array([each["queued_ts"] for each in logged])
    requests = Arrivals(
        time_s=came - came[0],
        input_tokens=np.array([each["input_toks"] for each in logged]),
        output_tokens=np.array([each["output_toks"] for each in logged]),
    )
    real = {
        "ttft": np.array([each["first_token_ts"] for each in logged]) - came,
        "e2e": np.array([each["last_token_ts"] for each in logged]) - came,
        "tbt": np.array(
            [(each["last_token_ts"] - each["first_token_ts"]) / max(each["output_toks"] - 1, 1) for each in logged]
        ),
    }
    catalogue = load_catalogue()
    config = ReplicaConfig(
        accelerator=catalogue.accelerator("rtx-pro-6000"),
        model=catalogue.model("llama-3.1-8b"),
        weight_format="bf16",
        kv_format="bf16",
        engine=replace(VLLM, max_sequences=128, token_budget=2048),
    )
    model = step_law(config)
    memory = memory_plan(config, max_num_seqs=128, max_num_batched_tokens=2048, context_tokens=1024.0)
    table = StepTable.of(
        lambda n, c, p: bias * model.seconds(decode_sequences=n, context_tokens=c, prefill_tokens=p),
        max_num_seqs=128,
        max_context_tokens=int((requests.input_tokens + requests.output_tokens).max()),
        max_num_batched_tokens=2048,
    )
    blocks = int(memory.kv_capacity_tokens // 16)
    pool = Pool(replicas=1, max_num_seqs=128, max_num_batched_tokens=2048, blocks=blocks, block_tokens=16)
    seen = percentiles(simulate(requests, pool, law_of(table, 128)), requests)
    return [
        Compared(name=f"{name}_p{at}", kernel=seen[f"{name}_p{at}"], others=(float(np.percentile(each, at)),))
        for name, each in real.items()
        for at in (50, 90)
    ]
