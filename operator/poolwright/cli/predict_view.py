"""One prediction as a table: the binding resource first, then memory, latency, speed and cost."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table

from poolwright.perf.prediction import Prediction
from poolwright.units import BYTES_PER_GB, ms_from_s, usd_per_h_from_usd_per_s

PIPE_COLUMNS: Final = 120
"""Width of the table where the output is no terminal: it fits."""
SHOWN_SHARE: Final = 0.01
"""Operator classes below this share of the step are left out of the line [ratio]."""


def print_prediction(found: Prediction, *, is_terminal: bool) -> None:
    """Print a prediction."""
    console = Console(width=None if is_terminal else PIPE_COLUMNS)
    words = found.deployment
    table = Table(title=f"{words['model']} on {words['accelerators']} x {words['accelerator']}", box=None)
    table.add_column("quantity", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("why")
    for row in _lines(found):
        table.add_row(*row)
    console.print(table)


def _lines(found: Prediction) -> Iterator[tuple[str, str, str]]:
    """Give name, value and explanation of each line."""
    yield from _step_lines(found)
    yield from _memory_lines(found)
    limited = "users wait: no further sequence fits" if found.is_saturated else "all users are admitted"
    yield "TPOT", ms(found.tpot_s), f"mean step, prompts included, at {found.decode_sequences:.1f} decoding sequences"
    yield "TTFT", ms(found.ttft_s), f"steady state; {limited}"
    yield "TTFT, first wave", ms(found.wave_ttft_s), "when all users arrive at once"
    yield (
        "throughput",
        f"{found.output_tokens_per_s:.1f} tok/s",
        f"output tokens; {found.requests_per_s:.3g} requests/s",
    )
    each = found.output_tokens_per_s_per_accelerator
    yield "per accelerator", f"{each:.1f} tok/s", f"of {found.deployment['accelerators']}"
    yield from _cost_lines(found)


def _step_lines(found: Prediction) -> Iterator[tuple[str, str, str]]:
    total_s = sum(found.operators_s.values())
    largest = sorted(found.operators_s.items(), key=lambda item: -item[1])
    parts = [f"{name} {ms(value)}" for name, value in largest if value >= SHOWN_SHARE * total_s]
    words = found.deployment
    shape = f"{words['weights']} weights, {words['kv']} cache, tp {words['tensor_parallel']}"
    yield "deployment", str(words["engine"]), f"{shape}, pp {words['pipeline_parallel']}, ep {words['expert_parallel']}"
    yield "binding", found.binding, "what a decode step waits for most"
    yield "decode step", ms(total_s), ", ".join(parts)
    floor = f"FLOP over peak {ms(found.compute_floor_s)}"
    yield (
        "floors",
        ms(max(found.weight_floor_s, found.compute_floor_s)),
        (f"weight bytes over bandwidth {ms(found.weight_floor_s)}, {floor}"),
    )


def _memory_lines(found: Prediction) -> Iterator[tuple[str, str, str]]:
    memory = found.memory
    held = memory.weight_bytes + memory.activation_bytes + memory.reserve_bytes
    fits = "" if memory.fits else "DOES NOT FIT: "
    yield (
        "memory of a rank",
        f"{(held + memory.kv_bytes) / BYTES_PER_GB:.1f} GB",
        (
            f"{fits}weights {memory.weight_bytes / BYTES_PER_GB:.2f}, activations "
            f"{memory.activation_bytes / BYTES_PER_GB:.2f}, reserve {memory.reserve_bytes / BYTES_PER_GB:.2f}, "
            f"cache {memory.kv_bytes / BYTES_PER_GB:.2f} GB"
        ),
    )
    yield (
        "cache",
        f"{memory.kv_capacity_tokens:.0f} tokens",
        (f"at most {found.resident_limit:.0f} sequences of {memory.context_tokens:.0f} tokens"),
    )


def _cost_lines(found: Prediction) -> Iterator[tuple[str, str, str]]:
    spent = found.cost
    if spent.usd_per_s is None or spent.usd_per_million_tokens is None:
        yield "cost", "-", "no price in the catalogue: give --price"
    else:
        hourly = f"${usd_per_h_from_usd_per_s(spent.usd_per_s):.2f}/h"
        yield "cost", hourly, f"${spent.usd_per_million_tokens:.3f} per million output tokens"
    joules = "-" if spent.joules_per_token is None else f"{spent.joules_per_token:.3f} J per output token"
    yield "power", f"{spent.power_w:.0f} W", joules


def ms(value_s: float) -> str:
    """Return seconds as milliseconds.

    >>> ms(0.01234)
    '12.34 ms'
    """
    return f"{ms_from_s(value_s):.2f} ms"
