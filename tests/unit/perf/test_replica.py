from dataclasses import replace
from typing import Any

import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.efficiency import Efficiencies
from poolwright.perf.engine_traits import NEURON
from poolwright.perf.replica import ReplicaConfig, ReplicaError

CATALOGUE = load_catalogue()


def replica(model: str = "llama-3.1-8b", accelerator: str = "h100-sxm", **changed: Any) -> ReplicaConfig:
    plain = ReplicaConfig(
        accelerator=CATALOGUE.accelerator(accelerator),
        model=CATALOGUE.model(model),
        weight_format="bf16",
        kv_format="bf16",
    )
    return replace(plain, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tensor_parallel": 0}, "tensor_parallel is 0, must be at least 1"),
        ({"pipeline_parallel": 0}, "pipeline_parallel is 0, must be at least 1"),
        ({"expert_parallel": 0}, "expert_parallel is 0, must be at least 1"),
        ({"attention_data_parallel": -1}, "attention_data_parallel is -1, must be at least 1"),
        ({"block_tokens": 0}, "block_tokens is 0, must be at least 1"),
        ({"memory_utilisation_ratio": 0.0}, r"memory_utilisation_ratio is 0.0, must be in \(0, 1\]"),
        ({"memory_utilisation_ratio": 1.01}, r"memory_utilisation_ratio is 1.01, must be in \(0, 1\]"),
        ({"memory_utilisation_ratio": float("nan")}, "memory_utilisation_ratio is nan"),
        ({"weight_format": "fp7"}, "weight_format is 'fp7', must be one of fp32, bf16"),
        ({"kv_format": "fp7"}, "kv_format is 'fp7', must be one of fp32, bf16"),
        ({"tensor_parallel": 3}, "tensor_parallel 3 does not divide the 32 heads"),
        ({"pipeline_parallel": 33}, "pipeline_parallel 33 exceeds 32 layers"),
        ({"tensor_parallel": 2, "expert_parallel": 2}, "expert_parallel is 2, but llama-3.1-8b has no experts"),
        ({"tensor_parallel": 4, "expert_parallel": 3}, "expert_parallel 3 does not divide 4 ranks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_replica_that_no_engine_could_run_is_refused_by_the_field_at_fault(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReplicaError, match=message):
        replica(**changed)


def test_more_expert_groups_than_experts_are_refused() -> None:
    with pytest.raises(ReplicaError, match="expert_parallel 16 exceeds the 8 experts"):
        replica("mixtral-8x7b", tensor_parallel=16, expert_parallel=16)


def test_a_format_without_kernels_is_refused_with_what_there_is() -> None:
    with pytest.raises(ReplicaError, match="gaudi3 has no kernels for nvfp4 weights; its peaks are for"):
        replica(accelerator="gaudi3", weight_format="nvfp4")


def test_an_engine_that_pads_heads_runs_where_others_refuse() -> None:
    assert replica(tensor_parallel=3, engine=NEURON).ranks == 3


# Ranks are tensor x data x pipeline; an accelerator counts as one rank, but as two cores on a Trainium 1.
@pytest.mark.parametrize(
    ("accelerator", "changed", "ranks", "accelerators"),
    [
        ("h100-sxm", {"tensor_parallel": 4}, 4, 4),
        ("h100-sxm", {"tensor_parallel": 2, "pipeline_parallel": 3}, 6, 6),
        ("h100-sxm", {"tensor_parallel": 2, "attention_data_parallel": 4}, 8, 8),
        ("trainium1", {"tensor_parallel": 4}, 4, 2),
        ("trainium1", {"tensor_parallel": 1}, 1, 1),
    ],
)
def test_ranks_and_accelerators_are_counted(
    accelerator: str, changed: dict[str, Any], ranks: int, accelerators: int
) -> None:
    config = replica("mixtral-8x7b", accelerator, **changed)
    assert (ranks, accelerators) == (config.ranks, config.accelerators)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_not_positive_and_finite_is_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="kv_bandwidth is"):
        Efficiencies(kv_bandwidth=value)
