"""Where a model's files are: a directory that is there, or a snapshot from the hub at a pinned revision."""

from pathlib import Path
from typing import Final

NEEDED: Final = ("*.safetensors", "*.json", "*.jinja")
"""Files of a checkpoint that are read; everything else, code and pickles above all, stays where it is."""


class ModelNotFoundError(ValueError):
    """There is no such model; the message says where it was looked for."""


def model_directory(model: str, revision: str | None) -> Path:
    """Return the directory of a model, downloaded if it is named and not yet in the cache (``HF_HOME``).

    Raises
    ------
    ModelNotFoundError
        It is neither a directory nor to be had from the hub.
    """
    path = Path(model)
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith("."):
        raise ModelNotFoundError(f"--model={model}: there is no such directory")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for models that are named
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(NEEDED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise ModelNotFoundError(
            f"--model={model}: is no directory here, and the hub has no such model{at}: {error}"
        ) from error
