"""What holds for every configuration of a decoder, drawn at random."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from poolwright.hardware.hf_config import model_shape_from_config

SIZES = {
    "hidden_size": st.integers(1, 64).map(lambda each: 64 * each),
    "num_hidden_layers": st.integers(1, 100),
    "num_attention_heads": st.sampled_from([1, 2, 4, 8, 16, 32, 64]),
    "intermediate_size": st.integers(1, 100_000),
    "vocab_size": st.integers(1, 300_000),
    "max_position_embeddings": st.integers(1, 1_000_000),
    "sliding_window": st.integers(1, 100_000),
    "tie_word_embeddings": st.booleans(),
}
CONFIGS = st.fixed_dictionaries(SIZES).map(lambda each: {"model_type": "llama", **each})


@given(CONFIGS)
def test_one_more_layer_never_has_fewer_parameters_nor_a_smaller_cache(config: dict[str, Any]) -> None:
    deeper = config | {"num_hidden_layers": config["num_hidden_layers"] + 1}
    one, more = model_shape_from_config(config, "one"), model_shape_from_config(deeper, "more")
    assert one.parameters_total < more.parameters_total
    assert one.kv_values_per_sequence(1_000) < more.kv_values_per_sequence(1_000)


@given(CONFIGS, st.integers(1, 1_000_000))
def test_a_windowed_layer_never_keeps_more_than_its_window(config: dict[str, Any], context: int) -> None:
    shape = model_shape_from_config(config, "windowed")
    full = model_shape_from_config({**config, "sliding_window": None}, "full")
    kept = shape.kv_values_per_sequence(context)
    assert kept <= full.kv_values_per_sequence(context)
    if config["sliding_window"] < config["max_position_embeddings"]:
        assert kept <= full.kv_values_per_sequence(config["sliding_window"])


@given(CONFIGS, st.integers(1, 64), st.data())
def test_more_experts_a_token_mean_more_active_and_as_many_parameters(
    config: dict[str, Any], experts: int, data: st.DataObject
) -> None:
    chosen = data.draw(st.integers(1, experts))
    sparse = config | {"model_type": "mixtral", "num_local_experts": experts}
    few = model_shape_from_config(sparse | {"num_experts_per_tok": chosen}, "few")
    all_of_them = model_shape_from_config(sparse | {"num_experts_per_tok": experts}, "all")
    assert few.parameters_total == all_of_them.parameters_total
    assert few.parameters_active <= all_of_them.parameters_active == all_of_them.parameters_total


@given(CONFIGS)
def test_groups_count_every_layer_once(config: dict[str, Any]) -> None:
    assert config["num_hidden_layers"] == model_shape_from_config(config, "any").layers
