"""The shipped catalogue: who is in it, under which names, and what a wrong name or a wrong file is told."""

from dataclasses import replace

import pytest

from poolwright.hardware.catalogue import (
    UnknownAcceleratorError,
    UnknownModelError,
    build_catalogue,
    load_catalogue,
)
from poolwright.hardware.catalogue_fields import FieldError
from poolwright.hardware.catalogue_files import parse_entries

NAMES = {
    *("t4", "a10", "a10g", "a30", "a100-sxm-40gb", "a100-pcie-40gb", "a100-sxm-80gb", "a100-pcie-80gb"),
    *("l4", "l40s", "rtx-4090", "rtx-6000-ada", "rtx-pro-6000-blackwell-server"),
    *("h100-pcie", "h100-sxm", "h100-nvl", "h200-sxm", "h200-nvl", "gh200", "b200-sxm", "b300-sxm", "gb200", "gb300"),
    *("mi250x", "mi250", "mi300x", "mi325x", "mi350x", "mi355x", "gaudi2", "gaudi3", "arc-pro-b60"),
    *("tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7-ironwood", "trainium1", "trainium2", "trainium3", "inferentia2"),
    "cpu",
}

# Spellings of published benchmarks, with the canonical name that each means.
SPELLINGS = [
    ("LLaMA 3.1 70B", "llama-3.1-70b"),
    ("llama-3.x-70b", "llama-3.1-70b"),
    ("LLaMA 3.1 8B", "llama-3.1-8b"),
    ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
    ("meta-llama/Llama-3.1-8B-Instruct (mlperf llama3.1-8b)", "llama-3.1-8b"),
    ("meta-llama/Llama-2-70b-chat-hf (mlperf llama2-70b-99.9)", "llama-2-70b"),
    ("Llama-2-70b", "llama-2-70b"),
    ("meta-llama/Llama-3.1-405B-Instruct (mlperf llama3.1-405b)", "llama-3.1-405b"),
    ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b"),
    ("deepseek-v3-671b", "deepseek-v3"),
    ("deepseek-ai/DeepSeek-R1-0528 (key dsr1)", "deepseek-r1"),
    ("deepseek-ai/DeepSeek-R1 (mlperf deepseek-r1)", "deepseek-r1"),
    ("deepseek-ai/DeepSeek-V3.1", "deepseek-v3.1"),
    ("Qwen/Qwen3-235B-A22B-Instruct-2507", "qwen3-235b-a22b"),
    ("openai/gpt-oss-120b (mlperf gpt-oss-120b)", "gpt-oss-120b"),
    ("mistralai/Mistral-7B-Instruct-v0.2", "mistral-7b"),
    ("google/gemma-2-27b-it", "gemma-2-27b"),
]


def test_every_accelerator_is_there() -> None:
    assert NAMES == set(load_catalogue().accelerators)


@pytest.mark.parametrize(("spelling", "canonical"), SPELLINGS)
def test_a_spelling_finds_its_model(spelling: str, canonical: str) -> None:
    assert canonical == load_catalogue().model(spelling).name


@pytest.mark.parametrize(
    ("spelling", "weight_format"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "fp8"),
        ("nvidia/DeepSeek-V3.1-NVFP4", "nvfp4"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "w4a16"),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", "int8"),
        ("Qwen/Qwen3-235B-A22B-FP8", "fp8"),
    ],
)
def test_a_format_suffix_changes_the_native_format(spelling: str, weight_format: str) -> None:
    assert weight_format == load_catalogue().model(spelling).native_format


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("H100", "h100-sxm"),
        ("h100-80gb", "h100-sxm"),
        ("NVIDIA H200 (8x)", "h200-sxm"),
        ("A100-80GB", "a100-sxm-80gb"),
        ("AMD MI300X", "mi300x"),
        ("RTX_4090", "rtx-4090"),
        ("inf2", "inferentia2"),
        ("B200", "b200-sxm"),
    ],
)
def test_a_spelling_finds_its_accelerator(spelling: str, canonical: str) -> None:
    assert canonical == load_catalogue().accelerator(spelling).name


def test_an_unknown_accelerator_is_told_what_is_close() -> None:
    with pytest.raises(UnknownAcceleratorError, match=r"unknown accelerator 'h10-sxm'; did you mean h100-sxm"):
        load_catalogue().accelerator("h10-sxm")


