"""``poolwright prices``: what a million tokens cost by tier and context, in dollars, joules and grams of CO2.

The sums are ``planner.price_card``'s; this file reads options and prints.
"""

import dataclasses
import json
import sys
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from poolwright.cli.plan import PIPE_COLUMNS, json_value
from poolwright.cli.pool_file import planned, read_pool
from poolwright.planner.advice.price_card import Bracket, PriceCard, price_cards
from poolwright.planner.advice.token_share import Tokens
from poolwright.planner.explain import dollars_per_h
from poolwright.units import (
    JOULES_PER_KWH,
    TOKENS_PER_MILLION,
    percent_from_ratio,
)

KINDS: Final = ("input", "cached", "output")
BIG_TOKENS: Final = 1024


@click.command("prices")
@click.option("-f", "--file", "path", required=True, help="YAML with one InferencePool; - reads standard input.")
@click.option("--rate", type=click.FloatRange(min=0.0, max=1e6), help="Requests per second, shared by the tiers.")
@click.option("--inventory", help="Accelerators there are, such as h100-sxm=8,l40s=16. Default: enough of each.")
@click.option("--grid", type=click.FloatRange(min=0.0, max=2000.0), help="Carbon intensity of the grid in gCO2/kWh.")
@click.option(
    "--sell",
    type=(click.FloatRange(0.0, 1e6), click.FloatRange(0.0, 1e6), click.FloatRange(0.0, 1e6)),
    metavar="INPUT CACHED OUTPUT",
    help="Prices that you charge, in $ per million tokens: shows the gross margin.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the cards as JSON (seconds of a replica, SI units).")
def prices(
    path: str,
    rate: float | None,
    inventory: str | None,
    grid: float | None,
    sell: tuple[float, float, float] | None,
    *,
    as_json: bool,
) -> None:
    """Show the price card of a plan: what tokens cost by tier, kind and context, and the floor they tend to."""
    file = read_pool(path)
    made = planned(file, rate, inventory)
    cards = price_cards(file.policy, made, file.catalogue)
    price = Tokens(**dict(zip(KINDS, sell, strict=True))).times(1.0 / TOKENS_PER_MILLION) if sell else None
    if as_json:
        click.echo(json.dumps(json_value([_record(each, grid, price) for each in cards]), indent=2))
    else:
        for card in cards:
            _print(card, grid, price)
    sys.exit(0 if cards else 1)


def _record(card: PriceCard, grid: float | None, price: Tokens | None) -> dict[str, Any]:
    """Return a card as it is, with the figures that follow from it."""
    brackets = []
    for each in card.brackets:
        derived = {
            "usd_per_token": card.usd(each.seconds),
            "floor_usd_per_token": card.usd(each.floor_seconds),
            "joules_per_token": card.joules(each.seconds),
            "grams_co2_per_token": _grams(card, each, grid),
        }
        values = {name: None if value is None else dataclasses.asdict(value) for name, value in derived.items()}
        brackets.append({**dataclasses.asdict(each), **values})
    return {
        **dataclasses.asdict(card),
        "brackets": brackets,
        "revenue_usd_per_s": card.revenue_usd_per_s(),
        "margin_ratio": None if price is None else card.margin_ratio(price),
    }


def _grams(card: PriceCard, bracket: Bracket, grid: float | None) -> Tokens | None:
    joules = card.joules(bracket.seconds)
    return None if joules is None or grid is None else joules.times(grid / JOULES_PER_KWH)


def _print(card: PriceCard, grid: float | None, price: Tokens | None) -> None:
    """Print one card: a row per bracket, then what it pays for."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    cost = None if card.replica_usd_per_s is None else card.replica_usd_per_s * card.replicas
    console.print(
        f"tier {card.tier}: {card.replicas} x {card.variant}, {dollars_per_h(cost)} $/h, each serves "
        f"{card.served_per_s:.3g} of at most {card.floor_per_s:.3g} requests/s",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("context", justify="left")
    for name in ("requests", *(f"$/M {kind}" for kind in KINDS), *(f"floor {kind}" for kind in KINDS)):
        table.add_column(name, justify="right")
    for kind in KINDS:
        table.add_column(f"J/{kind}" if grid is None else f"gCO2/M {kind}", justify="right")
    for each in card.brackets:
        energy = card.joules(each.seconds) if grid is None else _grams(card, each, grid)
        table.add_row(
            _context(each.up_to_tokens),
            f"{percent_from_ratio(each.request_ratio):.1f} %",
            *_cells(card.usd(each.seconds)),
            *_cells(card.usd(each.floor_seconds)),
            *_cells(energy, TOKENS_PER_MILLION if grid is not None else 1.0),
        )
    console.print(table)
    for line in _sums(card, price):
        console.print(f"  {line}", highlight=False)


def _cells(value: Tokens | None, tokens: float = TOKENS_PER_MILLION) -> list[str]:
    """Return figures per so many tokens with three digits; a dash where there are none."""
    if value is None:
        return ["-"] * len(KINDS)
    return [f"{getattr(value, kind) * tokens:.3g}" for kind in KINDS]


def _context(tokens: int) -> str:
    return f"up to {tokens // BIG_TOKENS}k" if tokens >= BIG_TOKENS else f"up to {tokens}"


def _sums(card: PriceCard, price: Tokens | None) -> list[str]:
    """Return that the prices pay for the plan, and what is left at the prices that are charged."""
    revenue = card.revenue_usd_per_s()
    lines = [] if revenue is None else [f"tokens at these prices earn {dollars_per_h(revenue)} $/h: what they cost"]
    if price is not None:
        margin = card.margin_ratio(price)
        earned = card.revenue_usd_per_s(price)
        words = "-" if margin is None else f"{percent_from_ratio(margin):.1f} %"
        lines.append(f"at your prices they earn {dollars_per_h(earned)} $/h: gross margin {words}")
    return lines
