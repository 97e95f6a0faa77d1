"""The parser of Hugging Face configurations: standard fields, families, formats, warnings and errors."""

from typing import Any

import pytest

from poolwright.hardware.catalogue_fields import FieldError
from poolwright.hardware.hf_config import model_shape_from_config
from poolwright.hardware.model_shape import AttentionKind

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 10,
    "max_position_embeddings": 32,
}


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in LLAMA.items() if key != field}


def test_a_decoder_is_counted_matrix_by_matrix() -> None:
    shape = model_shape_from_config(LLAMA, "tiny")
    # per layer: Q and O 8x8 each, K and V 8x4 each = 192; SwiGLU 3x8x16 = 384; norms 2x8 = 16
    # embedding and head 10x8 each; final norm 8
    assert 2 * (192 + 384 + 16) + 80 + 80 + 8 == shape.parameters_total


def test_a_tied_head_is_not_counted_twice() -> None:
    shape = model_shape_from_config(LLAMA | {"tie_word_embeddings": True}, "tiny")
    assert shape.head_parameters == 0


@pytest.mark.parametrize(
    "field",
    [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ],
)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(FieldError, match=rf"model tiny: config.json: {field} is missing"):
        model_shape_from_config(without(field), "tiny")


def test_null_is_missing() -> None:
    with pytest.raises(FieldError, match="hidden_size is missing"):
        model_shape_from_config(LLAMA | {"hidden_size": None}, "tiny")


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True])
def test_a_size_that_is_no_positive_whole_number_is_refused(value: object) -> None:
    with pytest.raises(FieldError, match=r"hidden_size is .*a whole number of at least one"):
        model_shape_from_config(LLAMA | {"hidden_size": value}, "tiny")


def test_heads_that_do_not_divide_the_width_need_a_head_dim() -> None:
    with pytest.raises(FieldError, match="head_dim is missing; it is needed, as 3 heads do not divide hidden_size 8"):
        model_shape_from_config(LLAMA | {"num_attention_heads": 3}, "tiny")


def test_an_unknown_model_type_with_standard_fields_is_accepted_with_a_warning() -> None:
    known = model_shape_from_config(LLAMA, "tiny")
    shape = model_shape_from_config(LLAMA | {"model_type": "brand_new"}, "tiny")
    assert known.groups == shape.groups
    assert shape.warnings == ("model_type brand_new is not known; it is read as a decoder with the standard fields",)


def test_the_language_model_is_found_under_text_config() -> None:
    nested = {"model_type": "wrapper", "text_config": LLAMA, "quantization_config": {"quant_method": "fp8"}}
    shape = model_shape_from_config(nested, "tiny")
    assert model_shape_from_config(LLAMA, "tiny").groups == shape.groups
    assert shape.native_format == "fp8"


def test_a_vision_tower_counts_towards_the_total_but_is_not_active() -> None:
    vision = {"hidden_size": 4, "num_hidden_layers": 1, "intermediate_size": 8, "patch_size": 2}
    shape = model_shape_from_config({"text_config": LLAMA, "vision_config": vision}, "tiny")
    # attention 4x4x4, MLP 2x4x8, patches 2x2x3x4, projector 4x8
    assert 64 + 64 + 48 + 32 == shape.auxiliary_parameters
    assert shape.parameters_total - shape.parameters_active == shape.auxiliary_parameters


def weights(kind: str, bits: int, **more: object) -> dict[str, Any]:
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": {"type": kind, "num_bits": bits}, **more}},
    }


FORMATS: list[tuple[dict[str, Any], str]] = [
    ({"quant_method": "fp8"}, "fp8"),
    ({"quant_method": "mxfp4"}, "mxfp4"),
    ({"quant_method": "awq", "bits": 4}, "w4a16"),
    ({"quant_method": "gptq", "bits": 4}, "w4a16"),
    ({"quant_method": "gptq", "bits": 8}, "int8"),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
    ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, "fp8"),
    ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4"),
    (weights("float", 8), "fp8"),
    (weights("int", 8), "int8"),
    (weights("float", 4), "nvfp4"),
    (weights("int", 4), "w4a16"),
    (weights("int", 4, input_activations={"num_bits": 8}), "w4a8"),
]


@pytest.mark.parametrize(("quantisation", "expected"), FORMATS)
def test_quantisation_names_the_native_format(quantisation: dict[str, Any], expected: str) -> None:
    shape = model_shape_from_config(LLAMA | {"quantization_config": quantisation}, "tiny")
    assert (expected, ()) == (shape.native_format, shape.warnings)


