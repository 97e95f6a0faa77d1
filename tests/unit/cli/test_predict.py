"""``poolwright predict`` as people and scripts call it."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from poolwright.cli.predict import predict

ONE = ("--model", "llama-3.1-8b", "--accelerator", "h100-sxm", "--isl", "1024", "--osl", "256", "--concurrency", "64")
ROW = {
    "row_id": "a",
    "source": "test",
    "accelerator": "h100-sxm",
    "model": "llama-3.1-8b",
    "tp": "1",
    "engine": "vllm",
    "isl": "1024",
    "osl": "256",
    "concurrency": "64",
}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(predict, arguments)
    return result.exit_code, result.output


def bulk(folder: Path, rows: list[dict[str, str]], calibration: str = "none") -> list[dict[str, str]]:
    source, target = folder / "rows.csv", folder / "out.csv"
    with source.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, output = run("--from", str(source), "--out", str(target), "--calibration", calibration)
    assert (0, "") == (code, "" if code == 0 else output)
    with target.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_what_binds_and_shows_memory_latency_speed_and_cost() -> None:
    code, output = run(*ONE)
    assert code == 0
    assert "dense: memory" in output
    assert all(name in output for name in ("TPOT", "TTFT", "tok/s", "weights 16.06", "$6.88/h", "J per output token"))


def test_json_holds_the_same_in_si_units() -> None:
    code, output = run(*ONE, "--json")
    found = json.loads(output)
    assert code == 0
    assert 16_060_522_496.0 == pytest.approx(found["memory"]["weight_bytes"], rel=1e-3)  # 8.03e9 parameters x 2 bytes
    # Little's law: 64 users = rate x (TTFT + 255 further tokens x TPOT)
    assert 64.0 == pytest.approx(found["requests_per_s"] * (found["ttft_s"] + 255 * found["tpot_s"]), rel=1e-6)
    assert found["output_tokens_per_s"] == pytest.approx(256 * found["requests_per_s"])
    assert found["weight_floor_s"] < found["tpot_s"]


def test_a_price_given_replaces_that_of_the_catalogue() -> None:
    _, output = run(*ONE, "--price", "2", "--json")
    assert 2 / 3600 == pytest.approx(json.loads(output)["cost"]["usd_per_s"])


def test_a_config_json_stands_for_a_model(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16",
    }
    path.write_text(json.dumps(config))
    _, named = run(*ONE, "--json", "--calibration", "none")
    code, read = run("--model", str(path), *ONE[2:], "--json", "--calibration", "none")
    assert code == 0
    assert json.loads(named)["tpot_s"] == pytest.approx(json.loads(read)["tpot_s"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ONE[:8], "--concurrency is missing"),
        (("--model", "lama-3.1-8b", *ONE[2:]), "--model: "),
        (("--model", "missing.json", *ONE[2:]), "--model missing.json: No such file"),
        ((*ONE[:2], "--accelerator", "h1000", *ONE[4:]), "--accelerator: "),
        ((*ONE, "--tp", "3"), "--tp 3 does not divide the 32 heads"),
        ((*ONE, "--ep", "2"), "--ep"),
        ((*ONE[:2], "--accelerator", "t4", *ONE[4:], "--weights", "w4a8", "--tp", "0"), "--tp"),
        (("--from", "rows.csv"), "--from and --out belong together"),
        (("--from", "rows.csv", "--out", "out.csv", "--isl", "3"), "--isl does not go with --from"),
        (("--from", "no-such.csv", "--out", "out.csv"), "--from no-such.csv: No such file"),
    ],
)
def test_bad_input_ends_with_code_2_and_names_the_option(arguments: tuple[str, ...], message: str) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert message in output


def test_rows_are_answered_like_single_questions(tmp_path: Path) -> None:
    (line,) = bulk(tmp_path, [ROW | {"len_kind": "mean of dataset", "latency_stat": "median"}])
    _, output = run(*ONE, "--json", "--calibration", "none")
    single = json.loads(output)
    assert line["status"] == "ok"
    assert single["tpot_s"] == pytest.approx(float(line["pred_tpot_ms"]) / 1e3, rel=1e-5)
    assert single["ttft_s"] == pytest.approx(float(line["pred_ttft_ms"]) / 1e3, rel=1e-5)
    assert single["output_tokens_per_s"] == pytest.approx(float(line["pred_out_tok_s_per_accel"]), rel=1e-5)


def test_measured_columns_are_not_read(tmp_path: Path) -> None:
    plain = bulk(tmp_path, [ROW])
    assert plain == bulk(tmp_path, [ROW | {"tpot_ms": "1", "ttft_ms": "x", "out_tok_s_per_accel": "-7"}])


def test_a_row_that_cannot_be_predicted_keeps_its_line_with_the_reason(tmp_path: Path) -> None:
    lines = bulk(tmp_path, [ROW | {"isl": ""}, ROW | {"row_id": "b"}, ROW | {"row_id": "c", "accelerator": "abacus"}])
    assert ["a", "b", "c"] == [each["row_id"] for each in lines]
    assert "isl is missing" == lines[0]["status"]
    assert "ok" == lines[1]["status"]
    assert "abacus" in lines[2]["status"]
    assert "" == lines[0]["pred_tpot_ms"]


def test_a_file_without_row_ids_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("model\nllama-3.1-8b\n")
    code, output = run("--from", str(source), "--out", str(tmp_path / "out.csv"))
    assert code == 2
    assert "row_id is missing" in output


def test_only_deployments_with_published_rows_are_calibrated(tmp_path: Path) -> None:
    known = ROW | {"accelerator": "h200-sxm", "model": "llama-3.1-70b", "weight_prec": "fp8", "tp": "4"}
    unknown = known | {"row_id": "b", "accelerator": "l40s"}
    plain, shipped = (bulk(tmp_path, [known, unknown], each) for each in ("none", "shipped"))
    assert plain[0] != shipped[0]
    assert plain[1] == shipped[1]
