"""``poolwright operator``: run the controller, set up by ``POOLWRIGHT_*`` variables."""

import sys

import click

from poolwright.controller import main
from poolwright.controller.reporting import logs
from poolwright.controller.settings import Settings, SettingsError, load_settings

BAD_SETTINGS = 2
"""Exit code for settings that make no sense."""


@click.command()
@click.option("--settings", "shows", is_flag=True, help="List the variables with their meaning, and end.")
def operator(*, shows: bool) -> None:
    """Reconcile InferencePools until told to stop."""
    if shows:
        for name, field in Settings.model_fields.items():
            click.echo(f"POOLWRIGHT_{name.upper():<24} {field.description or ''}")
        return
    try:
        settings = load_settings()
    except SettingsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(BAD_SETTINGS)
    logs.configure(settings.log_level)
    main.main(settings)
