"""Checkpoints that are damaged say where; those that are whole are read as they were written."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from poolwright.engine.checkpoint import CheckpointError, open_checkpoint
from poolwright.engine.model.config import model_config
from poolwright.engine.model.weights import load_decoder
from poolwright.engine.tiny import TinyShape, config_of, random_tensors, tokenizer_of, write_checkpoint, write_tensors

CPU = torch.device("cpu")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path, TinyShape())
    return tmp_path


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_decoder(open_checkpoint(directory), dtype=torch.float32, device=CPU)
    return str(caught.value)


def change(directory: Path, **fields: object) -> None:
    path = directory / "config.json"
    merged = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in merged.items() if value != "absent"}))


def test_a_file_cut_short_names_file_and_tensor(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert str(path) in refusal(directory)
    assert "is cut short" in refusal(directory)
    assert re.search(r"412024 bytes, tensor model\.[a-z0-9_.]+ ends at 412768$", refusal(directory))


@pytest.mark.parametrize("length", [0, 4, 60])
def test_a_file_cut_within_its_header_is_named(directory: Path, length: int) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert str(path) in refusal(directory)


def test_a_missing_tensor_is_named(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    write_tensors(directory, tensors)
    assert f"{directory}: tensor model.layers.1.mlp.up_proj.weight is missing" == refusal(directory)


def test_a_wrong_shape_names_file_tensor_and_both_shapes(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.0.self_attn.k_proj.weight"] = torch.zeros(8, 64)
    write_tensors(directory, tensors)
    expected = (
        f"{directory / 'model.safetensors'}: tensor model.layers.0.self_attn.k_proj.weight has shape (8, 64), "
        "config.json asks for (32, 64)"
    )
    assert expected == refusal(directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused_unread(directory: Path, name: str) -> None:
    (directory / "model.safetensors").rename(directory / name)
    assert f"{directory / name}: is a pickle" in refusal(directory)


def test_an_unknown_architecture_is_named(directory: Path) -> None:
    change(directory, model_type="mamba")
    assert "config.json: model_type mamba is not supported" in refusal(directory)


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads"])
def test_a_missing_field_is_named(directory: Path, field: str) -> None:
    change(directory, **{field: "absent"})
    assert f"config.json: {field} is missing" in refusal(directory)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_key_value_heads", 3),
        ("hidden_act", "gelu"),
        ("rope_scaling", {"rope_type": "longrope"}),
        ("rope_scaling", {"rope_type": "llama3", "factor": 8.0}),
        ("partial_rotary_factor", 0.5),
        ("rms_norm_eps", "small"),
    ],
)
def test_what_cannot_be_computed_is_refused(directory: Path, field: str, value: object) -> None:
    change(directory, **{field: value})
    assert "config.json" in refusal(directory)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TinyShape(), shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert f"{tmp_path / 'model-00002-of-00003.safetensors'}: is missing" == refusal(tmp_path)


def test_a_shard_that_lacks_what_the_index_says_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TinyShape(), shards=2)
    index = tmp_path / "model.safetensors.index.json"
    parsed = json.loads(index.read_text())
    parsed["weight_map"]["model.norm.weight"] = "model-00001-of-00002.safetensors"
    parsed["weight_map"]["lm_head.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(parsed))
    assert "00001-of-00002.safetensors: tensor " in refusal(tmp_path)
    assert "is missing, model.safetensors.index.json says it is here" in refusal(tmp_path)


def test_an_index_cannot_point_outside_its_directory(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TinyShape(), shards=2)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    assert "which is no safetensors file here" in refusal(tmp_path)


def test_a_directory_without_weights_says_what_it_looked_for(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    assert f"{directory}: neither model.safetensors nor model.safetensors.index.json is there" == refusal(directory)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_config_that_is_no_object_is_named(directory: Path, text: str) -> None:
    (directory / "config.json").write_text(text)
    assert f"{directory / 'config.json'}: " in refusal(directory)


def test_no_directory_is_said_plainly(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'}: is no directory" == refusal(tmp_path / "nowhere")


def test_the_same_seed_makes_the_same_weights_sharded_or_not(tmp_path: Path) -> None:
    for name, shards in (("one", 1), ("three", 3)):
        write_checkpoint(tmp_path / name, TinyShape(), seed=7, shards=shards)
    one, three = open_checkpoint(tmp_path / "one"), open_checkpoint(tmp_path / "three")
    assert sorted(one) == sorted(three)
    assert all(torch.equal(one.tensor(name), three.tensor(name)) for name in one)
    other = random_tensors(TinyShape(), seed=8)
    assert not torch.equal(one.tensor("lm_head.weight"), other["lm_head.weight"])


def test_the_tokenizer_knows_every_text_and_fits_the_vocabulary() -> None:
    tokenizer = tokenizer_of(320)
    assert 320 == tokenizer.get_vocab_size()
    for text in ("the queue", "Grüße, 世界 🙂", "a\tb\n"):
        assert text == tokenizer.decode(tokenizer.encode(text).ids)


def test_end_tokens_are_read_as_number_or_list() -> None:
    config = config_of(TinyShape())
    assert frozenset({1}) == model_config(config).stop_token_ids
    assert frozenset({1, 5}) == model_config(config | {"eos_token_id": [1, 5]}).stop_token_ids
    assert frozenset() == model_config(config | {"eos_token_id": None}).stop_token_ids
