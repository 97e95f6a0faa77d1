"""Quantised products and decode attention on a GPU, against peers in the same run; the last line is JSON.

Weights go around so that no cache holds them, CUDA graphs are replayed, medians are taken, and each kernel is checked
against float64 on fresh inputs first. Without a GPU it says that nothing has run. Options: --quick, --no-store.
"""

import argparse
import importlib.metadata
import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
SHAPES: Final = ((4096, 4096), (6144, 4096), (14336, 4096), (4096, 14336), (8192, 8192))
"""Outputs and inputs of layers of models of 8 and 70 billion parameters."""
TOKENS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PACKAGES: Final = ("torch", "triton", "gemlite", "bitsandbytes")


def missing() -> str | None:
    """Return why nothing can run here, or None."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("triton") is None:
        return "torch and triton are not installed here"
    import torch  # noqa: PLC0415 (not in every environment)

    return None if torch.cuda.is_available() else "there is no GPU here"


def product_lines(shapes: tuple[tuple[int, int], ...], tokens: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return times of all formats and peers [us], and our errors, for each shape and number of tokens."""
    import torch  # noqa: PLC0415

    from kernelbench.ours import ALLOWED, products, weights  # noqa: PLC0415
    from kernelbench.peers import peers  # noqa: PLC0415
    from kernelbench.timing import calls_s  # noqa: PLC0415
    from poolwright.engine.kernels.packed import Format  # noqa: PLC0415

    lines = []
    for outputs, inputs in shapes:
        plain = weights(outputs, inputs)
        others = dict(peers(plain))
        for count in tokens:
            x = torch.randn(count, inputs, device="cuda", dtype=torch.bfloat16)
            line: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "tokens": count}
            for kind in Format:
                mine = products(plain, kind, count)
                line[f"{kind.value}_us"] = 1e6 * calls_s(mine.calls, x)
                line[f"{kind.value}_is_correct"] = mine.error <= ALLOWED
            for name, calls in others.items():
                line[f"{name}_us"] = calls if isinstance(calls, str) else _peer_us(calls, x)
            lines.append(line)
            print(json.dumps(line), flush=True)
        del plain, others
        torch.cuda.empty_cache()
    return lines


def _peer_us(calls: list[Any], x: Any) -> float | str:
    """Return a peer's time [us], or why it has none at this size."""
    from kernelbench.timing import calls_s  # noqa: PLC0415

    try:
        return 1e6 * calls_s(calls, x)
    except Exception as problem:  # noqa: BLE001 (a peer's failure is a cell of the report)
        return f"{type(problem).__name__}: {problem}"[:160]


def summary(lines: list[dict[str, Any]], attention: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the smallest ratios that the bars ask for; a wrong result counts as a ratio of 0."""

    def ratio(line: dict[str, Any], kind: str, peers: tuple[str, ...]) -> float:
        times = [line[f"{peer}_us"] for peer in peers if isinstance(line[f"{peer}_us"], float)]
        return min(times) / line[f"{kind}_us"] if times and line[f"{kind}_is_correct"] else 0.0

    few = [line for line in lines if line["tokens"] <= 16]  # noqa: PLR2004 (the bar's range)
    large = [line for line in few if line["outputs"] * line["inputs"] >= 8192 * 8192]
    most = [line for line in lines if line["tokens"] <= 64]  # noqa: PLR2004 (the bar's range)
    peers_4 = ("tinygemm_w4a16", "gemlite_w4a16")
    return {
        "w4a16_over_cublas_few_tokens": min((ratio(line, "w4a16", ("cublas_bf16",)) for line in large), default=None),
        "w4a16_over_best_peer_few_tokens": min((ratio(line, "w4a16", peers_4) for line in few), default=None),
        "w4a16_over_cublas_any": min((ratio(line, "w4a16", ("cublas_bf16",)) for line in lines), default=None),
        "fp8_over_cublas_to_64": min((ratio(line, "w8a8_fp8", ("cublas_bf16",)) for line in most), default=None),
        "int8_over_cublas_to_64": min((ratio(line, "w8a8_int8", ("cublas_bf16",)) for line in most), default=None),
        "attention_copy_bandwidth": {line["cache"]: line["copy_bandwidth_ratio"] for line in attention},
        "all_correct": all(value for line in [*lines, *attention] for key, value in line.items() if "correct" in key),
    }


def measured(*, is_quick: bool) -> dict[str, Any]:
    """Return everything measured, with the GPU, date and versions."""
    import torch  # noqa: PLC0415

    from kernelbench.decoding import decoding  # noqa: PLC0415
    from kernelbench.timing import copy_bytes_per_s  # noqa: PLC0415

    torch.manual_seed(0)
    bandwidth = copy_bytes_per_s()
    attention = decoding(bandwidth)
    lines = product_lines(SHAPES[-1:] if is_quick else SHAPES, (1, 16, 64) if is_quick else TOKENS)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "gpu": torch.cuda.get_device_name(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)},
        "copy_bytes_per_s": bandwidth,
        "summary": summary(lines, attention),
        "attention": attention,
        "products": lines,
    }


def main() -> None:
    """Measure, store, and print one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one shape, three numbers of tokens")
    parser.add_argument("--no-store", action="store_true", help="write nothing under bench/results")
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(f"bench/kernels.py has not run: {reason}")
        print(json.dumps({"has_run": False, "reason": reason}))
        return
    result = measured(is_quick=options.quick)
    if not options.no_store:
        RESULTS.mkdir(exist_ok=True)
        gpu = result["gpu"].lower().replace(" ", "-")
        (RESULTS / f"kernels-{result['date']}-{gpu}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"has_run": True, "gpu": result["gpu"], "date": result["date"]} | result["summary"]))


if __name__ == "__main__":
    main()