def test_an_unknown_model_is_told_what_is_close() -> None:
    with pytest.raises(UnknownModelError, match=r"unknown model 'lama-3.1-8b'; did you mean llama-3.1-8b"):
        load_catalogue().model("lama-3.1-8b")


def test_a_name_like_nothing_is_told_where_to_look() -> None:
    with pytest.raises(UnknownModelError, match="see `poolwright catalog models`"):
        load_catalogue().model("@@@@@@")


def test_users_override_an_accelerator_by_name() -> None:
    known = load_catalogue()
    cheap = replace(known.accelerator("h100-sxm"), price_usd_per_s=0.001)
    changed = known.with_accelerators([cheap])
    assert changed.accelerator("H100").price_usd_per_s == 0.001
    assert known.accelerator("h100-sxm").price_usd_per_s != 0.001


def test_users_add_an_accelerator_and_a_model() -> None:
    known = load_catalogue()
    added = known.with_accelerators([replace(known.accelerator("t4"), name="Mine")])
    assert added.accelerator("mine").name == "Mine"
    assert known.with_models([replace(known.model("phi-4"), name="Own")]).model("own").name == "Own"


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, "h100-sxm"),
        ({"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"}, "a100-pcie-80gb"),
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}, "a100-sxm-40gb"),
        (
            {"karpenter.k8s.aws/instance-gpu-name": "a100", "karpenter.k8s.aws/instance-gpu-memory": "81920"},
            "a100-sxm-80gb",
        ),
        ({"karpenter.k8s.aws/instance-family": "trn1n"}, "trainium1"),
        ({"amd.com/gpu.device-id": "74a1"}, "mi300x"),
        ({"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice"}, "tpu-v6e"),
        ({"node.kubernetes.io/instance-type": "p5en.48xlarge"}, "h200-sxm"),
    ],
)
def test_node_labels_name_the_accelerator(labels: dict[str, str], name: str) -> None:
    found = load_catalogue().accelerator_of_node({"kubernetes.io/os": "linux", **labels})
    assert found is not None
    assert name == found.name


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED"},  # a time slice is no whole accelerator
        {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"},
        {"karpenter.k8s.aws/instance-gpu-name": "a100"},  # 40 or 80 GB: not enough to tell
    ],
)
def test_labels_that_do_not_tell_name_nothing(labels: dict[str, str]) -> None:
    assert load_catalogue().accelerator_of_node(labels) is None


MODEL = """
tiny:
  source: here
  date: "2026-01-01"
  status: recalled
  config: {model_type: llama, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 16,
           vocab_size: 10, max_position_embeddings: 32}
"""


def test_a_preset_extends_another_and_changes_some_fields() -> None:
    longer = "\nlonger:\n  extends: tiny\n  source: here\n  date: today\n  status: recalled\n"
    rows = parse_entries(MODEL + longer + "  config: {max_position_embeddings: 64}\n", "model")
    built = build_catalogue({}, rows, {})
    assert (8, 64) == (built.model("longer").hidden, built.model("longer").max_context_tokens)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODEL.replace("source: here", "origin: here"), "model tiny: origin is 'here'; an unknown field"),
        (MODEL.replace("status: recalled", "status: sure"), "model tiny: status is 'sure'; one of estimated"),
        (MODEL.replace("hidden_size: 8, ", ""), "model tiny: config.json: hidden_size is missing"),
        (MODEL + "  extends: nobody\n", "model tiny: extends is 'nobody'; the name of another preset is needed"),
        (MODEL + "  extends: tiny\n", "model tiny: extends is 'tiny', which leads back to itself"),
        (MODEL + "  aliases: 7\n", "model tiny: aliases is 7; a list of texts is needed"),
    ],
)
def test_a_malformed_preset_is_told_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        build_catalogue({}, parse_entries(text, "model"), {})


def test_an_alias_of_two_models_is_refused() -> None:
    other = MODEL.replace("tiny:", "other:") + "  aliases: [TINY-instruct]\n"
    with pytest.raises(FieldError, match="it already names tiny"):
        build_catalogue({}, parse_entries(MODEL + other, "model"), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {}\na: {}\n", "key a appears twice"),
        ("a: [", "model file: is not YAML"),
        ("7", "model file: is 7; a mapping"),
        ("a: 7", "model a: is 7; a mapping"),
    ],
)
def test_a_file_that_is_no_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        parse_entries(text, "model")
