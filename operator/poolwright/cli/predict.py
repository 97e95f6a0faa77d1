"""``poolwright predict``: what one replica does for a stated load, or what each row of a table would measure.

Reads, predicts, prints; exit code 2 when the input is wrong. Tables in bulk are answered by ``predict_rows``.
"""

import dataclasses
import json
import math
import sys
from typing import Any

import click

from poolwright.cli.pool_file import refuse
from poolwright.cli.predict_rows import predict_rows
from poolwright.cli.predict_view import print_prediction
from poolwright.cli.replica_options import replica_of
from poolwright.hardware.number_format import FORMATS
from poolwright.perf.engine_traits import ENGINES
from poolwright.perf.prediction import Prediction, predict_replica
from poolwright.perf.shipped import efficiencies_for
from poolwright.units import usd_per_s_from_usd_per_h

CALIBRATIONS = ("none", "shipped")


@click.command()
@click.option("--model", help="Name in the catalogue, Hugging Face id, or path of a config.json.")
@click.option("--accelerator", help="Name in the catalogue.")
@click.option("--tp", default=1, show_default=True, type=click.IntRange(1, 1024), help="Tensor parallel ranks.")
@click.option("--pp", default=1, show_default=True, type=click.IntRange(1, 64), help="Pipeline stages.")
@click.option("--ep", default=1, show_default=True, type=click.IntRange(1, 1024), help="Groups of experts.")
@click.option("--isl", type=click.FloatRange(1, 1e8), help="Mean tokens of a prompt.")
@click.option("--osl", type=click.FloatRange(1, 1e8), help="Mean tokens of an answer.")
@click.option("--concurrency", type=click.FloatRange(1, 1e6), help="Users that each wait for their answer.")
@click.option("--cached", default=0.0, type=click.FloatRange(0, 0.999), help="Share of prompts in the prefix cache.")
@click.option("--weights", type=click.Choice(list(FORMATS)), help="Weight format. Default: the checkpoint's own.")
@click.option("--kv", type=click.Choice(list(FORMATS)), default="bf16", show_default=True, help="Cache format.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default="vllm", show_default=True, help="Serving engine.")
@click.option("--price", type=click.FloatRange(min=0.0), help="Dollars per accelerator and hour.")
@click.option("--from", "source", help="CSV with one deployment a row, in place of the options above.")
@click.option("--out", "target", help="CSV to write for --from.")
@click.option("--calibration", type=click.Choice(CALIBRATIONS), default="shipped", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in SI units.")
def predict(**options: Any) -> None:
    r"""Predict step time, memory, TTFT, TPOT, throughput and cost without a measurement.

    \b
    poolwright predict --model llama-3.1-8b --accelerator h100-sxm --isl 1024 --osl 256 --concurrency 64
    poolwright predict --from rows.csv --out out.csv --calibration none
    """
    if options["source"] or options["target"]:
        _rows(options)
    else:
        _one(options)


def _rows(options: dict[str, Any]) -> None:
    """Answer a table."""
    if not options["source"] or not options["target"]:
        refuse("--from and --out belong together: one is missing")
    given = [name for name in ("model", "accelerator", "isl", "osl", "concurrency") if options[name] is not None]
    if given:
        refuse(f"--{given[0]} does not go with --from, whose rows say it")
    click.echo(predict_rows(options["source"], options["target"], is_calibrated=options["calibration"] == "shipped"))


def _one(options: dict[str, Any]) -> None:
    """Answer one deployment."""
    for name in ("model", "accelerator", "isl", "osl", "concurrency"):
        if options[name] is None:
            refuse(f"--{name} is missing")
    found = _prediction(options)
    if options["as_json"]:
        click.echo(json.dumps(_json(dataclasses.asdict(found)), indent=2))
    else:
        print_prediction(found, is_terminal=sys.stdout.isatty())


def _prediction(options: dict[str, Any]) -> Prediction:
    """Return the prediction that the options ask for."""
    config = replica_of(options)
    price = options["price"]
    return predict_replica(
        config,
        input_tokens=options["isl"],
        output_tokens=options["osl"],
        cached_prefix_ratio=options["cached"],
        concurrency=options["concurrency"],
        efficiencies=efficiencies_for([config], is_calibrated=options["calibration"] == "shipped"),
        price_usd_per_s=None if price is None else usd_per_s_from_usd_per_h(price),
    )


def _json(value: Any) -> Any:
    """Return a value that JSON has: infinite numbers become null."""
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
