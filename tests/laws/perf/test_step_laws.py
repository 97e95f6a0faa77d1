"""What holds for the step of every replica: floors, scaling with the datasheet, order in the batch."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.efficiency import Efficiencies
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import candidate_law, step_breakdown, step_time_s

ROUNDING: Final = 1e-9

CATALOGUE = load_catalogue()
MODELS = (
    "llama-3.1-8b",  # dense
    "mixtral-8x7b",  # few experts
    "deepseek-v3",  # latent attention, many experts
    "deepseek-v3.2",  # learned sparsity
    "gpt-oss-120b",  # windows, 4-bit experts
    "gemma-3-27b",  # windows
    "qwen3-next-80b-a3b",  # recurrent states
)
ACCELERATORS = ("h100-sxm", "b200-sxm", "mi300x", "a100-sxm-80gb", "l40s", "trainium2")
FACTORS = ("weight_bandwidth", "expert_bandwidth", "kv_bandwidth", "gemm", "expert_gemm", "attention", "step", "launch")


def replica(accelerator: str, model: str, weight_format: str, tensor: int, data: int) -> ReplicaConfig:
    shape = CATALOGUE.model(model)
    experts = max(group.feed_forward.experts for group in shape.groups)
    return ReplicaConfig(
        accelerator=CATALOGUE.accelerator(accelerator),
        model=shape,
        weight_format=weight_format,
        kv_format="bf16",
        tensor_parallel=tensor,
        attention_data_parallel=data if experts else 1,
        expert_parallel=tensor * data if experts >= tensor * data else 1,
    )


replicas = st.builds(
    replica,
    st.sampled_from(ACCELERATORS),
    st.sampled_from(MODELS),
    st.sampled_from(["bf16", "fp8", "w4a16"]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2]),
)
# Whole sequences and tokens: between one token and two, fewer ranks idle and the busiest of a few has 4 % less to read.
sequences, contexts, prompts = st.integers(0, 2048), st.floats(0.0, 131_072.0), st.integers(0, 16_384)
more = st.integers(1, 4)


def seconds(config: ReplicaConfig, n: int, c: float, y: int, factors: Efficiencies | None = None) -> float:
    return float(
        step_time_s(
            config,
            decode_sequences=n,
            context_tokens=c,
            prefill_tokens=y,
            efficiencies=factors or Efficiencies(),
        )
    )


@given(replicas, sequences, contexts, prompts, st.sampled_from(FACTORS), st.floats(0.05, 20.0))
def test_no_step_passes_its_floors_whatever_the_calibration(
    config: ReplicaConfig, n: int, c: float, y: int, name: str, factor: float
) -> None:
    factors = replace(Efficiencies(), **{name: factor})
    step = step_breakdown(config, decode_sequences=n, context_tokens=c, prefill_tokens=y, efficiencies=factors)
    assert float(step.total_s) >= float(step.weight_floor_s) * (1.0 - ROUNDING) > 0.0
    assert float(step.total_s) >= float(step.compute_floor_s) * (1.0 - ROUNDING) >= 0.0


@given(
    st.sampled_from(ACCELERATORS),
    st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "gemma-3-27b"]),
    st.sampled_from([1, 2, 4, 8]),
    sequences,
    prompts,
)
def test_a_step_of_a_dense_model_reads_every_layer_and_multiplies_every_token(
    accelerator: str, model: str, tensor: int, n: int, y: int
) -> None:
    config = replica(accelerator, model, "bf16", tensor, 1)
    device = config.accelerator
    weights = sum(
        group.count * (group.attention.projection_parameters + group.feed_forward.dense_parameters)
        for group in config.model.groups
    )
    share = tensor / device.ranks
    spent_s = seconds(config, n, 1024.0, y)
    assert spent_s >= 2 * weights / (share * device.bandwidth_bytes_per_s)
    assert spent_s >= 2 * weights * (n + y) / (share * device.peak_flop_per_s["bf16"]) * (1.0 - ROUNDING)


@given(replicas, sequences, contexts, prompts)
def test_a_step_halves_when_bandwidth_and_peaks_double_fixed_overheads_apart(
    config: ReplicaConfig, n: int, c: float, y: int
) -> None:
    engine = replace(config.engine, kernel_latency_s=0.0, dispatch_s=0.0, step_overhead_s=0.0)
    alone = replace(config, engine=engine, tensor_parallel=1, attention_data_parallel=1, expert_parallel=1)
    device = config.accelerator
    twice = replace(
        device,
        bandwidth_bytes_per_s=2.0 * device.bandwidth_bytes_per_s,
        peak_flop_per_s={name: 2.0 * peak for name, peak in device.peak_flop_per_s.items()},
    )
    faster = seconds(replace(alone, accelerator=twice), n, c, y)
    assert faster == pytest.approx(seconds(alone, n, c, y) / 2.0, rel=ROUNDING)


@given(replicas, sequences, contexts, prompts)
def test_a_faster_device_saves_at_most_half_and_never_costs_time(
    config: ReplicaConfig, n: int, c: float, y: int
) -> None:
    device = config.accelerator
    twice = replace(
        device,
        bandwidth_bytes_per_s=2.0 * device.bandwidth_bytes_per_s,
        peak_flop_per_s={name: 2.0 * peak for name, peak in device.peak_flop_per_s.items()},
    )
    before, after = seconds(config, n, c, y), seconds(replace(config, accelerator=twice), n, c, y)
    assert before / 2.0 * (1.0 - ROUNDING) <= after <= before * (1.0 + ROUNDING)


@given(replicas, sequences, contexts, prompts, more)
def test_a_step_grows_with_sequences(config: ReplicaConfig, n: int, c: float, y: int, times: int) -> None:
    assert seconds(config, n, c, y) <= seconds(config, n * times, c, y) * (1.0 + ROUNDING)


@given(replicas, sequences, contexts, prompts, more)
def test_a_step_grows_with_context(config: ReplicaConfig, n: int, c: float, y: int, times: int) -> None:
    assert seconds(config, n, c, y) <= seconds(config, n, c * times, y) * (1.0 + ROUNDING)


@given(replicas, sequences, contexts, prompts, more)
def test_a_step_grows_with_prompt_tokens(config: ReplicaConfig, n: int, c: float, y: int, times: int) -> None:
    assert seconds(config, n, c, y) <= seconds(config, n, c, y * times) * (1.0 + ROUNDING)


@given(replicas, sequences, contexts, prompts, st.sampled_from(FACTORS[:6]), st.floats(0.2, 1.0))
def test_a_less_efficient_kernel_never_saves_time(
    config: ReplicaConfig, n: int, c: float, y: int, name: str, factor: float
) -> None:
    worse = replace(Efficiencies(), **{name: factor})
    assert seconds(config, n, c, y) <= seconds(config, n, c, y, worse) * (1.0 + ROUNDING)


@given(st.lists(replicas, min_size=1, max_size=4), st.lists(sequences, min_size=1, max_size=4), contexts, prompts)
@settings(max_examples=40)
def test_replicas_evaluated_together_take_what_each_takes_alone(
    configs: list[ReplicaConfig], batches: list[int], c: float, y: int
) -> None:
    together = candidate_law(configs).seconds(decode_sequences=batches, context_tokens=c, prefill_tokens=y)
    alone = [[seconds(config, n, c, y) for n in batches] for config in configs]
    np.testing.assert_allclose(np.broadcast_to(together, (len(configs), len(batches))), alone, rtol=ROUNDING)
