"""The ``poolwright`` command: a list of subcommands, each loaded when it is called.

Loading late keeps ``poolwright --help`` quick and the operator's memory free of what it does not run. Every subcommand
lives in the file of its name. Exit codes: 0 done, 1 failed, 2 the input is wrong (the message names the field).
"""

from importlib import import_module
from typing import Final

import click

COMMANDS: Final = {
    "catalog": "List accelerators and models that the catalogue knows",
    "demo": "Watch a pool follow real traffic on the cluster of the current kubeconfig",
    "explain": "Show the arithmetic behind a plan",
    "operator": "Run the controller",
    "plan": "Plan a pool without a cluster",
    "predict": "Predict step time, latency and throughput of one replica",
    "prices": "Show what a million tokens cost by tier and context",
    "replay": "Replay a trace through a simulated fleet under a policy",
    "roofline": "Draw attainable FLOP/s against arithmetic intensity",
    "twin": "Play the engines behind a cluster's pods, with real traffic and real metrics pages",
}
"""Subcommand by name: its one-line help. The command object has the name of its module, or that with ``_command``."""


class LateGroup(click.Group):
    """A group whose subcommands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in order."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand; None for a name that does not exist."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"poolwright.cli.{cmd_name}")
        command = getattr(module, f"{cmd_name}_command", None) or getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - a wrong name in COMMANDS is a bug
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing any subcommand."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.command(cls=LateGroup)
@click.version_option(package_name="poolwright")
def main() -> None:
    """Size LLM inference fleets from physics, and show why."""
