"""What each engine is told, where the golden files do not show it: versions, formats, and what is refused."""

from dataclasses import replace

import pytest

from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.objects.engine_command import command_of
from poolwright.controller.objects.workload import ManifestError, Workload
from poolwright.planner.outcome import Predicted, VariantPlan
from poolwright.planner.policy import EngineKind
from poolwright.planner.snapshot import Variant

WORKLOAD = Workload(
    pool=PoolRef(namespace="team-a", name="chat"),
    uid="1",
    model="org/model",
    native_format="bf16",
    engine=EngineKind.VLLM,
    image="vllm/vllm-openai:v0.29.0",
)
VARIANT = Variant(tier="interactive", accelerator="h100-sxm", weight_format="bf16", kv_format="bf16")
PLAN = VariantPlan(
    variant=VARIANT,
    replicas=1,
    max_num_seqs=64,
    max_num_batched_tokens=4096,
    max_queued_requests=32,
    predicted=Predicted(
        ttft_s=0.2,
        itl_s=0.02,
        end_to_end_s=5.0,
        utilisation_ratio=0.6,
        kv_utilisation_ratio=0.3,
        mean_batch=12.0,
        capacity_per_s=8.0,
        attainment_ratio=0.97,
    ),
    cost_usd_per_s=None,
    power_w=0.0,
    usd_per_million_tokens=None,
    weight_bytes=16e9,
)


def arguments(workload: Workload = WORKLOAD, plan: VariantPlan = PLAN) -> list[str]:
    return command_of(workload, plan)[1]


def flags(workload: Workload = WORKLOAD, plan: VariantPlan = PLAN) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments(workload, plan)}


def with_formats(weight_format: str, kv_format: str = "bf16") -> VariantPlan:
    return replace(PLAN, variant=replace(VARIANT, weight_format=weight_format, kv_format=kv_format))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param("vllm/vllm-openai:v0.17.1", set(), id="before both"),
        pytest.param("vllm/vllm-openai:v0.18.0", {"--shutdown-timeout"}, id="drains"),
        pytest.param(
            "vllm/vllm-openai:v0.29.0", {"--shutdown-timeout", "--max-num-queued-reqs"}, id="drains and admits"
        ),
        pytest.param("vllm/vllm-openai:v1.0.0", {"--shutdown-timeout", "--max-num-queued-reqs"}, id="a later major"),
        pytest.param("vllm/vllm-openai:latest", set(), id="a tag that states no version"),
        pytest.param("vllm/vllm-openai@sha256:00ff", set(), id="a digest alone"),
    ],
)
def test_vllm_gets_newer_flags_only_where_its_image_says_that_it_has_them(image: str, expected: set[str]) -> None:
    assert expected == flags(replace(WORKLOAD, image=image)) & {"--shutdown-timeout", "--max-num-queued-reqs"}


def test_vllm_counts_running_and_waiting_together_when_it_admits() -> None:
    assert "--max-num-queued-reqs=96" in arguments()  # 64 in the batch and 32 queued


def test_no_queue_limit_is_no_argument() -> None:
    unlimited = replace(PLAN, max_queued_requests=0)
    assert "--max-num-queued-reqs" not in flags(plan=unlimited)
    assert "--max-queued-requests" not in flags(replace(WORKLOAD, engine=EngineKind.SGLANG), unlimited)


@pytest.mark.parametrize("engine", [EngineKind.VLLM, EngineKind.SGLANG])
@pytest.mark.parametrize(
    ("native", "wanted", "expected"),
    [
        pytest.param("bf16", "bf16", False, id="as it is"),
        pytest.param("fp16", "bf16", False, id="sixteen bits either way"),
        pytest.param("fp8", "fp8", False, id="published in fp8"),
        pytest.param("bf16", "fp8", True, id="made on loading"),
    ],
)
def test_weights_are_quantised_only_where_the_checkpoint_is_not_already(
    engine: EngineKind, native: str, wanted: str, *, expected: bool
) -> None:
    workload = replace(WORKLOAD, engine=engine, native_format=native)
    assert expected == ("--quantization=fp8" in arguments(workload, with_formats(wanted)))


@pytest.mark.parametrize("engine", [EngineKind.VLLM, EngineKind.SGLANG])
@pytest.mark.parametrize(
    ("plan", "words"),
    [
        pytest.param(with_formats("w4a16"), "weightFormats.*w4a16.*bf16.*org/model", id="weights it cannot make"),
        pytest.param(with_formats("bf16", "int8"), "kvFormats.*int8", id="a cache it does not keep"),
    ],
)
def test_formats_that_an_engine_lacks_are_refused_with_the_field_to_edit(
    engine: EngineKind, plan: VariantPlan, words: str
) -> None:
    with pytest.raises(ManifestError, match=words):
        arguments(replace(WORKLOAD, engine=engine), plan)


def test_pipeline_stages_are_refused_by_the_engine_that_has_none() -> None:
    plan = replace(PLAN, variant=replace(VARIANT, pipeline_parallel=2))
    with pytest.raises(ManifestError, match="2 pipeline stages"):
        arguments(replace(WORKLOAD, engine=EngineKind.POOLWRIGHT), plan)
    assert "--pipeline-parallel-size=2" in arguments(plan=plan)


def test_the_users_arguments_come_last_so_that_they_win() -> None:
    assert arguments(replace(WORKLOAD, arguments=("--max-num-seqs=8",)))[-1] == "--max-num-seqs=8"


def test_a_value_that_looks_like_a_flag_stays_a_value() -> None:
    found = arguments(replace(WORKLOAD, model="org/model", revision="--trust-remote-code"))
    assert "--revision=--trust-remote-code" in found
    assert "--trust-remote-code" not in found
