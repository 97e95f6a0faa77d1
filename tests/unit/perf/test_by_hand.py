"""Llama-3.1-8B in bf16 on one H100 SXM: what docs/model.md section 8 computes by hand."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.cost import cost, power_w, usd_per_s
from poolwright.perf.memory import memory_plan, sequence_bytes, weight_bytes
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_breakdown, step_law, step_time_s
from poolwright.perf.ttft import PrefillLoad, front_end_s, wave_ttft_s

CATALOGUE = load_catalogue()
H100 = CATALOGUE.accelerator("h100-sxm")
LLAMA = ReplicaConfig(
    accelerator=H100, model=CATALOGUE.model("llama-3.1-8b"), weight_format="bf16", kv_format="bf16", block_tokens=16
)
KIB = 1024


def test_a_cached_token_takes_128_kib() -> None:
    # 32 layers x 8 KV heads x (128 + 128) values x 2 bytes = 131,072; blocks of one token leave nothing half empty.
    exact = replace(LLAMA, block_tokens=1)
    assert sequence_bytes(exact, 1000.0) == 1000 * 128 * KIB
    # Half a block of 16 is empty at the end of a sequence: 7.5 tokens more.
    assert sequence_bytes(LLAMA, 1000.0) == 1007.5 * 128 * KIB


@pytest.mark.parametrize(("tensor", "expected_kib"), [(2, 64), (4, 32), (8, 16), (16, 16), (32, 16)])
def test_a_rank_s_share_of_a_token_stops_falling_at_one_kv_head(tensor: int, expected_kib: int) -> None:
    shared = replace(LLAMA, block_tokens=1, tensor_parallel=tensor)
    assert sequence_bytes(shared, 1.0) == expected_kib * KIB


def test_half_the_bytes_per_value_are_half_the_cache() -> None:
    assert sequence_bytes(replace(LLAMA, kv_format="fp8"), 1000.0) == sequence_bytes(LLAMA, 1000.0) / 2


def test_the_weights_take_16_06_gb() -> None:
    # 8,030,261,248 parameters x 2 bytes
    assert weight_bytes(LLAMA) == 16_060_522_496.0


def test_the_weights_of_a_rank_are_its_share_and_the_norms() -> None:
    # Half of everything but 266,240 parameters of norms, which every rank keeps: (16,060,522,496 + 532,480) / 2
    assert weight_bytes(replace(LLAMA, tensor_parallel=2)) == (16_060_522_496 + 532_480) / 2


def test_eight_bits_halve_all_but_embeddings_head_and_norms() -> None:
    # Layers: 32 x (41,943,040 + 176,160,768) = 6,979,321,856 at 1 byte; 1,050,673,152 + 266,240 at 2 bytes
    assert weight_bytes(replace(LLAMA, weight_format="fp8")) == 6_979_321_856 + 2 * 1_050_939_392


def test_the_cache_is_what_weights_activations_and_reserve_leave() -> None:
    plan = memory_plan(LLAMA, max_num_seqs=256, max_num_batched_tokens=2048)
    # 4 x 2048 x (4096 + 14336) x 2 bytes and 256 x 128,256 logits x 4 bytes
    assert plan.activation_bytes == 4 * 2048 * 18_432 * 2 + 256 * 128_256 * 4
    # 1.5 GB is less than 2 % of 85.5 GB.
    assert plan.reserve_bytes == 1.5e9
    # 0.9 x 85,520,809,984 - 16,060,522,496 - 433,324,032 - 1,500,000,000
    assert plan.kv_bytes == pytest.approx(58_974_882_457.6)
    # Sequences of 4096 take 4103.5 tokens of 131,072 bytes: 109.65 of them fit.
    assert plan.kv_capacity_sequences == pytest.approx(58_974_882_457.6 / (4103.5 * 131_072))
    assert plan.fits


def test_a_small_device_reserves_a_share_instead() -> None:
    plan = memory_plan(
        replace(LLAMA, accelerator=CATALOGUE.accelerator("l4")), max_num_seqs=1, max_num_batched_tokens=1
    )
    assert plan.reserve_bytes == 0.02 * CATALOGUE.accelerator("l4").memory_bytes


@pytest.mark.parametrize("name", ["max_num_seqs", "max_num_batched_tokens", "context_tokens"])
def test_limits_that_are_not_positive_are_refused(name: str) -> None:
    limits = {"max_num_seqs": 1, "max_num_batched_tokens": 1, "context_tokens": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} 0"):
        memory_plan(LLAMA, **limits)


def test_no_token_comes_sooner_than_the_weights_are_read() -> None:
    step = step_breakdown(LLAMA, decode_sequences=1, context_tokens=1024, prefill_tokens=0)
    # Everything but the embedding table of 525,336,576 x 2 bytes: 15,009,316,864 bytes / 3.35 TB/s = 4.480 ms
    assert float(step.weight_floor_s) == pytest.approx(15_009_316_864 / 3.35e12)
    assert step.binding == "dense: memory"


def test_no_first_token_comes_sooner_than_the_prompt_is_multiplied() -> None:
    step = step_breakdown(LLAMA, decode_sequences=0, context_tokens=0, prefill_tokens=1024)
    # 2 x 6,979,321,856 x 1024 for the layers; 32 x 32 heads x 2 x 256 FLOP for each of 1024 x 512 causal pairs; one row
    # of the head, 2 x 525,336,576
    flop = 2 * 6_979_321_856 * 1024 + 32 * 32 * 2 * 256 * 1024 * 512 + 2 * 525_336_576
    assert float(step.compute_floor_s) == pytest.approx(flop / 989e12)  # 14.73 ms
    assert step.binding == "dense: compute"
    assert float(step.total_s) > flop / 989e12


def test_the_first_token_of_an_idle_replica_takes_front_end_and_one_step() -> None:
    law = step_law(LLAMA)
    idle = PrefillLoad(
        input_tokens=np.array(1024.0),
        output_tokens=np.array(100.0),
        cached_prefix_ratio=np.array(0.0),
        decode_sequences=np.array(0.0),
        bunching=np.array(2.0),
        mean_step_s=np.array(0.01),
        decode_step_s=np.array(0.01),
    )
    # 8 ms and 2 us for each of 1024 tokens
    assert float(front_end_s(law, idle)) == pytest.approx(0.010048)
    step = law.seconds(decode_sequences=0.0, context_tokens=1074.0, prefill_tokens=1024.0)
    assert float(wave_ttft_s(law, idle, 1.0)) == pytest.approx(0.010048 + float(step))


def test_cost_and_energy_of_a_token_follow_from_its_rate() -> None:
    # $6.88 an hour is 1,911.1 micro-dollars a second; at 1000 tokens/s 1.911 $ a million.
    assert usd_per_s(LLAMA) == pytest.approx(6.88 / 3600)
    # Decoding draws 105 + 0.55 x (700 - 105) = 432.25 W.
    figures = cost(LLAMA, output_tokens_per_s=1000.0)
    assert figures.usd_per_million_tokens == pytest.approx(6.88 / 3.6)
    assert figures.power_w == pytest.approx(432.25)
    assert figures.joules_per_token == pytest.approx(0.43225)


@pytest.mark.parametrize(
    ("busy", "compute", "expected_w"),
    [
        (0.0, 0.0, 105.0),  # idle
        (1.0, 0.25, 105.0 + 595.0 * (0.55 + 0.45 * 0.5)),  # half way between decoding and full: 566.125
        (1.0, 0.5, 700.0),  # half of peak compute draws everything
        (0.5, 1.0, 105.0 + 595.0 * 0.5),  # half of the time
    ],
)
def test_power_lies_between_idle_and_full(busy: float, compute: float, expected_w: float) -> None:
    assert power_w(LLAMA, busy, compute) == pytest.approx(expected_w)


def test_four_accelerators_cost_four_times_one_and_the_user_s_price_rules() -> None:
    four = replace(LLAMA, tensor_parallel=4)
    assert usd_per_s(four, 0.001) == pytest.approx(0.004)
    assert cost(four, output_tokens_per_s=2000.0, price_usd_per_s=0.001).usd_per_million_tokens == pytest.approx(2.0)


def test_an_unknown_price_and_an_idle_replica_have_no_cost_per_token() -> None:
    unknown = replace(LLAMA, accelerator=replace(H100, price_usd_per_s=None))
    assert cost(unknown, output_tokens_per_s=10.0).usd_per_million_tokens is None
    assert cost(unknown, output_tokens_per_s=10.0).joules_per_token == pytest.approx(43.225)
    idle = cost(LLAMA, output_tokens_per_s=0.0)
    assert (idle.joules_per_token, idle.usd_per_million_tokens) == (None, None)


def milliseconds(n: float, y: float) -> float:
    return float(step_time_s(LLAMA, decode_sequences=n, context_tokens=1024, prefill_tokens=y)) * 1e3


def test_the_figures_of_the_document_are_those_of_the_code() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "model.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", text.partition("## 8.")[2], flags=re.MULTILINE))
    rate = 64_000.0 / milliseconds(64, 0)
    figures = cost(LLAMA, output_tokens_per_s=rate)
    plan = memory_plan(LLAMA, max_num_seqs=256, max_num_batched_tokens=2048)
    actual = {
        "weights (4.2)": f"{weight_bytes(LLAMA) / 1e9:.2f} GB",
        "cache (4.1)": f"{plan.kv_bytes / 1e9:.2f} GB",
        "tokens it holds (4.4)": f"{plan.kv_capacity_tokens:,.0f}",
        "one sequence of 1024 (3.1)": f"{milliseconds(1, 0):.2f} ms",
        "64 of them: step": f"{milliseconds(64, 0):.2f} ms",
        "prompt of 1024: step (3.1)": f"{milliseconds(0, 1024):.2f} ms",
        "tokens a second": f"{rate:,.0f}",
        "$ per million (7.3)": f"${figures.usd_per_million_tokens:.3f}",
        "J per token (7.2)": f"{figures.joules_per_token:.4f} J",
    }
    assert {name: rows[name] for name in actual} == actual
