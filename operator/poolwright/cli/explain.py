"""``poolwright explain``: the arithmetic of a plan, of a pool in a file or of a live one."""

import click

from poolwright.cli.pool_file import planned, read_pool
from poolwright.planner.explain import explained


@click.command()
@click.option("-f", "--file", "path", default="-", help="YAML with one InferencePool; default: standard input.")
@click.option(
    "--rate", type=click.FloatRange(min=0.0, max=1e6), help="Requests per second. Default: the pool's status."
)
@click.option("--inventory", help="Accelerators there are, such as h100-sxm=8,l40s=16. Default: enough of each.")
def explain(path: str, rate: float | None, inventory: str | None) -> None:
    """Show step by step why a pool gets what it gets, so that it can be checked by hand.

    A live pool is explained for the load that its status was planned for:

        kubectl get ipool chat -o yaml | poolwright explain
    """
    click.echo(explained(planned(read_pool(path), rate, inventory)))