def test_an_unknown_quantisation_is_read_as_16_bit_with_a_warning() -> None:
    shape = model_shape_from_config(LLAMA | {"quantization_config": {"quant_method": "zip"}}, "tiny")
    assert shape.native_format == "bf16"
    assert shape.warnings == ("quantization_config: method 'zip' is not known; 16-bit weights are assumed",)


def test_layers_of_several_formats_are_read_as_the_most_frequent_with_a_warning() -> None:
    algorithms = {"a": {"quant_algo": "NVFP4"}, "b": {"quant_algo": "NVFP4"}, "c": {"quant_algo": "FP8"}}
    mixed = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": algorithms}
    shape = model_shape_from_config(LLAMA | {"quantization_config": mixed}, "tiny")
    warning = "quantization_config: layers have several formats; nvfp4, the most frequent, is taken for all"
    assert ("nvfp4", (warning,)) == (shape.native_format, shape.warnings)


@pytest.mark.parametrize(
    ("written", "expected"), [("float16", "fp16"), ("bfloat16", "bf16"), ("torch.float32", "fp32"), ("odd", "bf16")]
)
def test_weights_that_are_not_quantised_have_the_plain_type(written: str, expected: str) -> None:
    assert expected == model_shape_from_config(LLAMA | {"torch_dtype": written}, "tiny").native_format


@pytest.mark.parametrize(
    ("spared", "expected"),
    [
        (["model.layers.*.self_attn"], True),
        (["model.layers.0.self_attn*", "model.layers.1.self_attn*"], True),
        (["re:.*self_attn.*"], True),
        (
            ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.o_proj"],
            True,
        ),  # one of two; the other is dense
        (["model.layers.0.self_attn.q_a_layernorm", "model.layers.1.self_attn.q_a_layernorm"], False),
        (["lm_head"], False),
    ],
)
def test_sparing_every_attention_means_that_only_experts_are_quantised(spared: list[str], *, expected: bool) -> None:
    quantisation = {"quant_method": "mxfp4", "modules_to_not_convert": spared}
    shape = model_shape_from_config(LLAMA | {"quantization_config": quantisation}, "tiny")
    assert expected == shape.quantises_only_experts


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    config = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 5}
    with pytest.raises(FieldError, match="num_experts_per_tok is 5; at most the 4 routed experts"):
        model_shape_from_config(config, "tiny")


def test_a_list_of_layers_that_is_too_short_is_refused() -> None:
    with pytest.raises(FieldError, match="layer_types has 1 entries; 2 are needed, one a layer"):
        model_shape_from_config(LLAMA | {"layer_types": ["full_attention"]}, "tiny")


def test_an_unknown_kind_of_layer_is_refused() -> None:
    with pytest.raises(FieldError, match="layer_types is 'quantum'; one of full_attention"):
        model_shape_from_config(LLAMA | {"layer_types": ["full_attention", "quantum"]}, "tiny")


def test_a_window_longer_than_any_context_is_full_attention() -> None:
    groups = model_shape_from_config(LLAMA | {"sliding_window": 32}, "tiny").groups
    assert [AttentionKind.FULL] == [group.attention.kind for group in groups]


@pytest.mark.parametrize("field", ["compress_ratios", "linear_attn_config", "block_configs", "sparse_attention_config"])
def test_an_architecture_that_is_not_modelled_is_refused_by_the_field_that_shows_it(field: str) -> None:
    with pytest.raises(FieldError, match=f"{field} is .*; this architecture is not modelled yet"):
        model_shape_from_config(LLAMA | {"model_type": "new", field: [4, 128]}, "tiny")


def test_a_field_of_an_unmodelled_architecture_that_is_switched_off_does_no_harm() -> None:
    assert model_shape_from_config(LLAMA | {"num_kv_shared_layers": 0}, "tiny").warnings == ()


def test_families_with_their_own_field_names_are_read() -> None:
    config = {"model_type": "gptj", "n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 10, "n_positions": 32}
    shape = model_shape_from_config(config, "tiny")
    assert (8, 2, 32) == (shape.hidden, shape.layers, shape.groups[0].feed_forward.dense_width)


def test_an_encoder_predicts_no_token() -> None:
    encoder = {"model_type": "bert", "type_vocab_size": 2, "position_embedding_type": "absolute"}
    shape = model_shape_from_config(LLAMA | encoder, "tiny")
    assert (False, 0) == (shape.has_head, shape.kv_values_per_sequence(32))
