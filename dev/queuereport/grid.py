"""The closed form against the kernel, figure by figure, over workloads that it was not tuned on."""

import csv
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_law
from poolwright.planner.candidates import step_time_of
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import predict
from poolwright.queueing.station import Station, capacity, kv_limit
from poolwright.queueing.workload import Arrivals, Workload
from poolwright.simulator import gaps as read
from poolwright.simulator.sampled import replica_of, seen_by, stream_of
from queuereport.scenarios import workload_of

FIGURES: Final = ("batch mean", "ITL mean", "ITL p95", "TTFT mean", "TTFT p95", "P(objective)")
LOADS: Final = (0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
CAPS: Final = (16, 64, 256)
REPLICAS: Final = (1, 4)
GAP_CVS: Final = (1.0, 2.0, 4.0)
REQUESTS: Final = 40_000
CACHE_TOKENS: Final = 400_000.0
OBJECTIVE: Final = Objectives(percentile_ratio=0.95, ttft_s=0.5, itl_s=0.03)
SEED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run: relative errors by figure [ratio], the probability's as a difference."""

    lengths: str
    cap: int
    replicas: int
    gap_cv: float
    load: float
    errors: dict[str, float]


def own_workloads() -> dict[str, Workload]:
    """Return chats of 800 tokens in and 250 out on average, spread in three ways."""
    chance = np.random.Generator(np.random.PCG64(SEED))
    return {kind: workload_of(kind, 800.0, 250.0, chance, 1.2) for kind in ("fixed", "exponential", "lognormal")}


def real_workloads(measured: Path, traces: Path) -> dict[str, Workload]:
    """Return lengths of Mooncake, of ServeGen (lognormal with the published mean and median) and of the vLLM log."""
    text = (traces / "mooncake_conversation.jsonl").read_text(encoding="utf-8")
    moon = [json.loads(line) for line in text.splitlines()]
    log = measured / "measured" / "vllm_rtxpro6000_llama31_8b_requests.jsonl"
    logged = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    # Prompts beyond what a cache of this size holds twice are no business of one such replica.
    short = [each for each in moon if each["input_length"] < CACHE_TOKENS / 8]
    return {
        "Mooncake": Workload.from_samples(
            [max(each["input_length"], 1) for each in short], [max(each["output_length"], 1) for each in short]
        ),
        "ServeGen": _servegen(traces / "servegen_m_large_tokens.csv"),
        "vLLM log": Workload.from_samples(
            [each["input_toks"] for each in logged], [each["output_toks"] for each in logged]
        ),
    }


def _servegen(path: Path) -> Workload:
    """Return independent lengths through the published percentiles of the first window."""
    chance = np.random.Generator(np.random.PCG64(SEED))
    found: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["field"], row)
    drawn = []
    for field in ("input_tokens", "output_tokens"):
        row = found[field]
        points = [1.0, float(row["p50"]), float(row["p90"]), float(row["p99"]), float(row["max"])]
        levels = [0.0, 0.5, 0.9, 0.99, 1.0]
        drawn.append(np.exp(np.interp(chance.random(4000), levels, np.log(points))))
    return Workload.from_samples(np.maximum(np.rint(drawn[0]), 1.0), np.maximum(np.rint(drawn[1]), 1.0))


def cells(workloads: dict[str, Workload], gap_cvs: tuple[float, ...] = GAP_CVS) -> list[Cell]:
    """Return every combination's errors."""
    catalogue = load_catalogue()
    config = ReplicaConfig(
        accelerator=catalogue.accelerator("h100-sxm"),
        model=catalogue.model("llama-3.1-8b"),
        weight_format="bf16",
        kv_format="bf16",
        tensor_parallel=1,
    )
    law = step_time_of(step_law(config))
    found = []
    for (name, workload), cap in product(workloads.items(), CAPS):
        fits = int(kv_limit(workload.moments, CACHE_TOKENS, 16))
        station = Station(
            step_time=law,
            max_num_seqs=min(cap, fits),
            max_num_batched_tokens=2048,
            kv_capacity_tokens=CACHE_TOKENS,
        )
        for replicas, gap_cv, load in product(REPLICAS, gap_cvs, LOADS):
            errors = _errors(station, workload, replicas, gap_cv, load)
            found.append(Cell(lengths=name, cap=cap, replicas=replicas, gap_cv=gap_cv, load=load, errors=errors))
    return found


def _errors(station: Station, workload: Workload, replicas: int, gap_cv: float, load: float) -> dict[str, float]:
    rate = load * capacity(station, workload).rate_per_s * replicas
    arrivals = Arrivals(rate_per_s=rate, dispersion=gap_cv**2)
    said = predict(station, workload, arrivals, replicas=replicas)
    stream = stream_of(workload, REQUESTS, SEED, gap_cv2=gap_cv**2).at(rate)
    stay = said.ttft_mean_s + said.itl_mean_s * workload.moments.m
    seen = seen_by(replica_of(station, workload), stream, replicas, stay_s=min(stay, 600.0))
    attained = seen.attainment(OBJECTIVE)
    pairs = {
        "batch mean": (said.mean_batch, seen.batch),
        "ITL mean": (said.itl_mean_s, read.mean_s(seen.gaps)),
        "ITL p95": (said.itl_s(0.95), read.percentile_s(seen.gaps, 0.95)),
        "TTFT mean": (said.ttft_mean_s, float(seen.ttft_s.mean())),
        "TTFT p95": (said.ttft_s(0.95), float(np.quantile(seen.ttft_s, 0.95))),
    }
    errors = {name: found / real - 1.0 for name, (found, real) in pairs.items()}
    difference = min(said.attainment(OBJECTIVE).values()) - min(attained.values())
    return errors | {"P(objective)": difference}
