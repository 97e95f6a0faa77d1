"""``poolwright catalog``: what the catalogue knows, with units, sources and prices, as tables or JSON.

Prints facts only; what they imply for a model is ``poolwright predict``.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.table import Table

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import load_catalogue
from poolwright.hardware.model_shape import ModelShape
from poolwright.hardware.number_format import FORMATS
from poolwright.units import (
    BYTES_PER_GB,
    BYTES_PER_GIB,
    BYTES_PER_KIB,
    FLOP_PER_TFLOP,
    PARAMETERS_PER_BILLION,
    usd_per_h_from_usd_per_s,
)

Entry = TypeVar("Entry")

CACHE_FORMAT: Final = "bf16"
"""Format of the cache in the table: what engines use unless told otherwise."""
PIPE_COLUMNS: Final = 160
"""Width of tables that are not printed on a terminal: the widest of them fits."""
LISTED_CONTEXT_TOKENS: Final = 32_768
"""[tokens] Context at which windows show: long enough that a window saves most of its layers' cache."""


@click.group()
def catalog() -> None:
    """List accelerators and models that the catalogue knows."""


@catalog.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print every field with its source as JSON.")
def accelerators(names: tuple[str, ...], *, as_json: bool) -> None:
    """List accelerators, all or those of NAMES; peaks are dense, links count one direction."""
    known = load_catalogue()
    chosen = _chosen(names, known.accelerators, known.accelerator)
    if as_json:
        click.echo(json.dumps([_json(each) for each in chosen], indent=2))
    else:
        _print(_accelerator_table(chosen))


@catalog.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print every field as JSON.")
def models(names: tuple[str, ...], *, as_json: bool) -> None:
    """List models, all or those of NAMES; parameters count embeddings, cache is 16-bit."""
    known = load_catalogue()
    chosen = _chosen(names, known.models, known.model)
    if as_json:
        click.echo(json.dumps([_json(each) | _counts(each) for each in chosen], indent=2))
    else:
        _print(_model_table(chosen))


def _chosen(names: tuple[str, ...], entries: Mapping[str, Entry], find: Callable[[str], Entry]) -> list[Entry]:
    """Return the entries of those names, or all; a name that is not known ends the command with code 2."""
    try:
        return [find(name) for name in names] if names else list(entries.values())
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _print(table: Table) -> None:
    """Print a table; into a pipe it is as wide as its content, so that no cell is cut."""
    console = Console()
    (console if console.is_terminal else Console(width=PIPE_COLUMNS)).print(table)


def _accelerator_table(accelerators: list[Accelerator]) -> Table:
    """Return accelerators as a table with units in the header."""
    table = Table(title="Accelerators")
    for header in ("name", "status"):
        table.add_column(header, no_wrap=True)
    for header in ("memory\nGiB", "bandwidth\nGB/s", "bf16\nTFLOP/s", "fp8\nTFLOP/s", "int8\nTOP/s", "fp4\nTFLOP/s"):
        table.add_column(header, justify="right")
    for header in ("scale-up\nGB/s", "domain", "node", "TDP\nW", "price\n$/h"):
        table.add_column(header, justify="right")
    for each in accelerators:
        peaks = [_tflop_per_s(each.peak_flop_per_s.get(name)) for name in ("bf16", "fp8", "int8", "fp4")]
        table.add_row(
            each.name,
            each.fact.status,
            f"{each.memory_bytes / BYTES_PER_GIB:.0f}",
            f"{each.bandwidth_bytes_per_s / BYTES_PER_GB:.0f}",
            *peaks,
            f"{each.scale_up_bytes_per_s / BYTES_PER_GB:.4g}",
            str(each.scale_up_domain),
            str(each.node_accelerators),
            f"{each.tdp_w:.0f}",
            "-" if each.price_usd_per_s is None else f"{usd_per_h_from_usd_per_s(each.price_usd_per_s):.2f}",
        )
    return table


def _tflop_per_s(peak_flop_per_s: float | None) -> str:
    """Return a peak as text, a dash where there is no hardware for the format."""
    return "-" if peak_flop_per_s is None else f"{peak_flop_per_s / FLOP_PER_TFLOP:.6g}"


def _model_table(models: list[ModelShape]) -> Table:
    """Return models as a table with units in the header."""
    table = Table(title=f"Models (cache: {CACHE_FORMAT})")
    table.add_column("name", no_wrap=True)
    table.add_column("format")
    for header in ("total\n10^9 parameters", "active\n10^9 parameters", "layers", "context\ntokens"):
        table.add_column(header, justify="right")
    for header in ("cache\nKiB/token", f"cache of {LISTED_CONTEXT_TOKENS}\ntokens at most, GiB"):
        table.add_column(header, justify="right")
    for each in models:
        counts = _counts(each)
        table.add_row(
            each.name,
            each.native_format,
            f"{each.parameters_total / PARAMETERS_PER_BILLION:.2f}",
            f"{each.parameters_active / PARAMETERS_PER_BILLION:.2f}",
            str(each.layers),
            str(each.max_context_tokens),
            f"{counts['cache_bytes_per_token'] / BYTES_PER_KIB:.1f}",
            f"{counts['cache_bytes_per_listed_sequence'] / BYTES_PER_GIB:.3f}",
        )
    return table


def _counts(model: ModelShape) -> dict[str, float]:
    """Return the derived numbers of a model that people ask for."""
    width = FORMATS[CACHE_FORMAT].bytes_per_value
    per_token = sum(group.count * group.attention.kv_values_per_token for group in model.groups)
    context = min(LISTED_CONTEXT_TOKENS, model.max_context_tokens)
    return {
        "parameters_total": model.parameters_total,
        "parameters_active": model.parameters_active,
        "cache_bytes_per_token": per_token * width,
        "cache_bytes_per_listed_sequence": model.kv_values_per_sequence(context) * width,
    }


def _json(entry: Accelerator | ModelShape) -> dict[str, Any]:
    """Return an entry as JSON values; what is unlimited becomes null."""

    def finite(value: Any) -> Any:
        return None if isinstance(value, float) and math.isinf(value) else value

    return {key: finite(value) for key, value in dataclasses.asdict(entry).items()}
