"""What holds for the memory of every replica."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.memory import MemoryPlan, memory_plan
from poolwright.perf.replica import ReplicaConfig

CATALOGUE = load_catalogue()
MODELS = (
    "llama-3.1-8b",
    "llama-3.1-70b",
    "mixtral-8x7b",
    "deepseek-v3",
    "gpt-oss-120b",
    "gemma-3-27b",
    "jamba-1.5-mini",
)


def replica(accelerator: str, model: str, weight_format: str, tensor: int) -> ReplicaConfig:
    return ReplicaConfig(
        accelerator=CATALOGUE.accelerator(accelerator),
        model=CATALOGUE.model(model),
        weight_format=weight_format,
        kv_format="bf16",
        tensor_parallel=tensor,
    )


replicas = st.builds(
    replica,
    st.sampled_from(["h100-sxm", "b200-sxm", "mi300x", "l4", "trainium2"]),
    st.sampled_from(MODELS),
    st.sampled_from(["bf16", "fp8", "w4a16"]),
    st.sampled_from([1, 2, 4]),
)
sequences, tokens, contexts = st.integers(1, 1024), st.integers(1, 16_384), st.floats(1.0, 131_072.0)


def planned(config: ReplicaConfig, n: int, c: int, context: float) -> MemoryPlan:
    return memory_plan(config, max_num_seqs=n, max_num_batched_tokens=c, context_tokens=context)


@given(replicas, sequences, tokens, contexts)
def test_the_parts_add_up_to_what_the_engine_may_use(config: ReplicaConfig, n: int, c: int, context: float) -> None:
    plan = planned(config, n, c, context)
    parts = plan.weight_bytes + plan.activation_bytes + plan.reserve_bytes + plan.kv_bytes
    usable = config.memory_utilisation_ratio * config.accelerator.memory_bytes / config.accelerator.ranks
    assert min(plan.weight_bytes, plan.activation_bytes, plan.reserve_bytes) > 0.0
    if plan.kv_bytes > 0.0:
        assert parts == pytest.approx(usable)
    else:
        assert parts >= usable
        assert not plan.fits


@given(replicas, sequences, tokens, contexts)
def test_sequences_that_fit_fill_the_cache_and_no_more(config: ReplicaConfig, n: int, c: int, context: float) -> None:
    plan = planned(config, n, c, context)
    held = plan.kv_capacity_sequences * plan.kv_bytes_per_token * context
    assert held == pytest.approx(plan.kv_bytes)
    assert plan.fits == (plan.kv_bytes > 0.0 and plan.kv_capacity_sequences >= 1.0)


@given(replicas, sequences, tokens, contexts)
def test_heavier_weights_leave_a_smaller_cache(config: ReplicaConfig, n: int, c: int, context: float) -> None:
    light, heavy = (planned(replace(config, weight_format=name), n, c, context) for name in ("w4a16", "bf16"))
    assert light.weight_bytes < heavy.weight_bytes
    assert light.kv_capacity_tokens > heavy.kv_capacity_tokens or light.kv_bytes == heavy.kv_bytes == 0.0


@given(replicas, sequences, tokens, contexts)
def test_more_tensor_parallelism_never_uses_more_memory_of_a_rank(
    config: ReplicaConfig, n: int, c: int, context: float
) -> None:
    narrow, wide = (
        planned(replace(config, tensor_parallel=degree), n, c, context)
        for degree in (config.tensor_parallel, 2 * config.tensor_parallel)
    )
    assert wide.weight_bytes < narrow.weight_bytes
    assert wide.activation_bytes <= narrow.activation_bytes
    assert wide.kv_bytes_per_token <= narrow.kv_bytes_per_token
    assert wide.kv_capacity_tokens >= narrow.kv_capacity_tokens


@given(replicas, sequences, tokens, contexts, st.integers(1, 1024), st.integers(1, 16_384))
def test_larger_limits_never_leave_a_larger_cache(
    config: ReplicaConfig, n: int, c: int, context: float, more_sequences: int, more_tokens: int
) -> None:
    small = planned(config, n, c, context)
    large = planned(config, n + more_sequences, c + more_tokens, context)
    assert large.kv_bytes <= small.kv_bytes


@given(replicas, sequences, tokens, contexts, st.floats(1.0, 8.0))
def test_longer_contexts_never_let_more_sequences_in(
    config: ReplicaConfig, n: int, c: int, context: float, times: float
) -> None:
    short, long = planned(config, n, c, context), planned(config, n, c, context * times)
    assert long.kv_capacity_sequences <= short.kv_capacity_sequences * (1.0 + 1e-9)
