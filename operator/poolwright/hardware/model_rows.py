"""Turns presets of the model catalogue into ``ModelShape`` values by the parser that reads users' files.

A preset holds the fields of the published configuration that matter; ``extends`` takes over those of another preset and
changes some, as an FP8 release of the same architecture does.
"""

from collections.abc import Mapping
from typing import Final

from poolwright.hardware.catalogue_fields import FieldError, Fields
from poolwright.hardware.hf_config import model_shape_from_config
from poolwright.hardware.model_shape import ModelShape

_KNOWN: Final = ("aliases", "source", "date", "status", "extends", "config")
_STATUSES: Final = ("verified", "secondary", "recalled", "estimated")


def model_from(name: str, rows: Mapping[str, Fields]) -> ModelShape:
    """Return the shape of the preset ``name`` among ``rows``.

    Raises
    ------
    FieldError
        The preset is malformed, or its configuration misses a field.
    """
    row = rows[name]
    row.only(_KNOWN)
    row.texts("aliases")
    status = row.choice("status", _STATUSES)
    source = f"{row.text('source')}, {row.text('date')}, {status}"
    return model_shape_from_config(_config(name, rows, ()), name, source)


def _config(name: str, rows: Mapping[str, Fields], path: tuple[str, ...]) -> dict[str, object]:
    """Return a preset's configuration, with what it extends underneath."""
    if name in path:
        raise FieldError(f"model {path[0]}: extends is {name!r}, which leads back to itself; a chain must end")
    row = rows[name]
    own = dict(row.section("config").values)
    if "extends" not in row.values:
        return own
    parent = row.text("extends")
    if parent not in rows:
        raise row.refuse("extends", parent, "the name of another preset is needed")
    return _config(parent, rows, (*path, name)) | own
