"""``poolwright roofline``: a picture of what an accelerator allows and what decode and prefill steps reach.

Needs the extra ``plots``. The numbers are ``perf.roofline``'s.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from poolwright.cli.pool_file import refuse
from poolwright.cli.replica_options import replica_of
from poolwright.hardware.number_format import FORMATS
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.roofline import Roofline, RooflinePoint, roofline
from poolwright.units import FLOP_PER_TFLOP

SUFFIXES: Final = (".png", ".svg")
BATCHES: Final = (1.0, 4.0, 16.0, 64.0, 256.0)
PROMPTS: Final = (128.0, 512.0, 2048.0, 8192.0)
COLOURS: Final = {"decode": "tab:blue", "prefill": "tab:red"}


@click.command("roofline")
@click.option("--model", required=True, help="Name in the catalogue, Hugging Face id, or path of a config.json.")
@click.option("--accelerator", required=True, help="Name in the catalogue.")
@click.option("--tp", default=1, show_default=True, type=click.IntRange(1, 1024), help="Tensor parallel ranks.")
@click.option("--isl", default=1024.0, show_default=True, type=click.FloatRange(1, 1e8), help="Context in decoding.")
@click.option("--weights", type=click.Choice(list(FORMATS)), help="Weight format. Default: the checkpoint's own.")
@click.option("--kv", type=click.Choice(list(FORMATS)), default="bf16", show_default=True, help="Cache format.")
@click.option("--out", "targets", multiple=True, default=("roofline.png", "roofline.svg"), show_default=True)
def roofline_command(targets: tuple[str, ...], **options: Any) -> None:
    """Draw attainable FLOP/s against arithmetic intensity, with decode and prefill steps, as PNG and SVG."""
    for target in targets:
        if Path(target).suffix not in SUFFIXES:
            refuse(f"--out is {target}, must end in {' or '.join(SUFFIXES)}")
    config = replica_of(options)
    drawn = roofline(config, context_tokens=options["isl"], batches=BATCHES, prompts=PROMPTS)
    figure = _figure(drawn, config)
    for target in targets:
        try:
            figure.savefig(target, dpi=120, metadata={"Date": None} if target.endswith(".svg") else {"Software": None})
        except OSError as error:
            refuse(f"--out {target}: {error.strerror}")
        click.echo(target)


def _figure(drawn: Roofline, config: ReplicaConfig) -> Any:
    """Return the picture."""
    try:
        figures = import_module("matplotlib.figure")
    except ModuleNotFoundError:
        refuse("roofline draws with matplotlib, which is not installed: pip install 'poolwright[plots]'")
    figure = figures.Figure(figsize=(8, 5), layout="constrained")
    axis = figure.add_subplot()
    _draw_roof(axis, drawn)
    for kind, colour in COLOURS.items():
        points = [each for each in drawn.points if each.kind == kind]
        _draw_points(axis, points, kind, colour)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="arithmetic intensity [FLOP/byte]",
        ylabel="TFLOP/s of one rank",
        title=f"{config.model.name}, {config.weight_format}, on {config.ranks} x {config.accelerator.name}",
    )
    axis.grid(visible=True, which="major", alpha=0.3)
    axis.legend(loc="lower right")
    return figure


def _draw_roof(axis: Any, drawn: Roofline) -> None:
    """Draw bandwidth and peak of the datasheet."""
    intensities = [each.intensity_flop_per_byte for each in drawn.points]
    low, high = 0.5 * min(intensities), 4.0 * max([*intensities, drawn.ridge_flop_per_byte])
    edges = [low, drawn.ridge_flop_per_byte, high]
    roof = [drawn.attainable_flop_per_s(each) / FLOP_PER_TFLOP for each in edges]
    axis.plot(edges, roof, color="black", label=f"roof: memory, then {drawn.peak_format} compute")


def _draw_points(axis: Any, points: list[RooflinePoint], kind: str, colour: str) -> None:
    """Draw what steps reach, and how far below the roof that is."""
    x = [each.intensity_flop_per_byte for each in points]
    reached = [each.reached_flop_per_s / FLOP_PER_TFLOP for each in points]
    roof = [each.attainable_flop_per_s / FLOP_PER_TFLOP for each in points]
    unit = "sequences" if kind == "decode" else "prompt tokens"
    axis.plot(x, reached, "o-", color=colour, label=f"{kind}, labelled by {unit}")
    axis.vlines(x, reached, roof, color=colour, alpha=0.3, linestyles="dotted")
    for each, height in zip(points, reached, strict=True):
        at = (each.intensity_flop_per_byte, height)
        axis.annotate(f"{each.tokens:.0f}", at, textcoords="offset points", xytext=(4, -11), fontsize=8, color=colour)
