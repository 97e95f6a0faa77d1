"""Measurements in other shapes: latency tables of static batches, and the log of one real engine second by second."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelreport.rows import Measured, measured_rows
from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.engine_traits import VLLM
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_law

Array = NDArray[np.float64]

FEWEST_RUNNING = 16
"""Sequences below which a second of the log is left out: it is ramp or drain, its mean step is not one batch's."""


def static_tables(folder: Path) -> Measured:
    """Return the Splitwise tables (fp16 Llama-2-70B on A100 and H100), one row per shape, repeats averaged."""
    with (folder / "measured" / "splitwise_llama2_70b.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    shapes: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in table:
        names = ("hardware", "tensor_parallel", "prompt_size", "batch_size", "token_size")
        shapes.setdefault(tuple(row[name] for name in names), []).append(row)
    return measured_rows([_static_row(shape, rows) for shape, rows in shapes.items()])


def _static_row(shape: tuple[str, ...], rows: list[dict[str, str]]) -> dict[str, str]:
    hardware, ranks, prompt, batch, tokens = shape
    return {
        "row_id": "-".join(shape),
        "source": "splitwise tables",
        "source_date": "2023",
        "accelerator": {"a100-80gb": "a100-sxm-80gb", "h100-80gb": "h100-sxm"}[hardware],
        "model": "llama-2-70b",
        "model_key": "llama-2-70b",
        "tp": ranks,
        "weight_prec": "16bit",
        "isl": prompt,
        "osl": tokens,
        "batch_size": batch,
        "load_kind": "static_batch",
        "ttft_ms": str(np.mean([float(each["prompt_time"]) for each in rows])),
        "tpot_ms": str(np.mean([float(each["token_time"]) for each in rows])),
        "out_tok_s_per_accel": "",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """Measured and predicted output tokens per second, second by second, and the mean time between tokens [s]."""

    measured_tokens_per_s: Array
    predicted_tokens_per_s: Array
    running: Array
    measured_tpot_s: float
    predicted_tpot_s: float


def logged_run(folder: Path) -> LoggedRun:
    """Return a real vLLM run (Llama-3.1-8B, bf16, one RTX PRO 6000, 300 ShareGPT requests at 10/s).

    Its batch and its prompt tokens a second are given, the step time is predicted: ``T = T(n, c, P T)``.
    """
    prefix = folder / "measured" / "vllm_rtxpro6000_llama31_8b"
    with Path(f"{prefix}_timeseries.csv").open(encoding="utf-8", newline="") as file:
        seconds = list(csv.DictReader(file))
    lines = Path(f"{prefix}_requests.jsonl").read_text(encoding="utf-8").splitlines()
    requests = [json.loads(line) for line in lines]
    running = np.array([float(each["running"]) for each in seconds])
    prompts = np.array([float(each["prompt_throughput"]) for each in seconds])
    made = np.array([float(each["gen_throughput"]) for each in seconds])
    kept = running >= FEWEST_RUNNING
    inputs = float(np.mean([each["input_toks"] for each in requests]))
    outputs = np.array([each["output_toks"] for each in requests], dtype=np.float64)
    context = inputs + 0.5 * float(outputs @ outputs / outputs.sum())
    step_s = _steps_s(running[kept], prompts[kept], context, inputs)
    spans = np.array([each["last_token_ts"] - each["first_token_ts"] for each in requests])
    return LoggedRun(
        measured_tokens_per_s=made[kept],
        predicted_tokens_per_s=running[kept] / step_s,
        running=running[kept],
        measured_tpot_s=float(spans.sum() / (outputs - 1.0).sum()),
        predicted_tpot_s=float((running[kept]).sum() / (running[kept] / step_s).sum()),
    )


def _steps_s(running: Array, prompts_per_s: Array, context: float, inputs: float) -> Array:
    """Return mean step times [s] with the prompt tokens that arrive meanwhile."""
    catalogue = load_catalogue()
    law = step_law(
        ReplicaConfig(
            accelerator=catalogue.accelerator("rtx-pro-6000"),
            model=catalogue.model("llama-3.1-8b"),
            weight_format="bf16",
            kv_format="bf16",
            engine=replace(VLLM, max_sequences=128, token_budget=2048),
        )
    )
    step_s = np.full_like(running, 0.03)
    for _ in range(50):
        prompts = np.minimum(prompts_per_s * step_s, 2048.0)
        found = law.seconds(
            decode_sequences=running,
            context_tokens=context,
            prefill_tokens=prompts,
            prefill_sequences=np.maximum(prompts / inputs, 1e-6),
        )
        step_s = 0.5 * (step_s + found)
    return step_s
