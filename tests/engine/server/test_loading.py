"""What is loaded is what the flags say, or the start is refused with the flag and what would be right."""

import json
from pathlib import Path
from typing import Any

import pytest

from poolwright.engine.server.loading import computed_dtype, load, sampling_defaults
from poolwright.engine.server.model_directory import ModelNotFoundError, model_directory
from poolwright.engine.server.settings import Settings
from poolwright.engine.server.stored_weights import made_on_load, stored_format

GPTQ = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}


def compressed(kind: str, bits: int) -> dict[str, Any]:
    weights = {"type": kind, "num_bits": bits}
    return {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": weights}},
        }
    }


def settings(**flags: Any) -> Settings:
    return Settings(model="m", **flags)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        (GPTQ, "w4a16"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "int8"),
        (FP8, "fp8"),
        (compressed("int", 4), "w4a16"),
        (compressed("int", 8), "int8"),
        (compressed("float", 8), "fp8"),
    ],
)
def test_a_checkpoint_says_how_it_is_stored(config: dict[str, Any], expected: str | None) -> None:
    assert expected == stored_format(config)


@pytest.mark.parametrize(
    ("flags", "config", "expected"),
    [
        ({}, {}, None),
        ({"weight_format": "bf16"}, {}, None),
        ({"weight_format": "w4a16"}, {}, "w4a16"),
        ({"quantization": "fp8"}, {}, "fp8"),
        ({"quantization": "none"}, {}, None),
        ({}, GPTQ, None),
        ({"weight_format": "w4a16"}, GPTQ, None),
        ({"quantization": "gptq"}, GPTQ, None),
        ({"quantization": "gptq", "weight_format": "w4a16"}, GPTQ, None),
        ({"quantization": "fp8"}, FP8, None),
    ],
)
def test_plain_weights_are_quantised_and_quantised_ones_taken_as_they_are(
    flags: dict[str, Any], config: dict[str, Any], expected: str | None
) -> None:
    assert expected == made_on_load(settings(**flags), config)


@pytest.mark.parametrize(
    ("flags", "config", "expected"),
    [
        ({"weight_format": "bf16"}, GPTQ, r"--weight-format=bf16: the checkpoint's weights are w4a16 \(gptq\)"),
        ({"weight_format": "fp8"}, GPTQ, "say w4a16 or nothing"),
        ({"weight_format": "nvfp4"}, {}, "--weight-format=nvfp4: plain weights are made w4a16, int8, fp8, or kept"),
        ({"quantization": "awq"}, GPTQ, "--quantization=awq: the checkpoint is gptq; leave the flag out"),
        ({"quantization": "awq"}, {}, "--quantization=awq: the checkpoint is not quantised; leave the flag out"),
        ({"quantization": "none"}, GPTQ, r"--quantization=none: the checkpoint's weights are w4a16"),
        ({}, {"quantization_config": {"quant_method": "gptq", "bits": 3}}, "gptq weights of 3 bits"),
    ],
)
def test_what_a_checkpoint_is_not_and_cannot_become_is_refused(
    flags: dict[str, Any], config: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        made_on_load(settings(**flags), config)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "auto"),
        ({"weight_format": "bf16", "kv_format": "bf16"}, "bfloat16"),
        ({"weight_format": "w4a16", "kv_format": "fp16"}, "float16"),
        ({"dtype": "half"}, "float16"),
    ],
)
def test_the_cache_is_in_the_data_type_of_activations(flags: dict[str, Any], expected: str) -> None:
    assert expected == computed_dtype(settings(**flags))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"weight_format": "bf16", "kv_format": "fp8"}, "the KV cache cannot be fp8 where activations are bfloat16"),
        ({"dtype": "half", "kv_cache_dtype": "bfloat16"}, "set --dtype=bfloat16"),
    ],
)
def test_what_the_engine_has_not_is_refused(flags: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        computed_dtype(settings(**flags))


@pytest.mark.parametrize("weight_format", ["fp32", "bf16", "w4a16", "int8"])
def test_a_model_is_loaded_in_the_format_asked_for_and_answers(weight_format: str, checkpoint: Path) -> None:
    served = load(
        Settings(model=str(checkpoint), weight_format=weight_format, kv_cache_memory_bytes=8_000_000, max_num_seqs=2),
        lambda _: None,
    )
    try:
        assert (1024, 2) == (served.engine.max_model_len, served.engine.state().max_num_seqs)
    finally:
        served.engine.stop(grace_s=0.0)


def test_what_the_makers_recommend_is_read_as_far_as_it_is_numbers(tmp_path: Path) -> None:
    assert {} == sampling_defaults(tmp_path)
    recommended = {"temperature": 0.6, "top_k": 20, "top_p": None, "do_sample": True, "min_p": "a"}
    (tmp_path / "generation_config.json").write_text(json.dumps(recommended))
    assert {"temperature": 0.6, "top_k": 20} == sampling_defaults(tmp_path)


def test_a_model_that_is_named_is_taken_from_the_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = "0e9e39f249a16976918f6564b8830bc894c89659"
    snapshot = tmp_path / "models--poolwright--tiny" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert snapshot == model_directory("poolwright/tiny", revision)
    with pytest.raises(ModelNotFoundError, match="--model=poolwright/other: is no directory here"):
        model_directory("poolwright/other", None)


def test_a_directory_that_is_not_there_is_not_looked_for_elsewhere() -> None:
    with pytest.raises(ModelNotFoundError, match="--model=/models/gone: there is no such directory"):
        model_directory("/models/gone", None)
