"""``poolwright catalog`` as people and scripts call it."""

import json

from click.testing import CliRunner

from poolwright.cli.catalog import catalog


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(catalog, arguments)
    return result.exit_code, result.output


def test_every_accelerator_has_a_line_with_units_above() -> None:
    code, output = run("accelerators")
    assert code == 0
    assert "GiB" in output
    assert "TFLOP/s" in output
    assert all(name in output for name in ("h100-sxm", "mi355x", "tpu-v7-ironwood", "cpu"))


def test_models_are_listed_by_name() -> None:
    code, output = run("models", "llama-3.1-8b")
    assert code == 0
    assert "8.03" in output
    assert "128.0" in output  # 131,072 bytes a token are 128 KiB


def test_json_holds_every_number_with_its_source() -> None:
    code, output = run("accelerators", "--json", "H100")
    (entry,) = json.loads(output)
    assert code == 0
    assert entry["memory_bytes"] == 81_559 * 2**20
    assert entry["fact"]["status"] == "verified"
    assert entry["facts"]["idle_w"]["status"] == "estimated"
    assert entry["scale_up_peer_bytes_per_s"] is None


def test_json_of_a_model_holds_what_follows_from_its_shape() -> None:
    code, output = run("models", "--json", "deepseek-v3")
    (entry,) = json.loads(output)
    assert code == 0
    assert entry["cache_bytes_per_token"] == 61 * (512 + 64) * 2


def test_an_unknown_name_ends_with_code_2_and_what_is_close() -> None:
    code, output = run("models", "lama-3.1-8b")
    assert code == 2
    assert "did you mean llama-3.1-8b" in output
