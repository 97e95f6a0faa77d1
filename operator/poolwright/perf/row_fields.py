"""Reads the describing columns of one benchmark row: numbers, names, formats, the kind of load; never a result.

What the row says is turned into a replica and a load by ``row_question``.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

UNIFORM_MEAN_RATIO: Final = 0.9
"""Mean over nominal length where lengths are drawn uniformly from 0.8 to 1.0 of the nominal one [ratio]."""


class RowError(ValueError):
    """A row that cannot be predicted; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row's describing columns, with typed access."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a column as text, empty where it is absent."""
        value = (self.values.get(name) or "").strip()
        return "" if value.casefold() in ("nan", "none", "null") else value

    def number(self, name: str) -> float | None:
        """Return a column as a positive number, None where it is empty.

        Raises
        ------
        RowError
            It is not a positive finite number.
        """
        written = self.text(name)
        if not written:
            return None
        try:
            value = float(written)
        except ValueError:
            raise RowError(f"{name} is {written!r}, which is not a number") from None
        if not math.isfinite(value) or value <= 0.0:
            raise RowError(f"{name} is {written}, must be positive and finite")
        return value

    def count(self, name: str) -> int:
        """Return a column as a whole number, 1 where it is empty."""
        value = self.number(name)
        if value is None:
            return 1
        if value != round(value):
            raise RowError(f"{name} is {value}, must be a whole number")
        return round(value)

    def needed(self, name: str) -> float:
        """Return a number that must be there."""
        value = self.number(name)
        if value is None:
            raise RowError(f"{name} is missing")
        return value

    def length(self, name: str) -> float:
        """Return a mean length in tokens: nominal maxima of uniform draws are scaled to their mean."""
        nominal = self.needed(name)
        is_uniform = "[0.8,1.0]" in self.text("len_kind").replace(" ", "")
        return nominal * UNIFORM_MEAN_RATIO if is_uniform else nominal

    def has_fixed_lengths(self) -> bool:
        """Return whether all answers are equally long: load generators do that unless told to vary them."""
        written = self.text("len_kind").casefold()
        return not any(word in written for word in ("uniform", "mean of", "dataset", "distribution (", "+-"))

    def request_count(self) -> float:
        """Return how many requests the run sent, infinite where the row does not say: more never run at once."""
        found = re.search(r"(\d+) requests", self.text("load_kind"))
        return float(found[1]) if found else math.inf

    def prefix_ratio(self) -> float:
        """Return the share of prompts that a prefix cache holds, 0 where the row does not say."""
        written = self.text("cached_prefix_ratio")
        return float(written) if re.fullmatch(r"0(\.\d+)?", written) else 0.0


def load_kind(row: Row) -> str:
    """Return ``static``, ``open`` or ``closed``; where the column is empty, by which load is given."""
    written = row.text("load_kind").casefold()
    for kind in ("static", "open", "closed"):
        if written.startswith(kind):
            return kind
    if row.number("concurrency") is not None:
        return "closed"
    if row.number("request_rate_qps") is not None:
        return "open"
    if row.number("batch_size") is not None:
        return "static"
    raise RowError("neither concurrency nor request_rate_qps nor batch_size says what the load is")


def weight_format(row: Row, native_format: str, *, only_experts: bool, vendor: str) -> str:
    """Return the weight format of a row in our names; an empty column means the checkpoint's own.

    A checkpoint whose experts alone are quantised is served as published whatever precision a table calls it.
    """
    written = row.text("weight_prec").casefold()
    raw = row.text("weight_prec_raw").casefold()
    if only_experts or not written:
        return native_format
    if written in ("16bit", "bf16", "fp16", "bfloat16", "float16"):
        return "bf16"
    if written in ("fp4", "nvfp4", "mxfp4"):
        return "mxfp4" if written == "mxfp4" or vendor == "amd" else "nvfp4"
    if written in ("int4", "4bit", "w4a16", "awq", "gptq"):
        return "w4a8" if "w4a8" in raw or "qoq" in raw else "w4a16"
    if written in ("fp8", "int8", "w4a8", "fp32"):
        return written
    if written in ("8bit", "w8a8"):
        return "int8" if "int8" in raw else "fp8"
    raise RowError(f"weight_prec {written!r} is not known")


def kv_format(row: Row, weight: str, engine: str) -> str:
    """Return the cache format; where the column is empty, the engine's habit for that weight format.

    TensorRT-LLM's quantised checkpoints carry FP8 cache scales, other engines keep 16 bits unless told.
    """
    written = row.text("kv_prec").casefold()
    if written in ("fp8", "int8", "8bit"):
        return "fp8"
    if written:
        return "bf16"
    return "fp8" if engine.startswith("tensorrt") and weight not in ("bf16", "fp16") else "bf16"
