"""``poolwright-engine``: reads flags and runs the server."""

import asyncio
import logging
import sys

from prometheus_client import disable_created_metrics
from pythonjsonlogger.json import JsonFormatter

from poolwright.engine.server.processors import tell_threads
from poolwright.engine.server.settings import Settings, settings_of


def main() -> None:
    """Serve a model until told to stop."""
    settings = settings_of(sys.argv[1:])
    _log(settings.log_level)
    tell_threads()
    # A second series for each counter, of no use to those who read rates.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    sys.exit(asyncio.run(_run(settings)))


async def _run(settings: Settings) -> int:
    # After the flags are known to be right: --help and refusals need neither HTTP nor tokenizers.
    from poolwright.engine.server.life import Life  # noqa: PLC0415
    from poolwright.engine.server.loading import load  # noqa: PLC0415

    return await Life(settings, load).run()


def _log(level: str) -> None:
    """Log one JSON object a line to standard error; prompts and answers are never logged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
