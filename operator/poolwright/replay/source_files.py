"""Public traces by path, in their published formats; the repository ships none of them."""

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from poolwright.replay.source import Lengths, Rates, Source, quantiles, quantiles_with_mean, source_of
from poolwright.replay.source_shapes import SHAPES, shape
from poolwright.replay.traces import Trace, read_azure_csv
from poolwright.simulator.layout import Integers
from poolwright.units import SECONDS_PER_MINUTE, ratio_from_percent, s_from_ms

MOONCAKE_PART_TOKENS: Final = 512
"""[tokens] What one of its ``hash_ids`` stands for, as its authors state."""
STATED: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
"""Quantiles that ServeGen's summaries state."""
NAMED: Final = {
    "azure2023": "azure2023_conversation.csv",
    "azure2024": "azure2024_conversation_rate_per_min.csv",
    "servegen": "servegen_m_large_rate.csv",
    "mooncake": "mooncake_conversation.jsonl",
}
"""File of a trace by its short name, in the folder of traces."""


def find_source(name: str, folder: Path | None, *, factor: float = 1.0, seed: int = 0) -> Source:
    """Return a source by name (a short one, a shape) or path.

    Raises
    ------
    ValueError
        For what does not exist or cannot be read.
    """
    if name in SHAPES:
        return shape(name, seed).times(factor).source()
    path = Path(name)
    if name in NAMED:
        if folder is None:
            raise ValueError(f"trace {name!r} needs a folder of traces: set POOLWRIGHT_TRACES")
        path = folder / NAMED[name]
    if not path.is_file():
        known = ", ".join((*NAMED, *SHAPES))
        raise ValueError(f"no trace {str(path)!r}; known names are {known}")
    if path.name.endswith("_rate_per_min.csv"):
        return read_azure_week(path, seed).times(factor).source()
    if path.name.startswith("servegen") and path.name.endswith("_rate.csv"):
        return read_servegen(path, seed).times(factor).source()
    trace = read_mooncake(path) if path.suffix == ".jsonl" else read_azure_csv(path)
    return source_of(trace, name, factor=factor, seed=seed)


def read_azure_week(path: Path, seed: int = 0) -> Rates:
    """Read the rates of the Azure traces of 2024, with the distributions of lengths beside them.

    Rates are requests a minute at the ends of equal windows; prompts and answers are drawn independently, as only
    their distributions are published.

    References
    ----------
    Azure/AzurePublicDataset, Azure LLM inference traces of 2024, CC-BY 4.0.
    """
    rows = _rows(path, ("minute_of_week", "rate_mid_normalised"))
    ends, rates = (np.array([row[name] for row in rows]) for name in ("minute_of_week", "rate_mid_normalised"))
    stem = path.name.removesuffix("_rate_per_min.csv")
    columns = []
    for side in ("input", "output"):
        cdf = _rows(path.with_name(f"{stem}_{side}_tokens_cdf.csv"), ("tokens", "cdf_percent"))
        columns.append(
            quantiles(
                np.array([ratio_from_percent(row["cdf_percent"]) for row in cdf]),
                np.array([row["tokens"] for row in cdf]),
            )
        )
    return Rates(
        name="azure2024",
        citation="Azure LLM inference traces 2024, conversation (Azure/AzurePublicDataset, CC-BY 4.0)",
        window_s=float(ends[-1] / len(ends)) * SECONDS_PER_MINUTE,
        rates_per_s=rates / SECONDS_PER_MINUTE,
        lengths=(Lengths(from_s=0.0, input_tokens=columns[0], output_tokens=columns[1]),),
        seed=seed,
    )


def read_servegen(path: Path, seed: int = 0) -> Rates:
    """Read rates by window of a ServeGen trace, with the summaries of lengths beside them.

    References
    ----------
    alibaba/ServeGen, Apache-2.0; rates are scaled by their authors.
    """
    rates = _rows(path, ("window_start_s", "rate_rps"))
    sides: dict[float, dict[str, Integers]] = defaultdict(dict)
    tokens_path = path.with_name(path.name.replace("_rate.csv", "_tokens.csv"))
    for row in _rows(tokens_path, ("window_start_s", "mean", *(name for name, _ in STATED)), text="field"):
        ratios = np.array([0.0, *(ratio for _, ratio in STATED)])
        stated = np.array([1.0, *(row[name] for name, _ in STATED)])
        sides[row["window_start_s"]][row["field"]] = quantiles_with_mean(ratios, stated, row["mean"])
    return Rates(
        name="servegen",
        citation=f"ServeGen {path.stem} (alibaba/ServeGen, Apache-2.0)",
        window_s=rates[1]["window_start_s"] - rates[0]["window_start_s"],
        rates_per_s=np.array([row["rate_rps"] for row in rates]),
        lengths=tuple(
            Lengths(from_s=begin_s, input_tokens=side["input_tokens"], output_tokens=side["output_tokens"])
            for begin_s, side in sorted(sides.items())
        ),
        seed=seed,
    )


def read_mooncake(path: Path) -> Trace:
    """Read a trace of Mooncake: one JSON object a line: ``timestamp`` [ms], lengths, and ``hash_ids`` of parts.

    References
    ----------
    kvcache-ai/Mooncake, Apache-2.0.
    """
    rows: list[tuple[float, int, int, list[int]]] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                read = json.loads(line)
                parts = read.get("hash_ids", [])
                rows.append((s_from_ms(read["timestamp"]), read["input_length"], read["output_length"], parts))
            except (KeyError, TypeError, ValueError) as error:
                expected = "timestamp, input_length, output_length"
                raise ValueError(f"{path}:{number}: {error!r}; expected {expected}") from error
    if not rows:
        raise ValueError(f"{path}: no requests")
    rows.sort(key=lambda row: row[0])
    arrivals, inputs, outputs = (np.array([row[column] for row in rows]) for column in range(3))
    return Trace(
        arrivals_s=arrivals - arrivals[0],
        input_tokens=np.maximum(1, inputs).astype(np.int64),
        output_tokens=np.maximum(1, outputs).astype(np.int64),
        source=f"{path.name} (kvcache-ai/Mooncake, Apache-2.0)",
        parts=np.array([part for row in rows for part in row[3]], dtype=np.int64),
        parts_from=np.cumsum([0, *(len(row[3]) for row in rows)]),
        part_tokens=MOONCAKE_PART_TOKENS,
    )


def _rows(path: Path, columns: tuple[str, ...], text: str = "") -> list[dict[str, Any]]:
    """Return the named columns of a CSV as numbers, and one as text."""
    found = []
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                read: dict[str, Any] = {name: float(row[name]) for name in columns}
                if text:
                    read[text] = row[text]
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}:{number}: {error!r}; expected columns {', '.join(columns)}") from error
            found.append(read)
    if not found:
        raise ValueError(f"{path}: no rows")
    return found
